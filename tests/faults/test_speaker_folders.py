"""eNTERFACE'05's folders of subjects: the labels are the emotions, the speakers the subjects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cache.manifest.manifest import read_manifest
from pipeline.cli import main
from tests.pipeline.corpus_files import touch

LEVELS = ("--label-level", "2", "--speaker-level", "1")


def index(root: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["index", "folder", str(root), "-o", str(out), *options])


def made(folder: Path) -> Path:
    names = [f"subject {who}/{emotion}/sentence {n}/s{who}_{emotion[:2]}_{n}.avi"
             for who in (1, 2, 3) for emotion in ("anger", "happiness") for n in "12"]  # fmt: skip
    touch(folder, *names)
    return folder


def given(folder: Path) -> Path:
    return folder / "speaker-folders/enterface"


@pytest.fixture(params=["made", "given"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "made":
        return made(tmp_path / "corpus")
    return given(request.getfixturevalue("faults"))


def test_emotions_are_the_labels_and_subjects_the_speakers(corpus: Path, tmp_path: Path) -> None:
    result = index(corpus, tmp_path / "m.csv", *LEVELS)
    assert result.exit_code == 0
    assert "level" not in result.stderr
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.labels == ("anger", "happiness")
    for clip in manifest.clips:
        subject, emotion = clip.path.parts[-4:-2]
        assert (clip.speaker, clip.label) == (subject, emotion)
    assert len(manifest.clips) == len(list(corpus.rglob("*.avi")))


def test_subjects_taken_for_labels_are_warned_of(corpus: Path, tmp_path: Path) -> None:
    result = index(corpus, tmp_path / "m.csv")
    assert "warning: the labels are subject 1, subject 2" in result.stderr
    assert (
        "; the names anger, happiness recur below most of them: "
        "did you mean --label-level 2 --speaker-level 1?\n" in result.stderr
    )
    (warning,) = [
        text
        for text in json.loads(index(corpus, tmp_path / "m.csv", "--json", "--overwrite").stdout)[
            "warnings"
        ]
        if "level" in text
    ]
    assert warning in result.stderr


def test_one_level_for_both_is_wrong_use_and_nothing_is_written(
    corpus: Path, tmp_path: Path
) -> None:
    for options in (("--label-level", "1"), ()):
        result = index(corpus, tmp_path / "m.csv", "--speaker-level", "1", *options)
        assert result.exit_code == 2
        assert "would both be the folders on level 1" in result.stderr
    assert not (tmp_path / "m.csv").exists()
