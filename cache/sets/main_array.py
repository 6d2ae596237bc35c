"""The array that a set is made for, among those of its entries."""

from __future__ import annotations

from collections.abc import Sequence

# Group of arrays with one row for the whole clip, and none where the clip has no step.
WHOLE = "clip/"
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
