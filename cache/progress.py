"""Progress of long work: a line that moves on a terminal or in a notebook, plain lines elsewhere.

Where standard error is a log of events (``--log-json``), all of it becomes events instead.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Protocol, Self, TextIO, cast

from cache.wording import show_controls

FIRST_SECONDS = 5.0  # where nobody watches a terminal, work that takes longer says so
LINE_SECONDS = 30.0  # and then a line this often
DRAW_SECONDS = 0.1  # from one drawing of the line to the next on a terminal
NOTEBOOK_SECONDS = 0.5  # and in a notebook, which keeps each of them for a while
EVENT_SECONDS = 1.0
LEAST_CELLS, MOST_CELLS = 6, 24  # a shorter bar says nothing, a longer one no more
NARROW = 40  # columns, of which numbers make the better use; a bar takes a quarter of the others
LEAST_SECONDS = 0.1  # from which a rate means something
LEAST_REACHED = 0.05  # and of one clip; in the first frames the networks are loaded
SLOWEST = 0.1  # done a second, below which it is clearer how long each takes


def format_seconds(seconds: float) -> str:
    """Write a time in the unit that suits it, such as ``4.0 s``, ``18 minutes``, ``2.5 hours``."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"


class EventLog(Protocol):
    """Stream that takes events beside text, as ``--log-json`` makes of standard error."""

    def event(self, name: str, **fields: object) -> None:
        """Write an event."""
        ...


