"""Votes of a clip's raters as text: ``happy:3;sad:1``, a class and how many chose it."""

from __future__ import annotations

import re

Votes = tuple[tuple[str, float], ...]

_COUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?")


def format_votes(votes: Votes) -> str:
    """Write votes as the manifest's column ``votes`` has them."""
    return ";".join(f"{name}:{repr(float(count)).removesuffix('.0')}" for name, count in votes)


def parse_votes(text: str) -> Votes:
    """Read votes back.

    Raises:
        ValueError: the text isn't ``class:number;class:number`` with numbers from 0 on, a class
            stands twice, or nobody voted.
    """
    votes: dict[str, float] = {}
    for part in text.split(";"):
        name, _, count = (piece.strip() for piece in part.rpartition(":"))
        if not name or not _COUNT.fullmatch(count):
            raise ValueError(f"votes {text!r} are not written like happy:3;sad:1")
        if name in votes:
            raise ValueError(f"votes {text!r} name {name!r} twice")
        votes[name] = float(count)
    if not any(votes.values()):
        raise ValueError(f"votes {text!r} are all 0; leave the field empty where nobody voted")
    return tuple(votes.items())
