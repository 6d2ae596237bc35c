"""Stopwatch of one clip's way through a worker: seconds by step, to say where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Wall seconds by step, of one thread; a step inside another counts for itself alone.

    Attributes:
        seconds: of each step that was taken, by its name.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = 0.0  # what the steps inside the one at hand took

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, float]]:
        """Charge what is done in the ``with`` to a step.

        Yields:
            A dict to fill with shares of the step that other steps are charged for.
        """
        shares: dict[str, float] = {}
        before, self._inside = self._inside, 0.0
        started = time.perf_counter()
        try:
            yield shares
        finally:
            took = time.perf_counter() - started
            own = took - self._inside
            for other, share in {**shares, name: 1 - sum(shares.values())}.items():
                self.seconds[other] = self.seconds.get(other, 0.0) + share * own
            self._inside = before + took

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``, and charge the making of each to a step."""
        iterator = iter(items)
        while True:
            with self.step(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
