"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Self, TextIO

from tqdm import tqdm

from cache.wording import show_controls

LINE_SECONDS = 30.0  # where nobody watches a terminal, a line this often


def format_seconds(seconds: float) -> str:
    """Write a time in the unit that suits it, such as ``4.0 s``, ``18 minutes``, ``2.5 hours``."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"


class Progress:
    """Display of how much of some work is done; use it in a ``with``, or end with ``close``.

    Rate and time left are of this process: what was done before the first ``show`` doesn't count.
    Away from a terminal the time left is that of the last ``expect``, if there was one.

    Args:
        unit: what is counted, in the plural: ``clips``.
        stream: where to write; standard error if None.

    Attributes:
        bar: the bar, from the first ``show`` on; None where the stream is no terminal.
    """

    def __init__(self, unit: str, stream: TextIO | None = None) -> None:
        self.unit = unit
        self.stream = _stream.get() or sys.stderr if stream is None else stream
        self._bar_stream: TextIO = getattr(self.stream, "wrapped", self.stream)  # lets it move
        self.bar: tqdm[None] | None = None
        self._first: int | None = None
        self._end = 0.0
        self._started = self._last_line = time.monotonic()
        self._spoke = False  # work that is soon done needs no line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def show(self, done: int, total: int, detail: str = "") -> None:
        """Show that ``done`` of ``total`` are done.

        Args:
            done: how many, from 0; a first call with 0 lets the bar appear at once.
            total: of how many.
            detail: a few words on the state of things, such as the loss.
        """
        if self._first is None:
            self._first, self._started = done, time.monotonic()
            if self.stream.isatty():
                self.bar = tqdm(
                    total=total,
                    initial=done,
                    unit=f" {self.unit}",
                    file=self._bar_stream,
                    dynamic_ncols=True,
                )
        if self.bar is not None:
            self.bar.total = total
            self.bar.set_postfix_str(show_controls(detail), refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self._last_line >= LINE_SECONDS or (self._spoke and done == total):
            self.say(self._describe(done, total, detail))
            self._last_line, self._spoke = time.monotonic(), done < total

    def expect(self, seconds: float) -> None:
        """Note that the work is expected to be done after so many seconds."""
        self._end = time.monotonic() + seconds

    def say(self, line: str) -> None:
        """Write a line without harming the bar."""
        if self.bar is not None:
            self.bar.write(show_controls(line), file=self._bar_stream)
        else:
            print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """End the bar, so that what is printed next starts on a line of its own."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _describe(self, done: int, total: int, detail: str) -> str:
        parts = [f"{done} of {total} {self.unit}", *([detail] if detail else [])]
        here = done - (self._first or 0)
        if here > 0:
            rate = here / max(time.monotonic() - self._started, 1e-9)
            parts.append(f"{rate:.2f} {self.unit}/s")
            left = self._end - time.monotonic()
            if done < total:
                parts.append(f"{format_seconds(left if left > 0 else (total - done) / rate)} left")
        return ", ".join(parts)


class _Nowhere(io.StringIO):
    """Stream that forgets what is written."""

    def write(self, text: str) -> int:
        return len(text)


_stream: ContextVar[TextIO | None] = ContextVar("stream of progress", default=None)


@contextlib.contextmanager
def shown_progress(shown: bool) -> Iterator[None]:
    """Show progress inside on standard error, or nowhere; for calls from Python."""
    token = _stream.set(None if shown else _Nowhere())
    try:
        yield
    finally:
        _stream.reset(token)
