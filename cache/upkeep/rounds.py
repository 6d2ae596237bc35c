"""Rounds: verify a large cache in sittings, each going on where the last one stopped.

The order is that of the files' times of change, oldest first: what was written, and so digested,
longest ago is read first, and what comes to the cache meanwhile comes last. So the place where a
sitting stopped is all that must be remembered; it lies in ``CACHE/verified.json``.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from cache.codec import JsonFields, read_object
from cache.commit import write_whole
from cache.entries.failure import utc_now

FILE = "verified.json"
NOTE_SECONDS = 30.0  # so much of a sitting is lost when it is killed
Position: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class Place(JsonFields):
    """Place where a sitting stopped.

    Args:
        mtime_ns: when the file that was read last had been changed.
        file: that file, from the cache's folder on.
        started: when the round began, as ISO 8601.
    """

    mtime_ns: int
    file: str
    started: str


class Round:
    """One sitting of a round through a cache's files; used in a ``with``.

    Args:
        cache: its folder.
        files: all files to read, in any order.
        seconds: how long the sitting lasts; at least some files are read.

    Attributes:
        todo: the files that this round still has to read, oldest first.
        started: when the round began, as ISO 8601.
    """

    def __init__(self, cache: Path, files: Sequence[Path], seconds: float) -> None:
        self._cache = cache
        self._end = time.monotonic() + seconds
        self._noted = time.monotonic()
        self._read = 0
        order = sorted(filter(None, (_position(cache, path) for path in files)))
        place = _read_place(cache)
        first = bisect.bisect_right(order, (place.mtime_ns, place.file)) if place else 0
        if place is None or first == len(order):
            first, place = 0, None
        self._order = order[first:]
        self.todo = [cache / name for _, name in self._order]
        self.started = place.started if place else utc_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # An error on the way says more than that this can't be written either.
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():
            self._note()

    def is_over(self, num_read: int) -> bool:
        """Whether the sitting's time is over, once ``num_read`` of ``todo`` are read."""
        self._read = num_read
        now = time.monotonic()
        if now - self._noted >= NOTE_SECONDS:
            self._noted = now
            self._note()
        return now >= self._end

    def _note(self) -> None:
        if self._read:
            place = Place(*self._order[self._read - 1], self.started)
            text = json.dumps(place.to_json(), indent=2) + "\n"
            write_whole(self._cache / FILE, text, what="how far the verification came")


def _position(cache: Path, path: Path) -> Position | None:
    try:
        return path.stat().st_mtime_ns, path.relative_to(cache).as_posix()
    except FileNotFoundError:
        return None  # removed meanwhile


def _read_place(cache: Path) -> Place | None:
    """Read where the last sitting stopped; None to begin with the oldest."""
    try:
        return Place.from_json(read_object(cache / FILE))
    except (OSError, ValueError, TypeError):
        return None  # it costs a round from the beginning
