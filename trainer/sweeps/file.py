"""Sweep files: a table of experiments as TOML, a grid of settings or a list of named cells.

title = "..."                       # first line of the table
[base]                              # of every cell; see ``Base``
preset = "icmi19"
set = { video.hidden_dim = 64 }
[let]                               # names for feature sets: {wide} stands for the value below
wide = ""                           # empty: cells that use it are skipped until --let wide=SET
[[axes]]                            # the cells are the product of all axes
name = "audio attention"
setting = "audio.attention"
values = ["self", "transformer"]
[[axes]]
name = "features"
options = [{ name = "EF-A", set = { video.set = "{wide}" } }]
[paper]                             # the table as a paper prints it; see ``Paper``
figures = [54.6, 60.3]              # percent, one per cell of the grid, in its shape
note = "AFEW validation"
[[cells]]                           # and these; see ``CellText``
name = "4 FBPs"
seeds = 4
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cache.settings import (
    Overrides,
    SettingsError,
    merge,
    parse_overrides,
    read_toml,
    settings_from,
)
from trainer.settings import DEFAULT_PRESET, find_toml, inner_share, list_toml

SWEEPS = Path(__file__).parent
INNER = "inner"  # choice of the row, in ``Base.select``
TABLE_JSON = "table.json"  # in a sweep's folder
_VARIABLE = re.compile(r"\{(\w+)\}")


class SweepError(ValueError):
    """A sweep file that can't be understood, or a folder that can't take its results."""


class WorkerKilledError(RuntimeError):
    """A process that trained cells was killed from outside."""


@dataclass(frozen=True)
class Base:
    """Start of all cells; the names are those of ``avfuse train``'s options.

    Args:
        preset: settings to start from.
        set: settings over the preset's.
        folds: as ``--folds``; None for the manifest's splits.
        split: the split to report on.
        train_on: the splits to train on.
        seeds: heads per fold.
        select: how the number of epochs is chosen; None leaves it to the preset. ``inner`` chooses
            the row instead, for each fold inside its training clips.
        fold_seed: seed of folds by clip.
        allow_shared_speakers: accept a speaker in training and test clips.
        allow_copies: accept test clips with the content of a training clip.
    """

    preset: str = DEFAULT_PRESET
    set: dict[str, Any] = field(default_factory=dict)
    folds: str | None = None
    split: str | None = None
    train_on: tuple[str, ...] = ("train",)
    seeds: int = 1
    select: str | None = None
    fold_seed: int = 0
    allow_shared_speakers: bool = False
    allow_copies: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        if self.select is not None and not self.chooses_row:
            try:
                inner_share(self.select)
            except ValueError as error:
                raise ValueError(
                    f"select must be {INNER}, which chooses the row; else {error}"
                ) from None

    @property
    def chooses_row(self) -> bool:
        """Whether one row is chosen inside the training clips, and tested alone."""
        return self.select == INNER


@dataclass(frozen=True)
class CellText:
    """One cell as a file states it.

    Args:
        name: unique in the file.
        set: settings over those of the base.
        seeds: heads per fold, if other than the base's; their probabilities are averaged.
        train_on: the splits to train on, if other than the base's. Skipped under folds.
        ensemble: names of the cells whose probabilities are joined instead of a training.
        method: of an ensemble: "mean", "product" or "stack", as ``avfuse ensemble``; the cells of a
            stack are trained with nested predictions.
        paper: the paper's accuracy in percent.
        paper_note: what the paper's figure is of; empty: as of the whole table.
        paper_test: the paper's accuracy on test clips, where ``paper`` is of others.
        printed: what the paper prints in the row, by the column's heading.
        notes: sentences that belong beside the cell's figures.
        skip: why the cell can't be run; it stands in the table for the paper's figure.
    """

    name: str
    set: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    train_on: tuple[str, ...] | None = None
    ensemble: tuple[str, ...] = ()
    method: Literal["mean", "product", "stack"] = "mean"
    paper: float | None = None
    paper_note: str = ""
    paper_test: float | None = None
    printed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skip: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a cell needs a name")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        if self.ensemble and (self.set or self.seeds or self.train_on):
            raise ValueError("an ensemble trains nothing: leave out set, seeds and train_on")
        if self.method != "mean" and not self.ensemble:
            raise ValueError(f"method={self.method} is of an ensemble: name its cells")


@dataclass(frozen=True)
class Paper:
    """Table as a paper prints it, for the same table with our figures.

    Args:
        caption: the paper's.
        columns: headings in the paper's order; those of a grid are its second axis.
        accuracies: headings of the columns of ``paper``, then of ``paper_test``.
        figures: of the grid, one per cell in its shape, in percent; nan for none.
        note: the clips that ``paper`` and ``figures`` are of.
        note_test: the clips that ``paper_test`` is of.
    """

    caption: str = ""
    columns: tuple[str, ...] = ()
    accuracies: tuple[str, ...] = ()
    figures: tuple[Any, ...] = ()
    note: str = ""
    note_test: str = ""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.accuracies if name not in self.columns]:
            raise ValueError(f"accuracies has {', '.join(unknown)}, which is not in columns")
        if len(self.accuracies) > 2:
            raise ValueError("accuracies may name two columns, those of paper and of paper_test")


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
        paper: the table as a paper prints it.
        stand_ins: feature sets that a file of ours names in its table ``let`` and nobody chose:
            the cache's only face network takes their place where it lacks them.
    """

    name: str
    title: str
    base: Base
    axes: tuple[Axis, ...]
    cells: tuple[CellText, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    paper: Paper = field(default_factory=Paper)
    stand_ins: tuple[str, ...] = ()

    @property
    def stacked(self) -> set[str]:
        """Cells that a stack joins."""
        return {name for cell in self.cells if cell.method == "stack" for name in cell.ensemble}

    @property
    def grid_size(self) -> int:
        """Number of cells in the grid."""
        return prod(len(axis.labels) for axis in self.axes) if self.axes else 0


def sweep_names() -> list[str]:
    """Name the sweeps that come with avfuse."""
    return list_toml(SWEEPS)


def read_sweep(
    name: str,
    *,
    base: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    let: Sequence[str] = (),
) -> Sweep:
    """Read a sweep file.

    Args:
        name: one of ``sweep_names()``, or the path of a TOML file.
        base: values of ``Base`` that replace the file's.
        overrides: see ``parse_overrides``; over the base's. What a cell varies stays its own.
        let: ``name=set`` for the names of the file's table ``let``.

    Raises:
        SweepError: no such sweep, an unknown key or name, a value of another type, cells that
            share a name, a grid whose figures have another shape, or an ensemble of cells that
            aren't there.
        SettingsError: the file is not TOML, or an override is no setting.
        OSError: the file can't be read.
    """
    try:
        path = find_toml(SWEEPS, name, "sweep")
    except SettingsError as error:
        raise SweepError(str(error)) from error
    values, over = read_toml(path), parse_overrides(overrides)
    try:
        return _parse(path, values, base or {}, over, let)
    except SettingsError as error:
        raise SweepError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _File:
    title: str = ""
    base: Base = field(default_factory=Base)
    let: dict[str, Any] = field(default_factory=dict)
    axes: tuple[dict[str, Any], ...] = ()
    paper: Paper = field(default_factory=Paper)
    cells: tuple[CellText, ...] = ()


def _parse(
    path: Path,
    values: Mapping[str, Any],
    base: Mapping[str, Any],
    overrides: Mapping[str, Any],
    let: Sequence[str],
) -> Sweep:
    file = settings_from(_File, values)
    axes = tuple(_axis(axis, number) for number, axis in enumerate(file.axes))
    cells = [*_grid(axes, file.paper.figures), *file.cells]
    if not cells:
        raise SettingsError("a sweep needs [[axes]] or [[cells]]")
    names = [cell.name for cell in cells]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"cells share the name {', '.join(repeated)}")
    trained = {cell.name for cell in cells if not cell.ensemble}
    for cell in cells:
        if unknown := [member for member in cell.ensemble if member not in trained]:
            raise SettingsError(
                f"{cell.name} is an ensemble of {', '.join(unknown)}, which no cell trains"
            )
        if unknown := [name for name in cell.printed if name not in file.paper.columns]:
            raise SettingsError(
                f"{cell.name} prints {', '.join(unknown)}, which paper.columns doesn't have"
            )
    variables = _variables(file.let, let)
    chosen = {text.partition("=")[0] for text in let}
    stand_ins = {value for key, value in variables.items() if value and key not in chosen}
    return Sweep(
        name=path.stem,
        title=file.title or path.stem,
        base=settings_from(
            Base, {**values.get("base", {}), **base, "set": _fill(file.base.set, variables)}
        ),
        axes=axes,
        cells=tuple(_fill_cell(cell, variables) for cell in cells),
        overrides=overrides,
        paper=file.paper,
        stand_ins=tuple(sorted(stand_ins)) if path.parent == SWEEPS else (),
    )


