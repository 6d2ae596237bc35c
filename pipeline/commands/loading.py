"""Word on standard error while a command loads: PyTorch, dlib and OpenCV take seconds."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Self, TextIO

from cache.progress import MovingLine, rewrites

TEXT = "loading ..."
TERMINAL_SECONDS = 0.4  # of silence, after which a terminal shows it until something else is said
LINE_SECONDS = 2.0  # the same where it is a line that can't be taken back: quick work stays quiet


class Loading:
    """Watch over the silence at a command's start; use it in a ``with``.

    Args:
        stream: standard error, as it is below ``ShownStream``, or a log of events.
    """

    def __init__(self, stream: TextIO) -> None:
        self._line = MovingLine(stream) if rewrites(stream) else None
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
                self._line.clear()

    def _wait(self) -> None:
        if self._ended.wait(LINE_SECONDS if self._line is None else TERMINAL_SECONDS):
            return
        with self._lock:
            if self._ended.is_set():
                return
            if self._line is None:
                with contextlib.suppress(OSError):
                    print(TEXT, file=self._stream, flush=True)
            else:
                self._line.draw(TEXT)
