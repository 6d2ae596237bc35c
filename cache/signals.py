"""Signals: held back while HDF5 calls our code, noted between clips, or ending a command.

A handler of ours only notes what came. What follows happens where it can do no harm: at the end of
a block, between two clips or updates, or at once, in work that may be cut off anywhere because it
is written whole or not at all. Python runs handlers in the main thread alone, so that elsewhere
there is nothing to do.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

_ASKING = (signal.SIGINT, signal.SIGTERM)
# Those that programs handle; asking about all 64 takes as long as writing a small array.
_HELD = (
    *_ASKING,
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

    A handler that raises, as Ctrl-C does, would raise inside a call that HDF5 makes, and HDF5 takes
    the process down then (measured: a segmentation fault).
    """
    if not _in_main_thread():
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


class StopRequest:
    """A wish to stop: SIGINT and SIGTERM are noted while ``noted`` is entered.

    Attributes:
        number: the first signal that came; 0 before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._count = 0
        self._break_off_at = 0
        self._noting = False

    def asked(self) -> bool:
        """Whether a signal has asked this process to stop."""
        return self.number > 0

    @contextlib.contextmanager
    def noted(self, *, to_the_end: bool = False) -> Iterator[None]:
        """Note signals inside. Entered again inside itself, or in another thread, it does nothing.

        With ``to_the_end``, for a command whose process ends next, signals that come after the
        first are ignored from then on: a third Ctrl-C must not break what is said at the end.
        """
        if self._noting or not _in_main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in _ASKING}
        self._noting = True
        try:
            yield
        finally:
            self._noting = False
            for number, handler in before.items():
                ended = to_the_end and self.asked()
                signal.signal(number, signal.SIG_IGN if ended else handler)

    @contextlib.contextmanager
    def breaks_off(self, at: int) -> Iterator[None]:
        """Raise ``KeyboardInterrupt`` inside at a certain signal, once, and end quietly with it.

        Args:
            at: 1 for the first signal, 2 for the second, 0 for none.
        """
        self._break_off_at = at
        try:
            yield
        except KeyboardInterrupt:
            if not 0 < at <= self._count:
                raise
        finally:
            self._break_off_at = 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count += 1
        self.number = self.number or number
        if 0 < self._break_off_at <= self._count:
            self._break_off_at = 0
            raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def ends_by_signal(consequence: str) -> Iterator[None]:
    """End a command at SIGINT or SIGTERM: clean up, print a line and exit.

    The process is about to end then, so later signals are ignored: clean-up is not cut off.

    Args:
        consequence: whole sentences, printed to stderr after the signal's name: what is lost, and
            how to go on.

    Raises:
        SystemExit: a signal came; 130 after SIGINT, 143 after SIGTERM, as shells count.
    """
    stop = StopRequest()
    with stop.noted(to_the_end=True):
        try:
            with stop.breaks_off(at=1):
                yield
        except BaseException:
            # Libraries end in other errors too when a signal reaches their own processes.
            if not stop.asked():
                raise
        if stop.asked():
            name = signal.Signals(stop.number).name
            print(f"\nStopped ({name}). {consequence}", file=sys.stderr, flush=True)
            sys.exit(128 + stop.number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _restore(held: dict[int, _Handler]) -> None:
    try:
        for number in list(held):
            signal.signal(number, held[number])
            del held[number]
    finally:
        # A handler that is back may raise; the others must come back all the same.
        if held:
            _restore(held)
