"""``avfuse extract``, killed at random moments; ``benchmarks/torture.py`` does it 300 times."""

from __future__ import annotations

from pathlib import Path

from benchmarks.torture import torture


def test_twenty_kills_cost_only_the_clip_at_work_and_change_no_byte(tmp_path: Path) -> None:
    outcome = torture(tmp_path, kills=20, clips=23, seed=31, longest=0.15)
    assert outcome.clean, outcome
    assert outcome.kills == 20
    assert outcome.kills_with_workers == 2
    assert outcome.kills_that_left_a_temporary_file > 0  # they did hit writers at work
    assert outcome.entries_checked_after_kills > 20  # fewer where other processes want the cores
    assert outcome.entries_compared_at_the_end == 2 * 23
