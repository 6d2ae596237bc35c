"""Steps of one clip, made from the rows of a source: each with its time, in order, finite."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.columns import Rows
from pipeline.exchange.settings import ImportSettings


class ImportedSteps(NamedTuple):
    """Content of an entry: times (T,), values (T, D), and what it lacks."""

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    missing: tuple[str, ...]


def make_steps(rows: Rows, settings: ImportSettings) -> ImportedSteps:
    """Give every row that is kept its time, in order.

    A single row without a time is a clip-level vector, at second 0.

    Returns:
        The steps; ``missing`` says so where no row is left.

    Raises:
        ValueError: rows without times, a time or feature that is nan or infinite or no float32,
            or rows at the same time that are to be refused.
    """
    times = _seconds(rows, settings)[rows.kept]
    untimed = np.count_nonzero(~np.isfinite(times))
    if untimed:
        raise ValueError(f"{untimed} of {len(times)} times are nan or infinite")
    with np.errstate(over="ignore"):  # found below
        values = rows.values[rows.kept].astype(np.float32)
    bad = np.logical_not(np.isfinite(values).all(axis=1))
    if bad.any():
        column = int(np.argmin(np.isfinite(values[bad][0])))
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} rows have nan or inf (or too large for float32), "
            f"the first in feature {column}; leave those rows out by --where, or the column"
        )
    order = np.argsort(times, kind="stable")
    times, values = _merge(times[order], values[order], settings)
    if len(times):
        return ImportedSteps(times, values, ())
    kept = f" where {' and '.join(settings.where)}" if settings.where and len(rows.values) else ""
    return ImportedSteps(times, values, (f"no row in the source{kept}",))


def _seconds(rows: Rows, settings: ImportSettings) -> NDArray[np.float64]:
    count = len(rows.values)
    if rows.times is not None:
        return (rows.times - settings.first_frame) / (settings.rate or 1.0)
    if settings.rate is not None:
        return np.arange(count) / settings.rate
    if count > 1:
        raise ValueError(f"{count} rows without times; give --time-column, or --rate, or both")
    return np.zeros(count)


def _merge(
    times: NDArray[np.float64], values: NDArray[np.float32], settings: ImportSettings
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Leave one row at each time; ``times`` are sorted."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return times, values
    if settings.same_time == "refuse":
        at = unique[np.argmax(counts > 1)]
        raise ValueError(
            f"{int(counts.max())} rows at the same time, {at:g} s first; choose one by --where "
            "(such as the number of the face), or pass --same-time mean or first"
        )
    if settings.same_time == "first":
        return unique, values[first]
    sums = np.add.reduceat(values.astype(np.float64), first, axis=0)
    return unique, (sums / counts[:, None]).astype(np.float32)
