"""Small corpora for the tests of training: in memory, and as real caches on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.digest import digest_text
from cache.entries.entry import read_identity
from cache.entries.failure import Failure
from cache.entries.source import Source
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.settings import settings_from
from trainer.data.corpus import Corpus
from trainer.data.sequences import Sequences
from trainer.settings import TrainSettings

CLASSES = ("angry", "happy", "sad")
VIDEO_DIM, AUDIO_DIM = 5, 7


def source_of(clip: str) -> Source:
    """The file of a clip: no two have the same content."""
    return Source(11, 13, digest_text(clip))


def small_settings(**tables: Any) -> TrainSettings:
    """A head that trains in milliseconds; tables are merged into its settings."""
    values: dict[str, Any] = {
        "video": {"hidden_dim": 8},
        "audio": {"hidden_dim": 8, "encoder": "none"},
        "fusion": {"out_dim": 11, "rank": 2},
        "optim": {"epochs": 4, "batch_size": 8, "learning_rate": 0.02},
    }
    for table, changes in tables.items():
        values[table] = (
            {**values.get(table, {}), **changes} if isinstance(changes, dict) else changes
        )
    return settings_from(TrainSettings, values)


def ragged(lengths: Sequence[int], dim: int, seed: int) -> Sequences:
    """Noise; clip i has ``lengths[i]`` steps of ``dim`` values."""
    values = np.random.default_rng(seed).normal(size=(sum(lengths), dim)).astype(np.float32)
    times = np.concatenate([np.zeros(0), *(np.arange(n) / 25 for n in lengths)])
    return Sequences(values, times, np.concatenate([[0], np.cumsum(lengths, dtype=int)]))


def toy_corpus(num_clips: int = 30, *, missing: bool = False, seed: int = 3) -> Corpus:
    """Clips whose class shows in a third of their steps, half of it in each modality.

    With ``missing`` clip 1 has no video, clip 2 no audio and clip 3 neither.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(num_clips) % len(CLASSES)
    sequences = {}
    for name, dim in (("video", VIDEO_DIM), ("audio", AUDIO_DIM)):
        lengths = rng.integers(3, 12, num_clips)
        if missing:
            lengths[[1, 3] if name == "video" else [2, 3]] = 0
        part = ragged(lengths.tolist(), dim, seed)
        for i, label in enumerate(labels):
            part.of(i)[::3, label] += 4.0
        sequences[name] = part
    return Corpus(
        clip_ids=tuple(f"clip{i:02}" for i in range(num_clips)),
        sequences=sequences,
        classes=CLASSES,
        labels=labels.astype(np.int64),
        features={"video": "basic", "audio": "values"},
        set_keys={"ir50": "a" * 64, "lips": "b" * 64},
    )


def write_set(
    cache: Path,
    name: str,
    clips: Mapping[str, Mapping[str, np.ndarray] | str],
    same_file: Mapping[str, str] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    **spec: Any,
) -> FeatureSet:
    """Write a real feature set; a string instead of arrays is a failure's reason.

    ``same_file``: clip to another one of which its file is a copy.
    """
    made = FeatureSet(cache, SetSpec(name, settings or {}, version=1, **spec)).create({})
    for clip, arrays in clips.items():
        if isinstance(arrays, str):
            made.record_failure(Failure(clip, "decode", arrays, source_of(clip)))
            continue
        steps = len(next(iter(arrays.values())))
        upstream = {
            name: read_identity(path) if path.exists() else "0" * 64
            for name, path in made.upstream_paths(clip).items()
        }
        source = source_of((same_file or {}).get(clip, clip))
        with made.writer(clip, source=source, provenance={}, upstream=upstream) as writer:
            writer.append(**{"times": np.arange(steps) / 25, **arrays})
            writer.finish(missing=() if steps else ("no audio stream",))
    return made


def values(steps: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Noise of float32."""
    return np.random.default_rng(seed).normal(size=(steps, *shape)).astype(np.float32)
