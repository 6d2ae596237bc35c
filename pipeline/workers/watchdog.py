"""A limit on how long a decoder may take for one chunk of frames or sound.

A decoder that hangs hangs inside C, where no Python exception reaches it. So in a worker process a
timer of the interpreter's own, which needs no lock of ours, ends the whole process when a chunk
takes longer than the limit. The parent sees the worker die, reads why in the worker's marker file
and goes on without that clip. In a process that is not watched nothing is armed.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

LAST_WORDS = "Timeout"  # how the interpreter's timer begins what it writes

T = TypeVar("T")

_marker: list[TextIO] = []


def watch(marker: TextIO | None) -> None:
    """Watch this process from now on, last words going to ``marker``; None stops it."""
    _marker[:] = [] if marker is None else [marker]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End a watched process if what is inside the ``with`` takes longer than ``seconds``."""
    if _marker:
        faulthandler.dump_traceback_later(seconds, exit=True, file=_marker[0])
    try:
        yield
    finally:
        if _marker:
            faulthandler.cancel_dump_traceback_later()


def guarded(chunks: Iterable[T], limit_seconds: float) -> Iterator[T]:
    """Yield from ``chunks``, ending a watched process if one chunk takes longer than the limit."""
    iterator = iter(chunks)
    while True:
        try:
            with time_limit(limit_seconds):
                chunk = next(iterator)
        except StopIteration:
            return
        yield chunk