def _axis(values: Mapping[str, Any], number: int) -> Axis:
    where = f"axes[{number}]"
    name = str(values.get("name", values.get("setting", where)))
    if set(values) == {"name", "options"} and values["options"]:
        options = [
            settings_from(CellText, option, where=f"{where}.options.")
            for option in values["options"]
        ]
        return Axis(name, tuple(o.name for o in options), tuple(o.set for o in options))
    if {"setting", "values"} <= set(values) <= {"name", "setting", "values"} and values["values"]:
        sets = [_nested(str(values["setting"]), value) for value in values["values"]]
        return Axis(name, tuple(str(value) for value in values["values"]), tuple(sets))
    raise SettingsError(f"{where} needs name, setting and values, or name and options")


def _grid(axes: Sequence[Axis], printed: Sequence[Any]) -> list[CellText]:
    """The product of all axes, with the paper's figures."""
    if not axes:
        if printed:
            raise SettingsError("paper.figures are those of a grid, which needs axes")
        return []
    shape = tuple(len(axis.labels) for axis in axes)
    figures = np.array(printed or np.full(shape, np.nan), np.float64)
    if figures.shape != shape:
        raise SettingsError(
            f"paper.figures has shape {figures.shape}, the grid has {shape}; write nan for none"
        )
    cells = []
    for place in itertools.product(*map(range, shape)):
        settings: dict[str, Any] = {}
        for axis, i in zip(axes, place, strict=True):
            settings = merge(settings, axis.sets[i])
        figure = float(figures[place])
        cells.append(
            CellText(
                name=" / ".join(axis.labels[i] for axis, i in zip(axes, place, strict=True)),
                set=settings,
                paper=None if np.isnan(figure) else figure,
            )
        )
    return cells


