"""Batches: a corpus in memory, cut into padded batches of clips of similar length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.sequences import Sequences, Steps

# Clips are sorted by length within so many batches: little padding, and still a random mix.
POOL = 8
# Lengths are blurred by this share before sorting, so that a small corpus mixes too.
BLUR = 0.2


def plan_batches(
    lengths: NDArray[np.int64], clips: NDArray[np.int64], batch_size: int, *, seed: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Deal clips into the batches of one epoch, neighbours in length together.

    Args:
        lengths: (N,) length of every clip of the corpus.
        clips: indices of the clips to deal.
        batch_size: the most clips in a batch; batches differ by at most one clip.
        seed: numbers that decide the deal, such as (seed, epoch).

    Returns:
        Indices of each batch's clips, batches in random order. Each clip is in exactly one.
    """
    rng = np.random.default_rng(list(seed))
    order = clips[rng.permutation(len(clips))]
    blurred = lengths[order] * (1.0 + BLUR * rng.uniform(-1.0, 1.0, len(order)))
    pool = POOL * batch_size
    for start in range(0, len(order), pool):
        part = slice(start, start + pool)
        order[part] = order[part][np.argsort(blurred[part], kind="stable")]
    batches = _split(order, batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def ordered_batches(
    lengths: NDArray[np.int64], clips: NDArray[np.int64], batch_size: int
) -> list[NDArray[np.int64]]:
    """Cut clips, sorted by length, into batches for evaluation."""
    return _split(clips[np.argsort(lengths[clips], kind="stable")], batch_size)


def _split(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    count = -(-len(order) // batch_size)
    return list(np.array_split(order, count)) if count else []


class BatchMaker:
    """A corpus's sequences as tensors on a device, from which padded batches are cut.

    Args:
        sequences: modality -> normalised steps of every clip.
        device: where batches are wanted.
    """

    def __init__(
        self, sequences: Mapping[str, Sequences], device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.offsets = {name: part.offsets for name, part in sequences.items()}
        self.values = {name: self._store(part.values) for name, part in sequences.items()}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of each clip over all modalities: what a batch of it costs."""
        total: NDArray[np.int64] = sum(map(np.diff, self.offsets.values()), np.zeros(1, np.int64))
        return total

    def batch(self, clips: NDArray[np.int64]) -> dict[str, Steps]:
        """Pad the clips' steps to the longest of them, modality by modality.

        Returns:
            modality -> features (B, T, ...), 0 where the mask (B, T) is False. T is at least 1.
        """
        return {name: self._pad(name, clips) for name in self.values}

    def _store(self, values: NDArray[np.float32]) -> Tensor:
        """Copy (n, ...) values to the device, with one row of zeros behind them for padding."""
        stored = torch.empty((len(values) + 1, *values.shape[1:]))
        stored.numpy()[:-1] = values
        stored[-1] = 0.0
        return stored.to(self.device)

    def _pad(self, name: str, clips: NDArray[np.int64]) -> Steps:
        values, offsets = self.values[name], self.offsets[name]
        starts = offsets[clips]
        lengths = offsets[clips + 1] - starts
        position = np.arange(max(1, int(lengths.max(initial=0))))
        real = position < lengths[:, None]
        rows = np.where(real, starts[:, None] + position, len(values) - 1)
        features = values[torch.from_numpy(rows).to(self.device)]
        return Steps(features, torch.from_numpy(real).to(self.device))
