"""Batches of stacked heads: every stream's batches side by side, packed, without Python per clip.

Stream s deals its clips exactly as a head of its seed trained alone does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.batches import BatchMaker
from trainer.stacked_ops import Packed

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class StackedBatch:
    """One optimiser step's clips of S streams, at most B a stream.

    Args:
        parts: modality -> packed steps.
        sizes: clips of each stream; the bags behind them are empty.
        clips: (S, B) indices of the clips; those of empty bags are of no meaning.
        real: (S, B) 1 for a clip, 0 for an empty bag.
    """

    parts: Mapping[str, Packed]
    sizes: tuple[int, ...]
    clips: Tensor
    real: Tensor


class StackedBatchMaker:
    """Cuts packed batches from the corpus that a ``BatchMaker`` holds.

    Args:
        maker: the normalised steps of every clip, each a vector, on the device where batches are
            wanted.
    """

    def __init__(self, maker: BatchMaker) -> None:
        self.device, self.lengths = maker.device, maker.lengths
        self.offsets, self.values = maker.offsets, maker.values
        self._buffers: dict[str, Tensor] = {}

    def batches(self, plans: Sequence[Sequence[Indices]]) -> Iterator[StackedBatch]:
        """Cut an epoch; ``plans`` has the batches of each stream, equally many.

        A batch is good until the next is cut: its rows lie in memory that is used again.
        """
        steps, streams = len(plans[0]), len(plans)
        sizes = np.array([[len(batch) for batch in plan] for plan in plans])  # (S, steps)
        clips = np.full((steps, streams, int(sizes.max())), -1, np.int64)
        flat = np.concatenate([np.concatenate(list(plan)) for plan in plans])
        filled = np.arange(clips.shape[2]) < sizes[:, :, None]  # (S, steps, B)
        clips.transpose(1, 0, 2)[filled] = flat
        rows = {name: _Epoch(offsets, clips) for name, offsets in self.offsets.items()}
        for step in range(steps):
            yield StackedBatch(
                parts={name: self._pack(name, epoch, step) for name, epoch in rows.items()},
                sizes=tuple(sizes[:, step].tolist()),
                clips=torch.from_numpy(np.maximum(clips[step], 0)).to(self.device),
                real=torch.from_numpy((clips[step] >= 0).astype(np.float32)).to(self.device),
            )

    def _pack(self, name: str, epoch: _Epoch, step: int) -> Packed:
        lengths = epoch.lengths[step]  # (S, B)
        streams, bags = lengths.shape
        sizes = lengths.ravel()
        ends = np.cumsum(sizes)
        bounds = (0, *ends.reshape(streams, bags)[:, -1].tolist())
        return Packed(
            rows=self._gather(name, epoch.rows_of(step)),
            bounds=bounds,
            starts=self._move(ends - sizes),
            bag=self._move(np.repeat(np.arange(len(sizes)), sizes)),
            has=self._move((lengths > 0).astype(np.float32)).unsqueeze(-1),
        )

    def _gather(self, name: str, rows: Indices) -> Tensor:
        """Copy rows into memory that the process already has: new memory costs more than rows."""
        values, index = self.values[name], self._move(rows)
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < len(rows):
            buffer = values.new_empty((len(rows) + len(rows) // 4, *values.shape[1:]))
            self._buffers[name] = buffer
        return torch.index_select(values, 0, index, out=buffer[: len(rows)])

    def _move(self, array: NDArray[np.int64] | NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class _Epoch:
    """The rows of an epoch's clips (steps, S, B), all at once; -1 has none."""

    def __init__(self, offsets: Indices, clips: Indices) -> None:
        there = np.maximum(clips, 0)
        self.lengths = np.where(clips >= 0, offsets[there + 1] - offsets[there], 0)
        sizes = self.lengths.ravel()
        ends = np.cumsum(sizes)
        self.rows = np.arange(int(ends[-1])) + np.repeat(
            offsets[there].ravel() - ends + sizes, sizes
        )
        self.bounds = np.concatenate([[0], ends[self.lengths[0].size - 1 :: self.lengths[0].size]])

    def rows_of(self, step: int) -> Indices:
        rows: Indices = self.rows[self.bounds[step] : self.bounds[step + 1]]
        return rows
