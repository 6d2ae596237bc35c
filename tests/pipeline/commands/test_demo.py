"""The demo: real commands, one after another, as a newcomer runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cache.manifest.manifest import read_manifest
from pipeline.demo_corpus import CLASSES, DemoSettings, make_demo_corpus


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.slow
def test_the_demo_runs_the_whole_job_and_says_what_to_try_next(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the demo's photograph is scikit-image's")
    done = demo("--out", tmp_path / "demo", "--speakers", "3", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    for part in ("synthetic", "$ avfuse extract", "make demo CORPUS=", "0 damaged"):
        assert part in done.stdout
    assert "the default weights that come with avfuse" in done.stderr
    assert "untrained" not in done.stdout
    assert "From the default network alone" in done.stdout
    metrics = json.loads((tmp_path / "demo" / "run" / "metrics.json").read_text())
    assert metrics
    answer = json.loads((tmp_path / "demo" / "prediction.json").read_text())
    assert sum(answer["videos"][0]["probabilities"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_the_demo_of_a_folder_that_is_not_a_corpus_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = demo(tmp_path / "empty", "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert str(tmp_path / "empty") in done.stderr


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
