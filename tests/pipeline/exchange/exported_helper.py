"""A small cache to export from, without any media: sets whose steps differ in number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.entries.source import Source
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import FeatureSet, SetSpec

CLIPS = tuple("abcdefgh")
SPLITS = {
    "a": "train", "b": "train", "c": "val", "d": "test",
    "e": None, "f": "train", "g": "val", "h": "test",
}  # fmt: skip
DIM, BINS, CHANNELS = 5, 7, 3


def make_export(folder: Path) -> tuple[Path, Path]:
    """Write a cache with ``ir50``, ``resnet18`` and ``logmel``, and the manifest of its clips.

    Clip b has no step of video. A setting of the sets holds what would end a block of Markdown.
    """
    generator = np.random.default_rng(0)
    cache = folder / "cache"
    for name, array, shape in (
        ("ir50", "basic", (DIM,)),
        ("resnet18", "basic", (DIM,)),
        ("logmel", "logmel", (BINS, CHANNELS)),
    ):
        spec = SetSpec(name, {"note": "``` <script>"}, 1)
        made = FeatureSet(cache, spec).create({"host": "mine", "command": ["x"], "avfuse": "1"})
        for number, clip in enumerate(CLIPS):
            steps = 0 if (name, clip) == ("ir50", "b") else 2 + number
            with made.writer(clip, source=Source(2, 3, "0" * 64), provenance={}) as writer:
                values = generator.normal(size=(steps, *shape)).astype(np.float32)
                writer.append(times=np.arange(steps) / 100, **{array: values})
                writer.finish()
    clips = [
        Clip(
            clip,
            folder / f"{clip}.mp4",
            ("angry", "happy")[number % 2],
            SPLITS[clip],
            f"s{number // 3}",
            number % 3 or None,
        )
        for number, clip in enumerate(CLIPS)
    ]
    return cache, write_manifest(folder / "manifest.csv", clips)
