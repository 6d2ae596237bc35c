from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.sets.feature_set import find_set
from pipeline.cli import main
from trainer.data.features import read_features

FRAMES: dict[str, Any] = {
    "a": np.array([[1, 0, 0.1, 0.9], [2, 0, 0.2, 0.8], [2, 1, 0.7, 0.3]]),
    "b": np.array([[4, 0, 0.4, 0.6]]),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    np.savez(tmp_path / "frames.npz", **FRAMES)
    (tmp_path / "m.csv").write_text("clip,path\na,a.mp4\nb,b.mp4\n")
    return tmp_path / "frames.npz"


def run(source: Path, *args: str, name: str = "scores") -> Result:
    folder = source.parent
    command = ["cache", "import", str(folder / "cache"), name, "--from", "npz", str(source)]
    return CliRunner().invoke(main, [*command, "--manifest", str(folder / "m.csv"), *args])


FACE = ("--columns", "2:4", "--time-column", "0", "--rate", "25", "--where", "1=0")


def test_imported_sequences_are_read_for_training_like_any_set(source: Path) -> None:
    result = run(source, *FACE)
    assert result.exit_code == 0, result.output
    assert "2 clips with 2 features a step; 2 written now, 0 were there" in result.output
    found = read_features(source.parent / "cache", ["scores"], ["b", "a"], "auto")
    assert found.features == "values"
    assert found.sequences.lengths.tolist() == [1, 2]
    assert np.allclose(found.sequences.of(1), [[0.1, 0.9], [0.2, 0.8]])
    assert np.allclose(found.sequences.times_of(1), [0.04, 0.08])


def test_a_second_set_of_the_same_name_is_pointed_out(source: Path) -> None:
    run(source, *FACE)
    result = run(source, *FACE[:-1], "1=0.0", "--first-frame", "1")
    assert "2 sets are called scores" in result.output
    name = result.output.split("name this one ")[1].split(",")[0]
    assert find_set(source.parent / "cache", name).spec.settings["first_frame"] == 1


def test_missing_clips_and_ids_without_a_clip_are_listed(source: Path) -> None:
    (source.parent / "m.csv").write_text("clip,path\na,a.mp4\nc,c.mp4\n")
    result = run(source, *FACE, "--allow-missing")
    assert result.exit_code == 0
    assert "1 not in the source, recorded as failed: c" in result.output
    assert "1 ids of the source belong to no clip: b" in result.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (FACE[:-2], "clip a: 2 rows at the same time, 0.08 s first"),
        ((*FACE, "--id-pattern", "x"), "'x' has no group"),
        ((*FACE, "--rate", "-1"), "rate must be above 0"),
    ],
)
def test_what_is_refused_is_wrong_use(source: Path, args: tuple[str, ...], message: str) -> None:
    result = run(source, *args)
    assert result.exit_code == 2
    assert message in result.output
    assert not (source.parent / "cache").exists()


def test_a_name_that_cannot_be_a_folder_is_refused(source: Path) -> None:
    result = run(source, *FACE, name="../x")
    assert result.exit_code == 2
    assert "can't name a feature set" in result.output


def test_the_help_shows_whole_command_lines() -> None:
    result = CliRunner().invoke(main, ["cache", "import", "--help"])
    assert "\n    avfuse cache import CACHE au --from npz openface_au.npz" in result.output
    assert "--id-pattern '^\\d\\d-(.*)$'\n" in result.output
