"""Two clips and a cache of them, of which each run says what it computed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from cache.settings import merge, settings_from
from pipeline.extract.job import ClipResult
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import WeightsChoice
from tests.pipeline.extracting import entries
from tests.pipeline.videos import grey_frame, write_video

SETS = ("faces", "resnet18", "spectrogram", "logmel", "voice")
ALL = frozenset({*SETS, "identity"})  # which comes with faces
BASE: dict[str, Any] = {
    "network": {"image_size": 32, "views": {"rotations": [0.0], "scales": [1.0], "flip": False}},
}


def settings_with(values: dict[str, Any]) -> StageOneSettings:
    """The settings of these tests, with some changed."""
    return settings_from(StageOneSettings, merge(BASE, values))


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Two clips and a cache of them; each run says which sets of which clips it computed."""

    clips: tuple[Clip, ...]
    cache: Path

    def plan(self, settings: StageOneSettings | None = None, **options: Any) -> Plan:
        weights = options.pop("weights", WeightsChoice())
        settings = settings or settings_with({})
        options.setdefault("device", "cpu")
        return plan_sets(SETS, settings, {"resnet18": weights}, cache=self.cache, **options)

    def extract(
        self, plan: Plan, clips: tuple[Clip, ...] | None = None, *, jobs: int = 0
    ) -> set[tuple[str, str]]:
        before = entries(self.cache)
        results: tuple[ClipResult, ...] = run_extract(clips or self.clips, plan, jobs=jobs).clips
        after = entries(self.cache)
        fresh = {
            (name, clip.clip)
            for clip in results
            for name, result in clip.sets.items()
            if result.fresh
        }
        written = {path for path in after if before.get(path) != after[path]}
        assert {(path.split("-")[0], Path(path).stem) for path in written} == fresh
        assert not [clip for clip in results if clip.state == "failed"]
        return fresh

    def both(self, names: frozenset[str]) -> set[tuple[str, str]]:
        return {(name, clip.id) for name in names for clip in self.clips}


def make_corpus(folder: Path) -> Corpus:
    """Write clips of 2 and 3 frames with sound, and extract nothing yet."""
    clips = []
    for number in (2, 3):
        time = np.arange(16_000 * number // 10) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * 100 * number * time, dtype=np.float32)[None]
        path = folder / f"c{number}.mp4"
        images = [grey_frame(at + number) for at in range(number)]
        write_video(path, images, codec="mpeg4", sound=sound)
        clips.append(Clip(f"c{number}", path))
    return Corpus(tuple(clips), folder / "cache")
