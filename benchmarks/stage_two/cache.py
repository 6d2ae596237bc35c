"""Reads of a cache by stage two: their speed, and that training changes none of its entries."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache.digest import digest_text
from cache.entries.source import Source
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from cache.packs.pack import open_pack
from cache.sets.feature_set import FeatureSet, SetSpec
from trainer.data.corpus import Corpus
from trainer.runs.experiment import Protocol, run_experiment
from trainer.settings import TrainSettings

# As many bytes as the video of 773 clips.
LONG_CLIPS, LONG_STEPS, LONG_DIM = 64, 660, 1024


def write_set(cache: Path, name: str, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> FeatureSet:
    """Write a feature set: clip -> array -> values."""
    made = FeatureSet(cache, SetSpec(name, {}, version=1)).create({})
    for clip, values in arrays.items():
        steps = len(next(iter(values.values())))
        source = Source(1, 1, digest_text(clip))  # no two clips are of one content
        with made.writer(clip, source=source, provenance={}) as writer:
            writer.append(times=np.arange(steps) / 25, **values)
            writer.finish()
    return made


def fill_cache(cache: Path) -> FeatureSet:
    """Write a set whose pack is as large as a corpus's."""
    rng = np.random.default_rng(0)
    shape = LONG_STEPS, LONG_DIM
    return write_set(
        cache,
        "long",
        {
            f"c{i:02}": {"basic": rng.standard_normal(shape, dtype=np.float32)}
            for i in range(LONG_CLIPS)
        },
    )


def fill_from_corpus(cache: Path, corpus: Corpus) -> Path:
    """Write a corpus as the sets ir50 and alexnet, and beside the cache its manifest."""
    sets = {"ir50": ("video", "basic", ()), "alexnet": ("audio", "grid", (1,))}
    for name, (modality, array, bands) in sets.items():
        steps = corpus.sequences[modality]
        clips = {
            clip: {array: steps.of(i).reshape(-1, *bands, steps.values.shape[1])}
            for i, clip in enumerate(corpus.clip_ids)
        }
        write_set(cache, name, clips)
    return write_manifest(
        cache.parent / "manifest.csv",
        [
            Clip(
                clip,
                Path(f"{clip}.mp4"),
                label=corpus.classes[corpus.labels[i]],
                split="train" if i % 10 else "test",
            )
            for i, clip in enumerate(corpus.clip_ids)
        ],
    )


def read_pack(made: FeatureSet, *, verify: bool) -> Path:
    """Open the set's pack, as training does, and return its path."""
    clips = [f"c{i:02}" for i in range(LONG_CLIPS)]
    return open_pack(made, clips, "basic", verify=verify).path


def trim_memory() -> None:
    """Give freed memory back to the kernel, where the C library is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def read_plainly(path: Path) -> int:
    """Read as many bytes of the same file by ``numpy.fromfile``."""
    count = LONG_CLIPS * LONG_STEPS * LONG_DIM
    return len(np.fromfile(path, np.float32, count, offset=4096))


def count_changed_entries(folder: Path, settings: TrainSettings) -> tuple[int, int]:
    """Train three heads on one cache; count the files of entries that changed, and all of them.

    A run that would need something extracted refuses: stage two has nothing to extract with.
    """
    rng = np.random.default_rng(0)
    cache, clips = folder / "cache", [f"{label}{i}" for label in "ab" for i in range(6)]
    video = {
        clip: {
            name: np.abs(rng.standard_normal((7, 5), dtype=np.float32))
            for name in ("basic", "mean", "std")
        }
        for clip in clips
    }
    write_set(cache, "ir50", video)
    sound = {clip: {"grid": rng.standard_normal((3, 2, 11), dtype=np.float32)} for clip in clips}
    write_set(cache, "alexnet", sound)
    manifest = write_manifest(
        folder / "manifest.csv",
        [
            Clip(clip, Path(f"{clip}.mp4"), label=clip[0], split=("train", "test")[i % 2])
            for i, clip in enumerate(clips)
        ],
    )
    before = _state(cache)
    read = read_manifest(manifest, check_files=False)
    for number, (features, attention) in enumerate(
        (("basic", "transformer"), ("mean_std", "relation"), ("norm_fft", "self"))
    ):
        own = replace(
            settings,
            video=replace(settings.video, features=features, attention=attention),
            audio=replace(settings.audio, set="alexnet", attention=attention),
        )
        run_experiment(read, cache, own, folder / f"run{number}", Protocol())
    after = _state(cache)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return len(changed), len(after)


def _state(cache: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of every set; packs are copies, made by reading."""
    files = (path for path in cache.rglob("*") if path.is_file() and "packs" not in path.parts)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
