"""``avfuse finetune``, killed at random moments, ends in the bytes of one that nobody disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust.kills.runs import Finetune
from benchmarks.trust.kills.tally import Ledger
from benchmarks.trust.torture import torture


@pytest.mark.slow
def test_kills_of_a_fine_tuning_change_no_byte_of_its_result(tmp_path: Path) -> None:
    ledger = Ledger(None, seed=53)
    torture(tmp_path, ledger, kills=8, turns={Finetune: 8})
    assert ledger.faults == []
    counts = ledger.tally(Finetune.name).counts
    assert counts["kills"] == 8
    assert counts["committed_files_checked_after_kills"] >= 3  # trainings that had come somewhere
    assert counts["rounds_compared"] >= 1
