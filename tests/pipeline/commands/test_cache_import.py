from __future__ import annotations

import csv
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


def like(folder: Path, source: Path, *args: str, name: str = "egemaps") -> Result:
    command = ["cache", "import", str(folder / "cache"), name, str(source), "--like", "opensmile"]
    return CliRunner().invoke(main, [*command, "--manifest", str(folder / "m.csv"), *args])


def write_functionals(folder: Path) -> Path:
    """Write openSMILE's functionals of 24 clips, of which one tells two classes apart."""
    manifest, table = ["clip,path,label,split,speaker"], ["name;frameTime;F0_amean;loud_amean;who"]
    for i in range(24):
        label, split = ("happy", "sad")[i % 2], ("train", "test")[i >= 16]
        manifest.append(f"c{i},media/c{i}.mp4,{label},{split},s{i % 4 + 4 * (i >= 16)}")
        table.append(f"'c{i}';0.000000;{3 if i % 2 else -3}.{i:02};0.{i:02};nobody")
    (folder / "m.csv").write_text("\n".join(manifest) + "\n")
    (folder / "func.csv").write_text("\n".join(table) + "\n")
    return folder / "func.csv"


def test_a_tool_is_named_and_what_was_read_is_said(tmp_path: Path) -> None:
    result = like(tmp_path, write_functionals(tmp_path))
    assert result.exit_code == 0, result.output
    first, second, third = result.output.splitlines()
    assert "24 clips with 2 features a step; 24 written now" in first
    assert second == "steps a clip: 1, 24 in all; features: F0_amean, loud_amean"
    assert third == "skipped, as they hold no numbers: who"


@pytest.mark.slow
def test_functionals_of_opensmile_train_a_head_that_tells_the_classes_apart(tmp_path: Path) -> None:
    assert like(tmp_path, write_functionals(tmp_path)).exit_code == 0
    command = ["train", str(tmp_path / "m.csv"), "--cache", str(tmp_path / "cache")]
    settings = ("--set", "fusion.kind=audio", "--set", "audio.set=egemaps")
    result = CliRunner().invoke(main, [*command, "--run", str(tmp_path / "run"), *settings])
    assert result.exit_code == 0, result.output
    with (tmp_path / "run" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == [f"c{i}" for i in range(16, 24)]
    assert all(row["prediction"] == row["label"] for row in rows)


@pytest.mark.parametrize("name", ["ir50", "faces", "logmel", "alexnet"])
def test_the_name_of_a_set_of_our_own_is_refused(tmp_path: Path, name: str) -> None:
    result = like(tmp_path, write_functionals(tmp_path), name=name)
    assert result.exit_code == 2
    assert f"{name}: avfuse makes a set of this name itself" in result.output
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("args", [[], ["--like", "opensmile"], ["m.csv"], ["x", "--like", "mmsa"]])
def test_a_source_comes_with_its_tool_or_format(tmp_path: Path, args: list[str]) -> None:
    write_functionals(tmp_path)
    table = str(tmp_path / "func.csv")
    words = [table if word == "m.csv" else word for word in args]
    command = ["cache", "import", str(tmp_path / "cache"), "x", *words]
    result = CliRunner().invoke(main, [*command, "--manifest", str(tmp_path / "m.csv")])
    assert result.exit_code == 2
    expected = "does not exist" if "x" in args else "pass either SOURCE... --like TOOL or --from"
    assert expected in result.output


def test_the_limit_of_memory_can_be_set(tmp_path: Path) -> None:
    result = like(tmp_path, write_functionals(tmp_path), "--max-gib", "1e-7")
    assert result.exit_code == 2
    assert "pass --max-gib if that is right" in result.output
