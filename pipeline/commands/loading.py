"""Word on standard error while a command loads: PyTorch, dlib and OpenCV take seconds."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from cache.progress import Bar

TEXT = "loading ..."
TERMINAL_SECONDS = 0.4  # of silence, after which a terminal shows it until something else is said
LINE_SECONDS = 2.0  # the same where it is a line that can't be taken back: quick work stays quiet


class Loading:
    """Watch over the silence at a command's start; use it in a ``with``.

    Args:
        stream: standard error, as it is below ``ShownStream``, or a log of events.
    """

    def __init__(self, stream: TextIO) -> None:
        self._line: Bar | None = None
        self._stream = stream
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._wait, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Say it no more, and take it back where that can be: something else is said now."""
        if self._ended.is_set():
            return
        with self._lock:
            self._ended.set()
            if self._line is not None:
                self._line.close()

    def _wait(self) -> None:
        if self._ended.wait(TERMINAL_SECONDS):
            return
        from cache.progress import Bar, rewrites  # and tqdm, which quick work has no use for

        terminal = rewrites(self._stream)
        if not terminal and self._ended.wait(LINE_SECONDS - TERMINAL_SECONDS):
            return
        with self._lock:
            if self._ended.is_set():
                return
            if terminal:
                self._line = Bar(self._stream, lambda _: {"bar_format": TEXT}, leave=False)
                return
            with contextlib.suppress(OSError):
                print(TEXT, file=self._stream, flush=True)
