"""Sound for tests of what is made from it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

RATE = 16_000


class Stream(Protocol):
    def push(self, waveform: np.ndarray) -> np.ndarray: ...

    def finish(self) -> np.ndarray: ...


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def push_in_pieces(stream: Stream, waveform: np.ndarray) -> np.ndarray:
    """All that a stream yields of a waveform that is cut at 23 places."""
    samples = len(waveform)
    cuts = np.sort(np.random.default_rng(samples).integers(0, samples + 1, 23))
    parts = [stream.push(block) for block in np.split(waveform, cuts)]
    return np.concatenate([*parts, stream.finish()])