class MovingLine:
    """Line of a terminal or a notebook that is written again in its place, and never wraps.

    Args:
        stream: where to write; in a notebook one without a width of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._columns = 0  # that the line takes now

    @property
    def width(self) -> int:
        """Columns that a line may take now: one less than there are, so that none begins a row."""
        try:
            columns = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):  # ValueError: it has no descriptor
            columns = 0
        return max(1, (columns or shutil.get_terminal_size().columns) - 1)

    def draw(self, text: str) -> None:
        """Put a text in place of the line's; what is too long is cut off."""
        width = self.width
        shown = cut_off(self.as_shown(text), width)
        columns = count_columns(shown)
        spaces = " " * max(0, min(self._columns, width) - columns)
        self._write(f"\r{shown}{spaces}")
        self._columns = columns

    def clear(self) -> None:
        """Leave the line empty, the cursor at its beginning."""
        if self._columns:
            self._write(f"\r{' ' * min(self._columns, self.width)}\r")
            self._columns = 0

    def end(self) -> None:
        """Keep the line and begin the next."""
        if self._columns:
            self._write("\n")
            self._columns = 0

    def as_shown(self, text: str) -> str:
        """Return text as the stream will show it: controls and letters it lacks as escapes."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return show_controls(text).encode(encoding, "backslashreplace").decode(encoding)

    def can_show(self, text: str) -> bool:
        """Whether the stream has the letters of a text."""
        return self.as_shown(text) == text

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that went away is no reason to stop
            self.stream.write(text)
            self.stream.flush()


def rewrites(stream: TextIO) -> bool:
    """Whether a line of a stream can be written again: on a terminal, unless it is a dumb one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def count_columns(text: str) -> int:
    """Count the columns that text takes on a terminal; letters of East Asia take two."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def cut_off(text: str, columns: int) -> str:
    """Cut text off where it takes more than some columns."""
    while count_columns(text) > columns:
        text = text[: columns - count_columns(text)]
    return text


class Progress:
    """Display of how much of some work is done; use it in a ``with``, or end with ``close``.

    Rate and time left are of this process: what was done before the first ``show`` doesn't count.
    The time left is that of the last ``expect``, if there was one.

    Args:
        unit: what is counted, in the plural: ``clips``.
        stream: where to write; standard error if None.
        keep: whether the line stays behind the work, with how it ended.

    Attributes:
        done: what was shown last, as ``total``.
        line: the line that moves, from the first ``show`` on; None where none can.
    """

    def __init__(self, unit: str, stream: TextIO | None = None, *, keep: bool = True) -> None:
        self.unit = unit
        self.keep = keep
        self.stream = _stream.get() or sys.stderr if stream is None else stream
        self.log = cast(EventLog, self.stream) if hasattr(self.stream, "event") else None
        self.line: MovingLine | None = None
        self.done = self.total = 0
        self._reached = 0.0  # with what is in work
        self._detail = ""
        self._first: int | None = None
        self._end = 0.0
        self._started = time.monotonic()
        self._next = self._next_forecast = 0.0  # when the next line, drawing or event is due
        self._full = False  # all are done, and that was shown
        self._spoke = False  # work that is soon done needs no line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def show(
        self,
        done: int,
        total: int,
        detail: str = "",
        *,
        in_work: float = 0.0,
        facts: Mapping[str, float] | None = None,
    ) -> None:
        """Show that ``done`` of ``total`` are done.

        Args:
            done: how many, from 0; a first call with 0 lets the line appear at once.
            total: of how many.
            detail: a few words on the state of things, such as the loss; of several, parted by
                ``, ``, those that a narrow terminal has room for.
            in_work: shares of those in work that are done, added up: the bar moves by them.
            facts: what the detail tells, as numbers for a log of events.
        """
        now = time.monotonic()
        if self._first is None:
            self._begin(done, now)
        self.done, self.total, self._detail = done, total, detail
        self._reached = min(done + in_work, total)
        due, full = now >= self._next, done == total and not self._full
        self._full = done == total
        if self.log is not None:
            if due or full:
                self._next = now + EVENT_SECONDS
                self.log.event("progress", **self._fields(detail, facts or {}))
        elif self.line is not None:
            if due or full:
                self._next = now + (DRAW_SECONDS if self.stream.isatty() else NOTEBOOK_SECONDS)
                self._draw()
        elif due or (self._spoke and full):
            self.say(", ".join(part for part in self._describe() if part))
            self._next, self._spoke = now + LINE_SECONDS, done < total

    def expect(self, seconds: float) -> None:
        """Note that the work is expected to be done after so many seconds."""
        now = time.monotonic()
        self._end = now + seconds
        if self.log is not None and now >= self._next_forecast:
            self._next_forecast = now + EVENT_SECONDS
            self.log.event("forecast", seconds=round(seconds, 1))

    def say(self, line: str) -> None:
        """Write a line without harming the one that moves."""
        if self.line is not None:
            self.line.clear()
        print(show_controls(line), file=self.stream, flush=True)
        if self.line is not None:
            self._draw()

    def fail(self, what: str, reason: str) -> None:
        """Write that something failed, such as a clip."""
        if self.log is not None:
            self.log.event("failure", text=f"{what}: failed: {reason}", clip=what, reason=reason)
        else:
            self.say(f"{what}: failed: {reason}")

    def close(self) -> None:
        """End the line that moves, so that what is printed next starts on one of its own."""
        if self.line is not None:
            if self.keep:
                self._draw()
                self.line.end()
            self.line.clear()
            self.line = None

    def _begin(self, done: int, now: float) -> None:
        self._first, self._started, self._next = done, now, 0.0
        if end_loading := getattr(self.stream, "end_loading", None):
            end_loading()
        notebook = type(self.stream).__module__.startswith("ipykernel")
        if self.log is None and (notebook or rewrites(self.stream)):
            self.line = MovingLine(getattr(self.stream, "wrapped", self.stream))
        elif self.log is None:
            self._next = now + FIRST_SECONDS

    def _draw(self) -> None:
        """Draw the line: what is done, then of the rest, in order of weight, what has room."""
        if self.line is None:
            return
        count, detail, speed, left = map(self.line.as_shown, self._describe("/"))
        percent, bar, width = f"{int(100 * self._share):3}% ", "", self.line.width
        cells = min((width - NARROW) // 4, MOST_CELLS)
        if cells >= LEAST_CELLS:
            full, empty = "█░" if self.line.can_show("█░") else "#-"
            filled = int(self._share * cells)
            bar = f"{full * filled}{empty * (cells - filled)} "
        room = width - count_columns(percent + bar + count)
        parts = []
        for part in (left, *detail.split(", "), speed):
            if part and count_columns(part) + 2 <= room:
                parts.append(part)
                room -= count_columns(part) + 2
        self.line.draw(percent + bar + ", ".join([count, *parts]))

    def _describe(self, between: str = " of ") -> tuple[str, str, str, str]:
        """Return in words how much is done, the detail, how fast it goes, and the time left."""
        rate, left = self._rate_and_left()
        count = f"{self.done}{between}{self.total} {self.unit}"
        if rate is None:
            return count, self._detail, "", ""
        slow = rate < SLOWEST
        speed = f"{format_seconds(1 / rate)} each" if slow else f"{rate:.2f} {self.unit}/s"
        return count, self._detail, speed, "" if left is None else f"{format_seconds(left)} left"

    @property
    def _share(self) -> float:
        return self._reached / self.total if self.total else 1.0

    def _rate_and_left(self) -> tuple[float | None, float | None]:
        """Return how many are done a second and the seconds left, where they are known."""
        now = time.monotonic()
        here, seconds = self._reached - (self._first or 0), now - self._started
        if here < LEAST_REACHED or seconds < LEAST_SECONDS:
            return None, None
        rate = here / seconds
        if self.done >= self.total:
            return rate, None
        left = self._end - now
        return rate, left if left > 0 else (self.total - self._reached) / rate

    def _fields(self, detail: str, facts: Mapping[str, float]) -> dict[str, object]:
        rate, left = self._rate_and_left()
        known = {"rate": rate, "seconds_left": left}
        return {
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "share": round(self._share, 6),
            **{name: float(f"{value:.4g}") for name, value in known.items() if value is not None},
            **({"detail": detail} if detail else {}),
            **facts,
        }


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
