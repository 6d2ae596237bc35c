"""``avfuse extract`` killed: in one process, with one worker or two, and with a shared network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.trust.kills.operation import CacheWatch, Operation, Target, compare_caches
from benchmarks.trust.kills.tally import Tally
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from pipeline.extract.run import REPORT_NAME

SETS = "faces,spectrogram"
WITH_WORKERS: Mapping[Target, float] = {"group": 0.5, "parent": 0.25, "worker": 0.25}


def make_corpus(folder: Path, clips: int) -> Path:
    """Write tiny clips with sound and their manifest."""
    from tests.pipeline.videos import write_video

    folder.mkdir(parents=True)
    rows = []
    for number in range(clips):
        rng = np.random.default_rng(number)
        images = [rng.integers(0, 256, (62, 94, 3), np.uint8) for _ in range(3)]
        seconds = np.arange(4_000) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * (150 + 10 * number) * seconds, dtype=np.float32)[None]
        path = write_video(folder / f"c{number}.mp4", images, codec="mpeg4", sound=sound)
        rows.append(Clip(f"c{number}", path))
    return write_manifest(folder / "manifest.csv", rows)


class Extract(Operation):
    """Extraction in one process."""

    name = "extract"
    reach = 0.15
    clips: ClassVar[int] = 30
    options: ClassVar[Sequence[str]] = ("--sets", SETS, "--jobs", "0")

    def make_sources(self) -> None:
        """Write the clips."""
        self.manifest = make_corpus(self.folder / "clips", self.clips)

    def command(self, place: Path) -> Sequence[str]:
        """Extract all clips."""
        return ["extract", str(self.manifest), "--cache", str(place / "cache"), *self.options]

    def forget(self) -> None:
        """Forget the entries."""
        self.watch = CacheWatch(self.at / "cache")

    def check(self, tally: Tally) -> None:
        """No entry is lost or damaged, no clip failed, and gc leaves nothing behind."""
        if not self.watch.cache.exists():
            return
        self.watch.check(tally)
        self.watch.clean(tally)
        report = self.watch.cache / REPORT_NAME
        if report.exists():
            json.loads(report.read_text())

    def compare(self, tally: Tally) -> None:
        """Every array is that of the undisturbed run."""
        compare_caches(self.watch.cache, self.undisturbed / "cache", tally)


class ExtractWithOneWorker(Extract):
    """Extraction with one worker process."""

    name = "extract with one worker"
    targets = WITH_WORKERS
    options = ("--sets", SETS, "--jobs", "1")


class ExtractWithTwoWorkers(Extract):
    """Extraction with two worker processes."""

    name = "extract with two workers"
    targets = WITH_WORKERS
    options = ("--sets", SETS, "--jobs", "2")


class ExtractWithSharedNetwork(Extract):
    """Extraction by two workers that share a network.

    Alone in its batch, a crop's embedding doesn't depend on which clips came at the same time.
    """

    name = "extract with a shared network"
    targets = WITH_WORKERS
    options = (
        *("--sets", "faces,resnet18", "--weights", "resnet18=random", "--views", "basic"),
        *("--set", "network.image_size=64", "--batch-size", "1"),
        *("--consumer", "shared", "--jobs", "2"),
    )
