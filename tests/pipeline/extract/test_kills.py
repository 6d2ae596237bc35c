"""``avfuse extract``, killed at random moments.

``benchmarks/trust/torture.py`` does it, with the other operations, thousands of times.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust.kills.extract import (
    Extract,
    ExtractWithSharedNetwork,
    ExtractWithTwoWorkers,
)
from benchmarks.trust.kills.tally import Ledger
from benchmarks.trust.torture import torture


@pytest.mark.slow
def test_twenty_kills_cost_only_the_clip_at_work_and_change_no_byte(tmp_path: Path) -> None:
    ledger = Ledger(None, seed=31)
    torture(tmp_path, ledger, kills=20, turns={Extract: 19, ExtractWithTwoWorkers: 1})
    assert ledger.faults == []
    assert ledger.kills == 20
    counts = ledger.to_json()["all"]
    assert counts["kills_that_left_a_temporary_file"] > 0  # they did hit writers at work
    assert counts["committed_files_checked_after_kills"] > 20
    assert counts["entries_compared_at_the_end"] >= 2 * 2 * Extract.clips


@pytest.mark.slow
def test_kills_of_workers_that_share_a_network_cost_no_more(tmp_path: Path) -> None:
    ledger = Ledger(None, seed=37)
    torture(tmp_path, ledger, kills=1, turns={ExtractWithSharedNetwork: 1})
    assert ledger.faults == []
    assert ledger.to_json()["all"]["entries_compared_at_the_end"] >= 2 * Extract.clips
