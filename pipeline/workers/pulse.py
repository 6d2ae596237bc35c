"""Pulse of a process at work: how many frames it has done, in memory that its parent reads.

A worker adds to a few numbers as it goes. It sends nothing and waits for nothing, so that whether
anybody looks changes neither results nor the time they take. In a process that works by itself the
same numbers are handed, now and then, to who shows them.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeAlias

FIELDS = 4  # of a pulse, in the order of ``Pulse``
SHOW_SECONDS = 0.2  # from one showing to the next, of a process that works by itself
Memory: TypeAlias = "memoryview[float] | array[float]"


@dataclass(frozen=True)
class Pulse:
    """Frames that a process has done.

    Args:
        frames: since its start; a frame counts once, however often it is decoded.
        with_face: those of them in which a face was in sight.
        passed: of the clip at hand, every frame as often as it is decoded.
        expected: how many these will be; 0 where the clip's file doesn't say.
    """

    frames: float = 0.0
    with_face: float = 0.0
    passed: float = 0.0
    expected: float = 0.0

    @property
    def share(self) -> float:
        """Share of the clip at hand that is done, below 1; 0 where nobody knows."""
        return min(self.passed / self.expected, 0.99) if self.expected else 0.0


@dataclass(frozen=True)
class Pace:
    """Work of all processes of a run so far.

    Args:
        frames: see ``Pulse``, as ``with_face``.
        with_face: of the frames.
        working: clips in work.
        in_work: shares of those clips that are done, added up.
    """

    frames: int
    with_face: int
    working: int
    in_work: float

    @classmethod
    def of(cls, working: Sequence[Pulse], ended: Sequence[Pulse] = ()) -> Self:
        """Add up the pulses of processes that work, and of those that ended."""
        known = (*working, *ended)
        return cls(
            int(sum(pulse.frames for pulse in known)),
            int(sum(pulse.with_face for pulse in known)),
            len(working),
            sum(pulse.share for pulse in working),
        )


class _Own:
    """This process's own pulse, and who is shown it."""

    def __init__(self) -> None:
        self.numbers: Memory = array("d", bytes(8 * FIELDS))
        self.show: Callable[[Pace], None] | None = None
        self.shown_at = 0.0


_own = _Own()


def pulse_in(memory: Memory) -> None:
    """Keep this process's pulse in memory that another process reads."""
    _own.numbers = memory


def begin_clip(expected: float = 0.0) -> None:
    """Note that a clip is begun, with the number of frames that will be decoded; 0 if unknown."""
    _own.numbers[2], _own.numbers[3] = 0.0, expected


def count_frames(number: int = 1, *, with_face: int = 0, again: bool = False) -> None:
    """Count frames of the clip at hand.

    Args:
        number: of frames that were looked at.
        with_face: those of them in which a face was in sight.
        again: whether they were decoded and counted before.
    """
    own, numbers = _own, _own.numbers
    if not again:
        numbers[0] += number
        numbers[1] += with_face
    numbers[2] += number
    if own.show and time.monotonic() - own.shown_at >= SHOW_SECONDS:
        own.shown_at = time.monotonic()
        own.show(Pace.of([Pulse(*numbers)]))


@contextmanager
def shown_here(show: Callable[[Pace], None]) -> Iterator[None]:
    """Show this process's own pulse as it works, counted from here on."""
    _own.numbers, _own.show, _own.shown_at = array("d", bytes(8 * FIELDS)), show, 0.0
    try:
        yield
    finally:
        _own.show = None