def _variables(table: Mapping[str, Any], let: Sequence[str]) -> dict[str, str]:
    variables = {key: str(value) for key, value in table.items()}
    for text in let:
        key, equals, value = text.partition("=")
        if not equals or key not in variables:
            known = ", ".join(variables) or "none"
            raise SettingsError(f"--let {text}: expected NAME=SET with a name of {known}")
        variables[key] = value
    return variables


def _fill_cell(cell: CellText, variables: Mapping[str, str]) -> CellText:
    """Put the names of feature sets in; a cell without one it needs is skipped."""
    used = set(_VARIABLE.findall(str(cell.set)))
    lacking = sorted(key for key in used if variables.get(key) == "")
    skip = cell.skip or (f"pass --let {lacking[0]}=SET" if lacking else "")
    return replace(cell, set=_fill(cell.set, variables), skip=skip)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key, item in value.items():
            result = merge(result, _nested(key, _fill(item, variables)))
        return result
    if isinstance(value, str):
        for key in _VARIABLE.findall(value):
            if key not in variables:
                raise SettingsError(f"{value!r} uses {key}, which is not in the table let")
        return _VARIABLE.sub(lambda match: variables[match[1]], value)
    return value


def _nested(key: str, value: Any) -> dict[str, Any]:
    """Turn ``video.set`` into a table in a table."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)
