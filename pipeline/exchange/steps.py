"""Steps of one clip, made from the rows of a source: each with its time, in order, finite."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.columns import Rows
from pipeline.exchange.layouts import layout_of
from pipeline.exchange.settings import ImportSettings, SameTime


class ImportedSteps(NamedTuple):
    """Content of an entry: times (T,), values (T, D), what it lacks, and what is odd about it."""

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def make_steps(rows: Rows, settings: ImportSettings) -> ImportedSteps:
    """Give every row that is kept its time, in order.

    A single row without a time is a clip-level vector, at second 0. Where rows have faces, those
    of the face with most rows are taken.

    Returns:
        The steps; ``missing`` says how many rows the tool left empty, how many of them were left
        out for nan, and where no row is left.

    Raises:
        ValueError: rows without times, a time or feature that is nan or infinite or no float32,
            or rows at the same time that are to be refused.
    """
    layout = layout_of(settings)
    times = _seconds(rows, settings)
    kept = rows.kept & rows.found
    missing, notes = [], list(rows.notes)
    lost = np.count_nonzero(rows.kept & ~rows.found)
    if lost:
        missing.append(f"{lost} of {np.count_nonzero(rows.kept)} rows without {layout.lost}")
    untimed = np.count_nonzero(~np.isfinite(times[kept]))
    if untimed:
        raise ValueError(f"{untimed} of {np.count_nonzero(kept)} times are nan or infinite")
    with np.errstate(over="ignore"):  # found below
        values = rows.values.astype(np.float32)
    bad = kept & ~np.isfinite(values).all(axis=1)
    if bad.any():
        missing.append(_refuse_or_count(bad, kept, values, rows, settings))
        kept &= ~bad
    if settings.same_time == "refuse":
        kept, chosen = _keep_one_face(rows, times, kept)
        notes += chosen
    times, values = times[kept], values[kept]
    if np.any(np.diff(times) < 0):
        notes.append("order: rows were not in the order of their times, and were sorted")
    order = np.argsort(times, kind="stable")
    same_time = settings.same_time
    num_times = len(np.unique(times))
    if same_time == "refuse" and 0 < len(times) - num_times <= min(layout.repeats, num_times - 1):
        notes.append(f"times: of last steps that {layout.tool} gives one time the first was taken")
        same_time = "first"
    times, values = _merge(times[order], values[order], same_time)
    if not len(times):
        where = (
            f" where {' and '.join(settings.where)}" if settings.where and rows.kept.size else ""
        )
        missing.append(f"no row in the source{where}")
    return ImportedSteps(times, values, tuple(missing), tuple(notes))


def _seconds(rows: Rows, settings: ImportSettings) -> NDArray[np.float64]:
    count = len(rows.values)
    if rows.times is not None:
        return rows.times / (settings.rate or 1.0)
    if settings.rate is not None:
        return np.arange(count) / settings.rate
    if count > 1:
        raise ValueError(f"{count} rows without times; {layout_of(settings).without_times}")
    return np.zeros(count)


def _keep_one_face(
    rows: Rows, times: NDArray[np.float64], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Keep the face with most rows, and of its rows at one time that with the highest score."""
    notes = []
    counts = Counter(rows.faces[row] for row in np.flatnonzero(kept)) if rows.faces else Counter()
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]  # of equals the first
        kept = kept & np.array([face == usual for face in rows.faces])
        notes.append("faces: of several the one with most rows was taken")
    if rows.scores is not None:
        at = np.flatnonzero(kept)
        best = at[np.argsort(-rows.scores[at], kind="stable")]
        first = best[np.unique(times[best], return_index=True)[1]]
        if len(first) < len(at):
            notes.append("faces: of several at one time the one with the highest score was taken")
            kept = np.isin(np.arange(len(kept)), first)
    return kept, notes


def _refuse_or_count(
    bad: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    values: NDArray[np.float32],
    rows: Rows,
    settings: ImportSettings,
) -> str:
    """Say how many rows are not finite, as an error where such rows are refused."""
    counted = f"{np.count_nonzero(bad)} of {np.count_nonzero(kept)} rows"
    if settings.nan == "drop":
        return f"{counted} left out for nan or inf"
    column = int(np.argmin(np.isfinite(values[bad][0])))
    raise ValueError(
        f"{counted} have nan or inf (or too large for float32), the first in feature {column} "
        f"({rows.names[column]}); leave those rows out by --nan drop, or choose others by --columns"
    )


def _merge(
    times: NDArray[np.float64], values: NDArray[np.float32], same_time: SameTime
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Leave one row at each time; ``times`` are sorted."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return times, values
    if same_time == "refuse":
        at = unique[np.argmax(counts > 1)]
        raise ValueError(
            f"{int(counts.max())} rows at the same time, {at:g} s first; choose one by --where "
            "(such as the number of the face), or pass --same-time mean or first"
        )
    if same_time == "first":
        return unique, values[first]
    sums = np.add.reduceat(values.astype(np.float64), first, axis=0)
    return unique, (sums / counts[:, None]).astype(np.float32)
