"""Settings of a run against the nearest preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.codec import fields_to_json
from tests.trainer.report.report_helper import make_run
from trainer.report.settings_diff import compare_settings
from trainer.runs.folder import Run, RunError
from trainer.settings import format_toml, load_settings


def with_settings(folder: Path, preset: str, *overrides: str) -> Run:
    run = make_run(folder, "run", 5)
    run.path.mkdir()
    settings = fields_to_json(load_settings(preset, overrides))
    (run.path / "config.toml").write_text(format_toml(settings))
    return run


@pytest.mark.parametrize("preset", ["fast", "icmi19", "deep-fusion"])
def test_what_differs_from_the_nearest_preset_is_told_apart(tmp_path: Path, preset: str) -> None:
    found = compare_settings(with_settings(tmp_path, preset, "optim.epochs=7", "seed=3"))
    assert found is not None
    assert found.preset == preset
    own = load_settings(preset)
    assert found.changed == {"optim.epochs": ("7", str(own.optim.epochs)), "seed": ("3", "0")}
    assert not found.rest.keys() & found.changed.keys()
    assert found.rest["fusion.kind"] == own.fusion.kind


def test_an_unchanged_preset_differs_in_nothing(tmp_path: Path) -> None:
    found = compare_settings(with_settings(tmp_path, "icmi19"))
    assert found is not None
    assert (found.preset, found.changed) == ("icmi19", {})


def test_a_run_without_settings_has_none_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 5)
    assert compare_settings(run) is None
    run.path.mkdir()
    (run.path / "config.toml").write_text("video = 3")
    with pytest.raises(RunError, match=r"config.toml is damaged, or of another version"):
        compare_settings(run)
