"""Watchdog of a worker process: end it when a decoder hangs, which no exception could do.

The interpreter's own timer (``faulthandler``) writes its last words into the marker file of the
clip, by which the parent knows that the clip hung; outside a worker nothing is watched.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

LAST_WORDS = "Timeout"  # the beginning of what the interpreter's timer writes
Chunk = TypeVar("Chunk")
_watched: list[TextIO] = []  # the marker of the clip in this process, while it is watched


def watch(marker: TextIO | None) -> None:
    """Watch this process from now on, last words going to ``marker``; None stops it."""
    _watched[:] = [] if marker is None else [marker]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End a watched process if what is inside the ``with`` takes longer than ``seconds``."""
    if _watched:
        faulthandler.dump_traceback_later(seconds, exit=True, file=_watched[0])
    try:
        yield
    finally:
        if _watched:
            faulthandler.cancel_dump_traceback_later()


def guarded(chunks: Iterable[Chunk], limit_seconds: float) -> Iterator[Chunk]:
    """Yield from ``chunks``, ending a watched process if one chunk takes longer than the limit."""
    iterator = iter(chunks)
    while True:
        try:
            with time_limit(limit_seconds):
                chunk = next(iterator)
        except StopIteration:
            return
        yield chunk
