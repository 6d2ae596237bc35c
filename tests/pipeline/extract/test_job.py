"""Entries that are committed in the background: nothing is lost, and errors are heard."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cache.commit import CacheWriteError
from cache.entries.source_check import SourceCheck
from cache.manifest.clip import Clip
from cache.sets.feature_set import list_sets
from cache.sets.scan import find_temporaries
from pipeline.extract.job import Job
from pipeline.extract.plan import Plan
from pipeline.extract.settings import StageOneSettings
from pipeline.media.container import MediaInfo
from tests.conftest import SMALL

ROOT = Path(__file__).parent.parent.parent.parent
LIMIT = 5_000  # bytes of a file: the report fits, the faces of a clip don't


def job(folder: Path) -> Job:
    info = MediaInfo(folder / "a.mp4", "mp4", 1.0, 0.0, None, None)
    return Job(
        Clip("a", info.path), Plan(folder, StageOneSettings(), ()), SourceCheck(info.path), info
    )


def test_waiting_ends_when_the_background_commits_are_done_and_says_what_failed(
    tmp_path: Path,
) -> None:
    done: list[str] = []

    def slow() -> Path:
        time.sleep(0.1)
        done.append("slow")
        return tmp_path

    def full() -> Path:
        raise CacheWriteError("no space left")

    one = job(tmp_path)
    one.commit_in_background(slow)
    assert done == []
    one.wait_for_commits()
    assert done == ["slow"]
    one.commit_in_background(full)
    for _ in range(2):  # the clip's end is told what a stage was told
        with pytest.raises(CacheWriteError, match="no space left"):
            one.wait_for_commits()


@pytest.mark.slow
def test_faces_that_cannot_be_committed_in_the_background_end_the_run(
    corpus: Path, tmp_path: Path
) -> None:
    manifest = corpus.parent / f"{tmp_path.name}.csv"
    manifest.write_text("".join(corpus.read_text().splitlines(keepends=True)[:3]))
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--jobs", "0"]
    command += ["--cache", str(tmp_path / "cache"), "--sets", "faces,resnet18", *SMALL]
    done = subprocess.run(
        [*command, "--views", "basic"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )
    assert done.returncode == 1, done.stderr
    assert "0 of 2 clips are done" in done.stderr
    assert "a limit (ulimit -f) forbids files of this size" in done.stderr
    assert [item.clip_ids() for item in list_sets(tmp_path / "cache")] == [[], [], []]
    assert list(find_temporaries(tmp_path / "cache")) == []
