"""Batches of stacked heads: every stream's batches side by side, packed, without Python per clip.

Stream s deals its clips exactly as a head of its seed trained alone does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        parts = {name: _Epoch(offsets, clips) for name, offsets in self.offsets.items()}
        of_epoch = self._move(np.maximum(clips, 0))
        real = self._move((clips >= 0).astype(np.float32))
        packed = {name: self._pack(name, part) for name, part in parts.items()}
        for step in range(steps):
            yield StackedBatch(
                parts={name: next(batches) for name, batches in packed.items()},
                sizes=tuple(sizes[:, step].tolist()),
                clips=of_epoch[step],
                real=real[step],
            )

    def _pack(self, name: str, epoch: _Epoch) -> Iterator[Packed]:
        """Cut one modality; what is small is moved to the device once for the whole epoch."""
        rows, bag = self._move(epoch.rows), self._move(epoch.bag)
        starts, has = self._move(epoch.starts), self._move(epoch.has)
        number = torch.arange(int(np.diff(epoch.ends).max()), device=self.device)
        for step, (start, end) in enumerate(pairwise(epoch.ends.tolist())):
            yield Packed(
                rows=self._gather(name, rows[start:end]),
                bounds=epoch.bounds[step],
                starts=starts[step],
                number=number[: end - start],
                bag=bag[start:end],
                has=has[step],
            )

    def _gather(self, name: str, rows: Tensor) -> Tensor:
        """Copy rows into memory that the process already has: new memory costs more than rows."""
        values, buffer = self.values[name], self._buffers.get(name)
        if buffer is None or len(buffer) < len(rows):
            buffer = values.new_empty((len(rows) + len(rows) // 4, *values.shape[1:]))
            self._buffers[name] = buffer
        return torch.index_select(values, 0, rows, out=buffer[: len(rows)])

    def _move(self, array: NDArray[np.int64] | NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class _Epoch:
    """Where the rows of an epoch's clips (steps, S, B) are; clip -1 has none.

    Attributes:
        rows: (M,) of the corpus, step by step, stream by stream, clip by clip.
        ends: (steps + 1,) where each step's rows start, and M.
        bag: (M,) each row's clip, S B of them a step.
        starts: (steps, S B) where each clip's rows start within its step.
        bounds: of each step, where each stream's rows start within it, and how many there are.
        has: (steps, S, B, 1) 1 for a clip with a row, else 0.
    """

    def __init__(self, offsets: Indices, clips: Indices) -> None:
        steps, streams, bags = clips.shape
        there = np.maximum(clips, 0)
        lengths = np.where(clips >= 0, offsets[there + 1] - offsets[there], 0)
        sizes = lengths.ravel()
        stop = np.cumsum(sizes)
        shift = np.repeat(offsets[there].ravel() - stop + sizes, sizes)
        self.rows: Indices = np.arange(len(shift)) + shift
        self.ends: Indices = np.concatenate([[0], stop[streams * bags - 1 :: streams * bags]])
        self.bag: Indices = np.repeat(np.tile(np.arange(streams * bags), steps), sizes)
        self.starts: Indices = (stop - sizes).reshape(steps, -1) - self.ends[:-1, None]
        of_streams = np.cumsum(lengths.sum(axis=2), axis=1)
        self.bounds = [(0, *row) for row in of_streams.tolist()]
        self.has = (lengths > 0).astype(np.float32)[..., None]
