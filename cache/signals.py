"""Signals are held back while HDF5 calls our Python code.

A handler that raises, as Ctrl-C does, would raise inside a call that HDF5 makes, and HDF5 takes
the process down then (measured: a segmentation fault).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

# Those that programs handle; asking about all 64 takes as long as writing a small array.
_HELD = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
    signal.SIGXCPU,
)

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Run no signal handler inside; those of signals that arrived run at the end.

    Handlers run in the main thread alone, so elsewhere there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, _Handler] = {}
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        arrived.append(number)

    held: dict[int, _Handler] = {}
    try:
        for number in _HELD:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = held[number] = handler
                signal.signal(number, note)
        yield
    finally:
        _restore(held)
        for late in arrived:
            handlers[late](late, None)


def _restore(held: dict[int, _Handler]) -> None:
    try:
        for number in list(held):
            signal.signal(number, held[number])
            del held[number]
    finally:
        # A handler that is back may raise; the others must come back all the same.
        if held:
            _restore(held)
