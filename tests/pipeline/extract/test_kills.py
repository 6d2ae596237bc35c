"""``avfuse extract``, killed at random moments.

``benchmarks/trust/torture.py`` does it 300 times.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust.torture import torture
from tests.conftest import SMALL


@pytest.mark.slow
def test_twenty_kills_cost_only_the_clip_at_work_and_change_no_byte(tmp_path: Path) -> None:
    outcome = torture(tmp_path, kills=20, clips=23, seed=31, longest=0.15)
    assert outcome.clean, outcome
    assert outcome.kills == 20
    assert outcome.kills_with_workers == 2
    assert outcome.kills_that_left_a_temporary_file > 0  # they did hit writers at work
    assert outcome.entries_checked_after_kills > 20  # fewer where other processes want the cores
    assert outcome.entries_compared_at_the_end == 2 * 23


@pytest.mark.slow
def test_kills_of_workers_that_share_a_network_cost_no_more(tmp_path: Path) -> None:
    # Alone in its batch, a crop's embedding doesn't depend on which clips came at the same time.
    network = (*SMALL, "--views", "basic", "--batch-size", "1")
    options = ("--sets", "faces,resnet18", *network, "--consumer", "shared")
    outcome = torture(
        tmp_path, kills=3, clips=17, seed=37, longest=0.3, options=options, workers_every=1
    )
    assert outcome.clean, outcome
    assert outcome.kills_with_workers == 3
    assert outcome.entries_compared_at_the_end == 2 * 17
