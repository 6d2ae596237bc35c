"""What a sweep is made of: a base, the axes of a grid, and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any


class SweepError(ValueError):
    """A sweep file that can't be understood, or a folder that can't take its results."""


@dataclass(frozen=True)
class Base:
    """What all cells start from; the names are those of ``avfuse train``'s options.

    Args:
        preset: settings to start from.
        set: settings over the preset's.
        folds: as ``--folds``; None for the manifest's splits.
        split: the split to report on.
        train_on: the splits to train on.
        seeds: heads per fold.
        select: how the number of epochs is chosen; None leaves it to the preset.
        fold_seed: seed of folds by clip.
        allow_shared_speakers: accept a speaker in training and test clips.
    """

    preset: str = "icmi19"
    set: dict[str, Any] = field(default_factory=dict)
    folds: str | None = None
    split: str | None = None
    train_on: tuple[str, ...] = ("train",)
    seeds: int = 1
    select: str | None = None
    fold_seed: int = 0
    allow_shared_speakers: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")


@dataclass(frozen=True)
class CellText:
    """One cell as a file states it.

    Args:
        name: unique in the file.
        set: settings over those of the base.
        seeds: heads per fold, if other than the base's; their probabilities are averaged.
        train_on: the splits to train on, if other than the base's. Skipped under folds.
        ensemble: names of the cells whose probabilities are averaged instead of a training.
        paper: the paper's accuracy in percent.
        paper_note: what the paper's figure is of.
        skip: why the cell can't be run; it stands in the table for the paper's figure.
    """

    name: str
    set: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    train_on: tuple[str, ...] | None = None
    ensemble: tuple[str, ...] = ()
    paper: float | None = None
    paper_note: str = ""
    skip: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a cell needs a name")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        if self.ensemble and (self.set or self.seeds or self.train_on):
            raise ValueError("an ensemble trains nothing: leave out set, seeds and train_on")


@dataclass(frozen=True)
class Axis:
    """One axis of a grid: settings for each of its positions."""

    name: str
    labels: tuple[str, ...]
    sets: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep file.

    Args:
        name: of the file, without its ending.
        title: for people.
        base: what all cells start from.
        axes: of the grid; the first cells are its product, the last axis fastest.
        cells: all cells in the order of the table.
        overrides: settings from the command line, over the base's and under the cells'.
    """

    name: str
    title: str
    base: Base
    axes: tuple[Axis, ...]
    cells: tuple[CellText, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grid_size(self) -> int:
        """How many of the cells are those of the grid."""
        return prod(len(axis.labels) for axis in self.axes) if self.axes else 0
