"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self, TextIO

from tqdm import tqdm

LINE_SECONDS = 30.0  # where nobody watches a terminal, a line this often


class Progress:
    """Display of how much of some work is done; use it in a ``with``, or end with ``close``.

    Rate and time left are of this process: what was done before the first ``show`` doesn't count.

    Args:
        unit: what is counted, in the plural: ``clips``.
        stream: where to write; standard error if None.

    Attributes:
        bar: the bar, from the first ``show`` on; None where the stream is no terminal.
    """

    def __init__(self, unit: str, stream: TextIO | None = None) -> None:
        self.unit = unit
        self.stream = sys.stderr if stream is None else stream
        self.bar: tqdm[None] | None = None
        self._first: int | None = None
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
                    file=self.stream,
                    dynamic_ncols=True,
                )
        if self.bar is not None:
            self.bar.total = total
            self.bar.set_postfix_str(detail, refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self._last_line >= LINE_SECONDS or (self._spoke and done == total):
            self.say(self._describe(done, total, detail))
            self._last_line, self._spoke = time.monotonic(), True

    def say(self, line: str) -> None:
        """Write a line without harming the bar."""
        if self.bar is not None:
            self.bar.write(line, file=self.stream)
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
            parts += [f"{rate:.2f} {self.unit}/s", f"{(total - done) / rate:.0f} s left"]
        return ", ".join(parts)
