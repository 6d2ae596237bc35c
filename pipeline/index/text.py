"""Names as they are printed: a few of them, and nothing that upsets a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

NUM_NAMES_SHOWN = 3


def describe_names(names: Sequence[str]) -> str:
    """Join the first names, and say how many more there are."""
    shown = ", ".join(printable(name) for name in names[:NUM_NAMES_SHOWN])
    more = len(names) - NUM_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest of the known names, in brackets and after a space; empty if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def printable(text: str) -> str:
    """Escape what would upset a terminal: control characters, names that aren't UTF-8."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
