"""SIGINT and SIGTERM ask a run to stop: noted, and looked at between clips, or updates."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM)


class HurryError(BaseException):  # as KeyboardInterrupt: no handler of errors may swallow it
    """A second signal came while this process itself was at work."""


class StopRequest:
    """Notes SIGINT and SIGTERM while ``noted`` is entered, instead of raising at any place.

    Attributes:
        number: the first signal that came; 0 before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._noting = False
        self._hurries = False

    def asked(self) -> bool:
        """Whether a signal came."""
        return self.number > 0

    @contextlib.contextmanager
    def noted(self, *, to_the_end: bool = False) -> Iterator[None]:
        """Note signals inside. Entered again inside itself, or in another thread, it does nothing.

        With ``to_the_end``, for a command whose process ends next, signals that come after the
        first are ignored from then on: a third Ctrl-C must not break what is said at the end.
        """
        if self._noting or threading.current_thread() is not threading.main_thread():
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
    def hurried(self, *, hurry: bool) -> Iterator[None]:
        """Raise ``HurryError`` once, inside, if a second signal comes, and end quietly with it.

        For work in this very process, where a second signal doesn't wait for the clip's end.
        """
        self._hurries = hurry
        try:
            yield
        except HurryError:
            pass
        finally:
            self._hurries = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self.asked():
            self.number = number
        elif self._hurries:
            self._hurries = False
            raise HurryError
