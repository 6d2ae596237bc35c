"""Another enhancement, another head: stage two needs nothing of stage one, and touches no entry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.stage_two import cache as stage_two_cache
from benchmarks.stage_two.cache import count_changed_entries
from tests.trainer.experiment_helper import SMALL
from trainer.settings import load_settings

pytestmark = pytest.mark.usefixtures("no_pictures")
SETTINGS = load_settings("icmi19", [*SMALL, "video.set=ir50", "audio.set=alexnet"])
FILES = 2 * 12 + 2  # entries of twelve clips in two sets, and a set.json of each


@pytest.mark.slow
def test_three_heads_on_three_enhancements_change_no_file_of_the_cache(tmp_path: Path) -> None:
    assert count_changed_entries(tmp_path, SETTINGS) == (0, FILES)


@pytest.mark.slow
def test_a_file_that_is_written_again_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage_two_cache.run_experiment

    def write_too(*arguments: object) -> None:
        real(*arguments)
        entry = next((tmp_path / "cache").rglob("a3.h5"))
        os.utime(entry, ns=(1, 1))

    monkeypatch.setattr(stage_two_cache, "run_experiment", write_too)
    assert count_changed_entries(tmp_path, SETTINGS) == (1, FILES)
