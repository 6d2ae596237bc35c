"""Names as they are printed: a few of them, and nothing that upsets a terminal."""

from __future__ import annotations

from collections.abc import Sequence

NUM_NAMES_SHOWN = 3


def describe_names(names: Sequence[str]) -> str:
    """Join the first names, and say how many more there are."""
    shown = ", ".join(printable(name) for name in names[:NUM_NAMES_SHOWN])
    more = len(names) - NUM_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def printable(text: str) -> str:
    """Escape what would upset a terminal: control characters, names that aren't UTF-8."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
