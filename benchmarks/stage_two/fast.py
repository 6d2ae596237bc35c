"""The preset that ``avfuse train`` uses by default, by the command line: seconds and memory.

The whole command is measured: start, packs built and read, heads, report and pictures. The corpus
has the sets that ``avfuse extract`` makes by default, of random numbers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.stage_two.cache import write_set
from benchmarks.stage_two.corpus import CLASSES, LOGMEL, VIDEO, make_corpus
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest

EMBEDDING = (512,)
SPEAKERS = 18


class Task(NamedTuple):
    """Heads to train, and what that may take.

    Args:
        clips: in the corpus.
        heads: in all.
        division: the options that make so many.
        seconds: of the whole command.
    """

    clips: int
    heads: int
    division: tuple[str, ...]
    seconds: float


TASKS = (
    Task(773, 36, ("--folds", "speaker:6", "--seeds", "6"), 60.0),
    Task(20, 10, ("--folds", "clip:5", "--seeds", "2"), 10.0),
)
MOST_GIGABYTES = 1.0


def make_cache(folder: Path, num_clips: int) -> Path:
    """Write resnet18 and logmel of a corpus, and its manifest, whose path is returned."""
    corpus = make_corpus(num_clips, video=(*VIDEO[:2], EMBEDDING), sound=LOGMEL)
    for name, modality, array in (("resnet18", "video", "basic"), ("logmel", "audio", "logmel")):
        steps = corpus.sequences[modality]
        clips = {clip: {array: steps.of(i)} for i, clip in enumerate(corpus.clip_ids)}
        write_set(folder / "cache", name, clips)
    return write_manifest(
        folder / "manifest.csv",
        [
            Clip(clip, Path(f"{clip}.mp4"), CLASSES[i % len(CLASSES)], speaker=f"s{i % SPEAKERS}")
            for i, clip in enumerate(corpus.clip_ids)
        ],
    )


def train(manifest: Path, run: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """Train by the command line; return its seconds, processor seconds and largest memory."""
    command = [sys.executable, "-m", "pipeline", "train", str(manifest), "--run", str(run)]
    command += ["--cache", str(manifest.parent / "cache"), "--device", "cpu", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said.decode()[-2000:]}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "gigabytes": round(used.ru_maxrss * 1024 / 1e9, 3),
    }
