"""Progress of long work: a line that moves on a terminal or in a notebook, plain lines elsewhere.

Where standard error is a log of events (``--log-json``), all of it becomes events instead.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, Self, TextIO, cast

from tqdm.std import tqdm
from tqdm.utils import disp_len, disp_trim

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


class Screen:
    """Terminal or notebook as tqdm writes to it: no line reaches into the next, no error gets out.

    tqdm alone shows nothing where a terminal doesn't know its rows, draws without end on one of a
    single column, clears what the last line took though the terminal is narrower now, and lets out
    every ``OSError`` but EIO, such as that of a terminal that is busy.

    Args:
        stream: where to write; in a notebook one without a width of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def width(self) -> int:
        """Columns that a line may take now: one less than there are, so that none begins a row."""
        try:
            columns = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):  # ValueError: it has no descriptor
            columns = 0
        return max(1, (columns or shutil.get_terminal_size().columns) - 1)

    def as_shown(self, text: str) -> str:
        """Return text as the stream will show it: controls and letters it lacks as escapes."""
        return show_controls(text).encode(self.encoding, "backslashreplace").decode(self.encoding)

    def write(self, text: str) -> None:
        """Write text; of a line in the place of another, what there is room for."""
        line = text.removeprefix("\r")
        if line != text:
            text = "\r" + disp_trim(line, self.width)
        with contextlib.suppress(OSError):
            self.stream.write(text)
            self.stream.flush()


class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """Line of a terminal or a notebook that tqdm writes again in its place.

    Args:
        stream: where to write.
        fields: called at each drawing, for tqdm's ``bar_format`` and the fields that it names.
        options: of tqdm, such as ``leave``.
    """

    monitor_interval = 0  # no thread

    def __init__(
        self,
        stream: TextIO,
        fields: Callable[[Screen], Mapping[str, object]],
        **options: bool | float,
    ) -> None:
        self.screen, self.fields = Screen(stream), fields
        super().__init__(file=self.screen, miniters=0, position=0, **options)

    @property
    def format_dict(self) -> dict[str, Any]:
        """Facts and fields that tqdm draws from."""
        known = super().format_dict
        cells = "-#" if known["ascii"] else "░█"
        return {**known, "ascii": cells, **self.fields(self.screen)}


Bar.set_lock(threading.RLock())  # tqdm's own is also one of processes, which costs a semaphore


def rewrites(stream: TextIO) -> bool:
    """Whether a line of a stream can be written again: on a terminal, unless it is a dumb one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


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
        self.line: Bar | None = None
        self.done = self.total = 0
        self._reached = 0.0  # with what is in work
        self._detail = ""
        self._first: int | None = None
        self._end = 0.0
        self._started = time.monotonic()
        self._next = self._next_forecast = 0.0  # when the next line or event is due
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
        now, full = time.monotonic(), done == total and not self._full
        self.done, self.total, self._detail, self._full = done, total, detail, done == total
        self._reached = min(done + in_work, total)
        if self._first is None:
            self._begin(now)
        elif self.line is not None and full:
            self.line.refresh()
        elif self.line is not None:
            self.line.update(0)  # draws where it is time
        if self.log is not None:
            if full or now >= self._next:
                self._next = now + EVENT_SECONDS
                self.log.event("progress", **self._fields(detail, facts or {}))
        elif self.line is None and (now >= self._next or (self._spoke and full)):
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
            self.line.write(show_controls(line), file=self.line.screen)
        else:
            print(show_controls(line), file=self.stream, flush=True)

    def fail(self, what: str, reason: str) -> None:
        """Write that something failed, such as a clip."""
        if self.log is not None:
            self.log.event("failure", text=f"{what}: failed: {reason}", clip=what, reason=reason)
        else:
            self.say(f"{what}: failed: {reason}")

    def close(self) -> None:
        """End the line that moves, so that what is printed next starts on one of its own."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def _begin(self, now: float) -> None:
        self._first, self._started = self.done, now
        if end_loading := getattr(self.stream, "end_loading", None):
            end_loading()
        notebook = type(self.stream).__module__.startswith("ipykernel")
        if self.log is not None:
            return
        if notebook or rewrites(self.stream):
            self.line = Bar(
                getattr(self.stream, "wrapped", self.stream),
                self._line_fields,
                leave=self.keep,
                mininterval=DRAW_SECONDS if self.stream.isatty() else NOTEBOOK_SECONDS,
            )
        else:
            self._next = now + FIRST_SECONDS

    def _line_fields(self, screen: Screen) -> dict[str, object]:
        """Return the line's fields: what is done, then, in order of weight, what has room.

        tqdm would cut the last of it off in the middle, and half a number is another number.
        """
        count, detail, speed, left = map(screen.as_shown, self._describe("/"))
        percent, bar, width = f"{int(100 * self._share):3}% ", "", screen.width
        cells = min((width - NARROW) // 4, MOST_CELLS)
        if cells >= LEAST_CELLS:
            bar, width = f"{{bar:{cells}}} ", width - cells - 1
        room = width - disp_len(percent + count)
        parts = [count]
        for part in (left, *detail.split(", "), speed):
            if part and disp_len(part) + 2 <= room:
                parts.append(part)
                room -= disp_len(part) + 2
        return {
            "bar_format": f"{{percent}}{bar}{{text}}",
            "percent": percent,
            "text": ", ".join(parts),
            "n": self._share,
            "total": 1,
        }

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
