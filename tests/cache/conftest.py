"""A small feature set to write to. Fixtures build; they never assert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from cache.entries.source import Source, read_source
from cache.manifest.clip import Clip
from cache.packs.pack import open_pack
from cache.sets.feature_set import FeatureSet, SetSpec

STEPS, DIM = 7, 5

WriteEntry = Callable[..., Path]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A media file; its content doesn't matter to the cache."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"eleven byte")
    return path


@pytest.fixture
def source(video: Path) -> Source:
    return read_source(video)


@pytest.fixture
def feature_set(tmp_path: Path) -> FeatureSet:
    """An empty set."""
    spec = SetSpec("resnet18", {"size": 13}, version=1, weights="a" * 64)
    return FeatureSet(tmp_path / "out", spec).create({"host": "here"})


def arrays_of(steps: int = STEPS, *, seed: int = 0) -> dict[str, np.ndarray]:
    """``times`` and an embedding per step, different for every seed."""
    generator = np.random.default_rng(seed)
    return {
        "times": np.arange(steps) / 25,
        "basic": generator.normal(size=(steps, DIM)).astype(np.float32),
    }


def rows(*clips: str) -> dict[str, Clip]:
    """Rows of a manifest, of files that are not at hand."""
    return {clip: Clip(clip, Path(f"{clip}.mp4")) for clip in clips}


def names_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def write_entry(feature_set: FeatureSet, source: Source) -> WriteEntry:
    """Write an entry into the set and return its path."""

    def write(
        clip: str,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        missing: Sequence[str] = (),
        into: FeatureSet = feature_set,
    ) -> Path:
        upstream = dict.fromkeys(into.spec.upstream, "0" * 64)
        with into.writer(
            clip, source=source, provenance={"host": "here"}, upstream=upstream
        ) as writer:
            writer.append(**(arrays_of() if arrays is None else arrays))
            return writer.finish(missing=missing, attributes={"duration_seconds": 0.28})

    return write


def make_packs(feature_set: FeatureSet, write_entry: WriteEntry) -> tuple[Path, Path, Path]:
    """Make a pack whose entry was replaced since, a damaged one, and a fresh one."""
    for clip in ("a", "b"):
        write_entry(clip)
    stale = open_pack(feature_set, ["a"], "basic").path
    damaged = open_pack(feature_set, ["b"], "basic").path
    fresh = open_pack(feature_set, ["b"], "times").path
    write_entry("a", arrays_of(seed=1))
    damaged.write_bytes(b"x")
    return stale, damaged, fresh
