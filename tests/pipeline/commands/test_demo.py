"""The demo: real commands, one after another, as a newcomer runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from pipeline.commands.demo import _divide
from pipeline.commands.demo_corpus import CLASSES, DemoSettings, make_demo_corpus
from tests.pipeline.videos import grey_frame, write_video


def demo(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "pipeline", "demo", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, cwd=cwd
    )


def clips_of(labels: str, splits: str = "") -> list[Clip]:
    """One clip per letter, which is its label; a split per letter of ``splits``."""
    names = {"t": "train", "v": "val"}
    return [
        Clip(f"c{i}", Path(f"c{i}.mp4"), label=label, split=names[splits[i]] if splits else None)
        for i, label in enumerate(labels)
    ]


@pytest.mark.slow
def test_the_demo_runs_the_whole_job_and_says_what_to_try_next(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the demo's photograph is scikit-image's")
    done = demo("--out", tmp_path / "demo", "--speakers", "3", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    for part in ("synthetic", "$ avfuse extract", "make demo CORPUS=", "0 damaged", "Confusion"):
        assert part in done.stdout
    assert "Figures of a synthetic corpus" in done.stdout
    assert "the default weights that come with avfuse" in done.stderr
    assert "untrained" not in done.stdout
    assert "From the default network alone" in done.stdout
    metrics = json.loads((tmp_path / "demo" / "run" / "metrics.json").read_text())
    assert metrics
    assert "<html" in (tmp_path / "demo" / "report.html").read_text()
    answer = json.loads((tmp_path / "demo" / "prediction.json").read_text())
    assert sum(answer["videos"][0]["probabilities"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_own_clips_get_advice_on_few_and_an_answer_that_can_be_read(
    tmp_path: Path, corpus: Path
) -> None:
    """A relative path with spaces, a class with one clip, and files that are no video."""
    own = tmp_path / "my clips"
    for name, count in (("happy", 3), ("sad", 2), ("surprise", 1)):
        label = "over joyed" if name == "happy" else name
        (own / label).mkdir(parents=True)
        for path in sorted((corpus.parent / name).iterdir())[:count]:
            shutil.copy(path, own / label)
    (own / "sad" / "broken.mp4").write_text("no video")
    (own / "sad" / "notes.txt").write_text("no clip")
    done = demo("my clips", "--epochs", "2", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    for part in (
        "surprise has 1 clip: it can't be learnt and tested",
        "Few clips: over joyed 3, sad 3.",
        "failed: sad--broken.mp4",
        "of 6 clips right",
        "6 clips are a demonstration, not an accuracy",
        "1 over joyed",
        "Left out: sad--broken.mp4",
        "demo/report.html",
        "Some clips failed",
    ):
        assert part in done.stdout
    assert "synthetic" not in done.stdout
    assert (tmp_path / "demo" / "report.html").is_file()
    (own / "sad" / "broken.mp4").unlink()
    again = demo("my clips", "--epochs", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "0 computed now, 6 unchanged" in again.stdout


@pytest.mark.slow
def test_too_few_clips_that_can_be_read_end_the_demo_before_training(
    tmp_path: Path, corpus: Path
) -> None:
    own = tmp_path / "clips"
    for name in ("happy", "sad"):
        (own / name).mkdir(parents=True)
    for path in sorted((corpus.parent / "happy").iterdir())[:2]:
        shutil.copy(path, own / "happy")
    for name in ("1.mp4", "2.mp4"):
        (own / "sad" / name).write_text("no video")
    done = demo(own, "--out", tmp_path / "demo")
    assert done.returncode == 1
    assert "failed: sad--1.mp4" in done.stdout
    assert "the clips that can be read are too few to train on" in done.stderr
    assert "$ avfuse train" not in done.stdout


@pytest.mark.slow
def test_clips_without_sound_are_learnt_from_their_pictures(tmp_path: Path) -> None:
    for label in ("a long label of mine", "b"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(2):
            frames = [grey_frame(number + 2 * (label == "b"))] * 3  # no two files alike
            write_video(tmp_path / "clips" / label / f"{number}.mp4", frames)
    done = demo("clips", "--epochs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Too few clips have sound: the heads learn from the pictures alone." in done.stdout
    assert "--set fusion.kind=video" in done.stdout
    # The probabilities of long and short labels stand below each other.
    places = [
        line.index(" 0.") for line in done.stdout.splitlines() if " 0." in line and "#" in line
    ]
    assert len(places) == 2
    assert len(set(places)) == 1


@pytest.mark.slow
def test_the_demo_of_a_folder_that_is_not_a_corpus_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = demo(tmp_path / "empty", "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert str(tmp_path / "empty") in done.stderr


@pytest.mark.parametrize(
    ("labels", "splits", "options"),
    [
        ("aabb", "", ["--folds", "clip:4"]),
        ("aaaaaabbb", "", ["--folds", "clip:5"]),
        ("aabbaabb", "", ["--folds", "clip:5"]),
        ("aabbab", "ttttvv", []),
        ("aabbab", "tttttt", ["--folds", "clip:5"]),
    ],
)
def test_folds_are_five_unless_there_are_fewer_clips_or_splits(
    labels: str, splits: str, options: list[str]
) -> None:
    assert _divide(Path("clips"), clips_of(labels, splits)) == options


def test_clips_of_one_class_are_refused_before_anything_is_extracted() -> None:
    with pytest.raises(click.UsageError, match=r"one class only, a; .*second subfolder"):
        _divide(Path("clips"), clips_of("aaa"))


@pytest.mark.parametrize(("labels", "splits"), [("ab", ""), ("aab", ""), ("abc", "ttv")])
def test_clips_that_can_not_be_divided_are_refused_before_anything_is_extracted(
    labels: str, splits: str
) -> None:
    with pytest.raises(click.UsageError, match=r"too few clips .* at least 2 clips, better 5"):
        _divide(Path("clips"), clips_of(labels, splits))


def test_classes_with_few_clips_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _divide(Path("clips"), clips_of("a" + "bb" + "ccc" + "ddddd"))
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("a has 1 clip: it can't be learnt and tested")
    assert "Add at least 4 more, or leave the folder out." in text
    assert "Few clips: b 2, c 3. " in text


@pytest.mark.slow
def test_the_generated_corpus_is_the_same_every_time_and_holds_whole_speakers_out(
    tmp_path: Path,
) -> None:
    pytest.importorskip("skimage", reason="the corpus needs the photograph of scikit-image")
    settings = DemoSettings(speakers=3, takes=1)
    one, two = (make_demo_corpus(tmp_path / name, settings) for name in ("one", "two"))
    clips = read_manifest(one).clips
    assert len(clips) == 3 * len(CLASSES)
    assert {clip.speaker for clip in clips if clip.split == "val"} == {"s3"}
    assert {clip.speaker for clip in clips if clip.split == "train"} == {"s1", "s2"}
    for first, second in zip(clips, read_manifest(two).clips, strict=True):
        assert first.path.read_bytes() == second.path.read_bytes()
