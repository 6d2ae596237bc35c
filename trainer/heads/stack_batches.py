"""Batches of stacked heads: every stream's batches side by side, in blocks, no Python per clip.

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

from trainer.data.batches import BatchMaker
from trainer.heads.stack_ops import Block, Packed, mask_table

Indices = NDArray[np.int64]

# Clips of a block at most: the weights of a block are as many as its clips times its rows.
BLOCK = 32


@dataclass(frozen=True)
class StackedBatch:
    """One optimiser step's clips of S streams, at most B a stream.

    Args:
        parts: modality -> its steps.
        sizes: clips of each stream; the bags behind them are empty.
        clips: (S, B) indices of the clips; those of empty bags are of no meaning.
        real: (S, B) 1 for a clip, 0 for an empty bag.
    """

    parts: Mapping[str, Packed]
    sizes: tuple[int, ...]
    clips: Tensor
    real: Tensor


class StackedBatchMaker:
    """Cuts batches from the corpus that a ``BatchMaker`` holds.

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
        blocks = -(-int(sizes.max()) // BLOCK)
        bags = -(-int(sizes.max()) // blocks)
        clips = np.full((steps, streams, blocks * bags), -1, np.int64)
        flat = np.concatenate([np.concatenate(list(plan)) for plan in plans])
        filled = np.arange(clips.shape[2]) < sizes[:, :, None]  # (S, steps, B)
        clips.transpose(1, 0, 2)[filled] = flat
        of_epoch = self._move(np.maximum(clips, 0))
        real = self._move((clips >= 0).astype(np.float32))
        packed = {
            name: self._pack(name, _Epoch(offsets, clips, bags))
            for name, offsets in self.offsets.items()
        }
        for step in range(steps):
            yield StackedBatch(
                parts={name: next(batches) for name, batches in packed.items()},
                sizes=tuple(sizes[:, step].tolist()),
                clips=of_epoch[step],
                real=real[step],
            )

    def _pack(self, name: str, epoch: _Epoch) -> Iterator[Packed]:
        """Cut one modality; what is small is moved to the device once for the whole epoch."""
        index, bag = self._move(epoch.rows), self._move(epoch.bag)
        starts, has = self._move(epoch.starts), self._move(epoch.has)
        number = torch.arange(epoch.longest, device=self.device)
        table = mask_table(epoch.bags, self.device)
        for step, ends in enumerate(epoch.ends):
            rows = self._gather(name, index[ends[0] : ends[-1]])
            blocks = [
                Block(
                    stream=place // epoch.blocks,
                    rows=rows[start - ends[0] : end - ends[0]],
                    mask=table.index_select(1, bag[start:end]),
                    bag=bag[start:end],
                    starts=starts[step, place],
                    number=number[: end - start],
                )
                for place, (start, end) in enumerate(pairwise(ends))
            ]
            yield Packed(blocks, has[step])

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
    """Places of the rows of an epoch's clips (steps, S, B); clip -1 has none.

    Attributes:
        blocks, bags: blocks of a stream, and clips of a block.
        rows: (M,) of the corpus, step by step, stream by stream, clip by clip.
        bag: (M,) each row's clip among those of its block.
        ends: of each step, where its blocks' rows start, and where the last one's end.
        starts: (steps, blocks of a step, b) where each clip's rows start within its block.
        longest: rows of the largest block.
        has: (steps, S, B, 1) 1 for a clip with a row, else 0.
    """

    def __init__(self, offsets: Indices, clips: Indices, bags: int) -> None:
        steps, streams, width = clips.shape
        self.blocks, self.bags = width // bags, bags
        there = np.maximum(clips, 0)
        lengths = np.where(clips >= 0, offsets[there + 1] - offsets[there], 0)
        sizes = lengths.ravel()
        stop = np.cumsum(sizes)
        shift = np.repeat(offsets[there].ravel() - stop + sizes, sizes)
        self.rows: Indices = np.arange(len(shift)) + shift
        self.bag: Indices = np.repeat(np.arange(len(sizes)) % bags, sizes)
        of_blocks = np.concatenate([[0], stop[bags - 1 :: bags]])
        self.longest = int(np.diff(of_blocks).max())
        count = streams * self.blocks
        starts = (stop - sizes).reshape(-1, bags) - of_blocks[:-1, None]
        self.starts: Indices = starts.reshape(steps, count, bags)
        self.ends = [of_blocks[i * count : (i + 1) * count + 1].tolist() for i in range(steps)]
        self.has = (lengths > 0).astype(np.float32)[..., None]
