"""Published sets of training and test clips as the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pipeline.index.files import Found, IndexingError

NUM_SETS = 5
Name = TypeVar("Name", int, str)
Members = Mapping[tuple[str, int], set[Name]]


def fold_sets(members: Members[Name], *, suffix: str = "") -> dict[Name, int]:
    """Number each clip by the set that tests it, from 0.

    Args:
        members: (``train`` or ``test``, number of the set from 1) to its clips.
        suffix: of the tables' names, for messages.

    Raises:
        IndexingError: a clip is in training and test of one set, or is tested in two.
    """
    folds: dict[Name, int] = {}
    for (kind, number), clips in members.items():
        if kind != "test":
            continue
        both = clips & members.get(("train", number), set())
        if both:
            raise IndexingError(
                f"set_{number}{suffix} has clip {min(both)} and {len(both) - 1} more in training "
                "and in test"
            )
        for clip in sorted(clips):
            if folds.setdefault(clip, number - 1) != number - 1:
                raise IndexingError(
                    f"clip {clip} is tested in set_{folds[clip] + 1}{suffix} and in "
                    f"set_{number}{suffix}"
                )
    return folds


def split_of(clip: Name, members: Members[Name], test_set: int | None) -> str | None:
    """Return the split of a clip in one of the sets; None where no set is asked for."""
    names = (name for name in ("train", "test") if clip in members.get((name, test_set or 0), ()))
    return next(names, None)


def warn_of_missing(
    found: Found, members: Members[Name], num_listed: int, *, suffix: str = ""
) -> None:
    """Warn of clips in the tables without a file, and of test tables that aren't there."""
    if len(found.clips) < num_listed:
        missing = num_listed - len(found.clips)
        found.warnings.append(f"{missing} of {num_listed} clips in the tables without a file")
    absent = [k for k in range(1, NUM_SETS + 1) if ("test", k) not in members]
    if absent:
        names = ", ".join(f"set_{k}{suffix}" for k in absent)
        found.warnings.append(f"no test table {names}; their clips have no fold")
