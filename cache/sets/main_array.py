"""Arrays of a set's entries: the one it is made for, times of rows, names of numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Group of arrays with one row for the whole clip, and none where the clip has no step.
WHOLE = "clip/"
# Attribute of an entry: array, without that group -> the name of each number in a row of it.
NUMBERS = "numbers"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")  # of a number
# Arrays of a network's set beside its features.
_FACTS = ("times", "rung", "track")


def feature_arrays(offered: Sequence[str]) -> list[str]:
    """Return the arrays that are features; the others state facts of steps, faces and crops."""
    return [array for array in offered if array not in _FACTS and "/" not in array]


def find_main_array(offered: Sequence[str]) -> str | None:
    """Return the array that is meant where nobody names one; None where there is no one answer.

    Args:
        offered: arrays of the set's entries.
    """
    arrays = feature_arrays(offered)
    if "basic" in arrays:
        return "basic"
    return arrays[0] if len(arrays) == 1 else None


def row_times(array: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times of an array's rows: of a row for the whole clip, the middle.

    Args:
        array: its name.
        times: (T,) of the entry's steps.
    """
    if not array.startswith(WHOLE) or not len(times):
        return times
    return np.array([(times[0] + times[-1]) / 2])


def number_names(array: str, count: int, attributes: Mapping[str, Any]) -> list[str]:
    """Name the numbers of an array's row: as the entry's attributes do, or ``v0`` and so on.

    Names that are not text, letters first, or not one a number, count as none.

    Args:
        array: its name.
        count: of numbers in a row.
        attributes: of an entry.
    """
    stated = attributes.get(NUMBERS)
    found = stated.get(array.removeprefix(WHOLE)) if isinstance(stated, Mapping) else None
    # An entry may come from anywhere, and names become columns of tables.
    names = [name for name in found if _is_name(name)] if isinstance(found, list) else []
    if len({*names}) == count == len(names):
        return names
    return [f"v{number}" for number in range(count)]


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None
