"""Sequences of one modality: the steps of many clips, one clip behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Sequences:
    """Steps of N clips with their times, without padding; their lengths are checked.

    Args:
        values: (sum T, ...) features of every step.
        times: (sum T,) seconds, one per step.
        offsets: (N + 1,); clip i has the steps ``offsets[i]`` to ``offsets[i + 1]``.

    Raises:
        ValueError: the lengths disagree, or ``offsets`` does not rise from 0 to sum T.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        total = len(self.values)
        if len(self.times) != total:
            raise ValueError(f"{total} steps have {len(self.times)} times")
        offsets = self.offsets
        if (
            not len(offsets)
            or offsets[0] != 0
            or offsets[-1] != total
            or (np.diff(offsets) < 0).any()
        ):
            raise ValueError(f"offsets must rise from 0 to {total}, got {offsets.tolist()}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each clip, (N,)."""
        return np.diff(self.offsets)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one step."""
        return self.values.shape[1:]

    def of(self, clip: int) -> NDArray[np.float32]:
        """Values of one clip, (T, ...)."""
        return self.values[self.offsets[clip] : self.offsets[clip + 1]]

    def times_of(self, clip: int) -> NDArray[np.float64]:
        """Times of one clip, (T,)."""
        return self.times[self.offsets[clip] : self.offsets[clip + 1]]

    def rows(self, clips: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of all steps of some clips."""
        parts = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in clips]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def without(self, clips: NDArray[np.bool_]) -> Sequences:
        """Return the sequences with no step left of the clips that are marked, (N,)."""
        if not clips.any():
            return self
        lengths = np.where(clips, 0, self.lengths)
        keep = np.repeat(~clips, self.lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Sequences(self.values[keep], self.times[keep], offsets)

    def with_values(self, values: NDArray[np.float32]) -> Sequences:
        """Return the same steps with other values."""
        return replace(self, values=values)


def flatten_grid(grid: Sequences) -> Sequences:
    """Make each of a grid's F' elements a step of its own, at the time they share.

    Args:
        grid: steps of shape (F', D).

    Raises:
        ValueError: its steps have another number of axes.
    """
    if len(grid.shape) != 2:
        raise ValueError(f"a grid's steps must have shape (F, D), got {grid.shape}")
    bands, dim = grid.shape
    return Sequences(
        grid.values.reshape(-1, dim), np.repeat(grid.times, bands), grid.offsets * bands
    )


def join_shapes(shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> tuple[int, ...]:
    """Return the shape of the steps of some sets side by side.

    Args:
        shapes: of one step of each set.
        names: of the sets, for messages.

    Raises:
        ValueError: there are several, and steps that are not vectors.
    """
    if len(shapes) == 1:  # log-mel, whose steps are no vectors, is fine as long as it is alone
        return shapes[0]
    for shape, name in zip(shapes, names, strict=True):
        if len(shape) != 1:
            raise ValueError(f"{name} can't be joined: its steps have shape {shape}")
    return (sum(shape[0] for shape in shapes),)


def join(parts: Sequence[Sequences], clip_ids: Sequence[str], names: Sequence[str]) -> Sequences:
    """Write the values of several sets side by side, step by step.

    Args:
        parts: sequences of the same clips, their steps vectors.
        clip_ids: ids of the clips, for messages.
        names: names of the parts, for messages.

    Raises:
        ValueError: a clip's steps differ between parts, or steps of several are not vectors.
    """
    first = parts[0]
    join_shapes([part.shape for part in parts], names)
    if len(parts) == 1:
        return first
    for part, name in zip(parts, names, strict=True):
        for i, clip in enumerate(clip_ids):
            n, m = len(first.times_of(i)), len(part.times_of(i))
            if n != m:
                raise ValueError(
                    f"clip {clip} has {n} steps in {names[0]} and {m} in {name}; "
                    "a join needs the same steps: extract both with the same settings"
                )
            # Of a clip that is one step in each, the step is the whole clip.
            if n > 1 and not np.allclose(first.times_of(i), part.times_of(i), rtol=0.0, atol=1e-6):
                raise ValueError(
                    f"clip {clip} has its steps at other times in {name} than in {names[0]}; "
                    "a join needs the same steps: extract both with the same settings"
                )
    return first.with_values(np.concatenate([part.values for part in parts], axis=1))


class Steps(NamedTuple):
    """One modality of a batch: features (B, T, ...) and the mask (B, T) of real steps."""

    features: Tensor
    mask: Tensor
