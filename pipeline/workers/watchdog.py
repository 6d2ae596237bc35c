"""Watchdog of worker processes: find the one whose decoder hangs, which no exception could end.

A worker notes in memory that it shares with its parent which section of its work has a limit, and
the parent looks on. Against the limit counts *running time*: none in which the parent or the worker
was stopped (Ctrl-Z, a suspended job, a machine asleep), and where others had the worker's core only
the CPU time that it got. So only what hangs in its own time is ended, whatever it holds: the worker
itself has nothing to do for it. Outside a worker nothing is watched.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pipeline.workers.pulse import FIELDS, Pulse, pulse_in

# A worker's note: the number of its section, and the limit, 0 outside of one; then its pulse.
WATCHED = 2
NOTE_BYTES = 8 * (WATCHED + FIELDS)
STOPPED = {"T", "t"}  # by a signal, by a debugger
WAITS_FOR_DISK = "D"
Chunk = TypeVar("Chunk")
_note: list[memoryview[float]] = []  # this process's own, if it is a worker


def be_watched(file: int) -> None:
    """Let this process's sections and pulse be watched by the parent that shares a file with it."""
    note = _map_note(file)
    _note[:] = [note]
    pulse_in(note[WATCHED:])


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let a watched process be ended if what is inside the ``with`` takes longer than this."""
    for note in _note:
        note[0] += 1
        note[1] = seconds
    try:
        yield
    finally:
        for note in _note:
            note[1] = 0.0


def guarded(chunks: Iterable[Chunk], limit_seconds: float) -> Iterator[Chunk]:
    """Yield from ``chunks``, ending a watched process if one chunk takes longer than the limit."""
    iterator = iter(chunks)
    while True:
        try:
            with time_limit(limit_seconds):
                chunk = next(iterator)
        except StopIteration:
            return
        yield chunk


class Watch:
    """Watch over one worker, in its parent.

    Args:
        pid: of the worker.
        file: that it shares, at least ``NOTE_BYTES`` long.
    """

    def __init__(self, pid: int, file: int) -> None:
        self._folder = Path("/proc", str(pid))
        self._note = _map_note(file)
        self._section = 0.0
        self._running_seconds = 0.0
        self._cpu_seconds: float | None = None  # of the worker's whole life, at the last look

    def hangs(self, seconds: float) -> bool:
        """Say whether the worker has exceeded its section's limit.

        Args:
            seconds: since the last look, as far as this process ran in them.
        """
        section, limit = self._note[:WATCHED]
        if section != self._section or limit == 0:
            self._section, self._running_seconds, self._cpu_seconds = section, 0.0, None
            return False
        self._running_seconds += self._running(seconds)
        return self._running_seconds > limit

    def pulse(self) -> Pulse:
        """Return how many frames the worker has done."""
        return Pulse(*self._note[WATCHED:])

    def waits_for_disk(self) -> bool:
        """Whether the worker waits for a disk, or a server, that doesn't answer; on Linux."""
        try:
            return _read_stat(self._folder)[0] == WAITS_FOR_DISK
        except OSError:
            return False

    def _running(self, seconds: float) -> float:
        """Return how much of the time since the last look was the worker's own."""
        try:
            state, *_, of_program, of_system = _read_stat(self._folder)[:13]
            before = self._cpu_seconds
            self._cpu_seconds = (int(of_program) + int(of_system)) / os.sysconf("SC_CLK_TCK")
            used = 0.0 if before is None else self._cpu_seconds - before
            if state in STOPPED:
                return 0.0
            if used < seconds and _wants_a_core(self._folder):
                return used
        except OSError:  # only Linux tells
            pass
        return seconds


def _map_note(file: int) -> memoryview[float]:
    return memoryview(mmap.mmap(file, NOTE_BYTES)).cast("d")


def _wants_a_core(process: Path) -> bool:
    return any(_read_stat(thread)[0] == "R" for thread in (process / "task").iterdir())


def _read_stat(folder: Path) -> list[str]:
    """Return what Linux says of a process or thread, from its state on; the name holds anything."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
