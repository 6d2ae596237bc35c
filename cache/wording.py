"""Wording of counts in messages."""

from __future__ import annotations


def number_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1: ``1 clip``, ``2 clips``."""
    ending = noun if number == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {ending}"
