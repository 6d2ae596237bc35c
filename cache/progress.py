"""Show how reading and fine-tuning go on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

LINE_SECONDS = 30.0  # where nobody watches a terminal, a line this often


class StillsDisplay:
    """Writes to a stream as images are read and updates are done.

    Args:
        unit: what is counted, ``image`` or ``update``.
        stream: where to write; standard error if None.
    """

    def __init__(self, unit: str, stream: TextIO | None = None) -> None:
        self.unit = unit
        self.stream = sys.stderr if stream is None else stream
        self.bar: tqdm[None] | None = None
        self.first = 0
        self.started = self.shown = time.monotonic()

    def advance(self, done: int, total: int, loss: float | None = None) -> None:
        """Hear that ``done`` of ``total`` are done."""
        if self.first == 0:
            self.first, self.started = done, time.monotonic()
            if self.stream.isatty():
                self.bar = tqdm(
                    total=total,
                    initial=done - 1,
                    unit=self.unit,
                    file=self.stream,
                    dynamic_ncols=True,
                )
        if self.bar is not None:
            if loss is not None:
                self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self.bar.update()
            return
        now = time.monotonic()
        if now - self.shown >= LINE_SECONDS or done == total:
            # Of this process: a resumed training did the others before.
            rate = max(done - self.first, 1) / max(now - self.started, 1e-9)
            left = (total - done) / rate
            after = "" if loss is None else f", loss {loss:.4f}"
            self.say(
                f"{done} of {total} {self.unit}s{after}, {rate:.2f} a second, {left:.0f} s left"
            )
            self.shown = now

    def say(self, line: str) -> None:
        """Write a line without harming the bar."""
        if self.bar is not None:
            self.bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextmanager
def show_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress while the context lasts.

    Args:
        unit: what is counted.

    Yields:
        A function to call with the number done and the number of all.
    """
    with tqdm(unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
