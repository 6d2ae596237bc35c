"""A corpus in memory in the size of AFEW's training split; its numbers are random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cache.settings import merge
from trainer.data.corpus import Corpus
from trainer.data.sequences import Sequences
from trainer.settings import TrainSettings, load_preset, settings_from_dict

NUM_CLIPS = 773
CLASSES = tuple("abcdefg")
SHORTEST, LONGEST = 1.0, 5.0  # seconds
# Steps a second, steps of the shortest clip, shape of a step.
Shape = tuple[float, int, tuple[int, ...]]
VIDEO: Shape = (22.5, 10, (1024,))
GRID: Shape = (15.0, 15, (256,))
SPECTROGRAM: Shape = (100.0, 100, (200,))
LOGMEL: Shape = (100.0, 100, (40, 3))


def make_corpus(
    num_clips: int = NUM_CLIPS,
    *,
    video: Shape = VIDEO,
    sound: Shape = GRID,
    seed: int = 0,
    seconds: NDArray[np.float64] | None = None,
) -> Corpus:
    """Clips of 1 to 5 seconds: 10 to 100 video steps and 15 to 75 of a grid, or a spectrogram's.

    With ``seconds``, clip i has ``seconds[i]``.
    """
    rng = np.random.default_rng(seed)
    if seconds is None:
        seconds = rng.uniform(SHORTEST, LONGEST, num_clips)
    sequences = {}
    for name, (rate, least, shape) in (("video", video), ("audio", sound)):
        lengths = (least + (seconds - SHORTEST) * rate).round().clip(1).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = rng.standard_normal((offsets[-1], *shape), dtype=np.float32)
        times = np.concatenate([np.arange(n) / rate for n in lengths])
        sequences[name] = Sequences(values=values, times=times, offsets=offsets)
    return Corpus(
        clip_ids=tuple(f"c{i:04}" for i in range(num_clips)),
        sequences=sequences,
        classes=CLASSES,
        labels=rng.integers(0, len(CLASSES), num_clips),
        features={"video": "values", "audio": "values"},
    )


def make_settings(
    video: str = "transformer",
    audio: str = "transformer",
    *,
    epochs: int = 2,
    stack: str = "auto",
) -> TrainSettings:
    """icmi19's head with a pair of attentions."""
    changes = {
        "video": {"attention": video},
        "audio": {"attention": audio, "encoder": "none"},
        "optim": {"epochs": epochs, "stack": stack},
    }
    return settings_from_dict(merge(load_preset("icmi19"), changes))
