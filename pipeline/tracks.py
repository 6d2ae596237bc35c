"""Tracks: the faces of a clip linked over its frames, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.rungs import Rung

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TrackArrays:
    """All faces of a clip, one row per face and frame, sorted by frame and then track.

    Shapes (K rows):
        ``frame``: (K,), int32; number of the frame, from 0.
        ``number``: (K,), int32; number of the track, from 0 in order of appearance.
        ``box``: (K, 4), float32. ``landmarks``: (K, 5, 2), float32. ``score``: (K,), float32.
        ``rung``: (K,), uint8; never ``Rung.WHOLE``.
    """

    frame: np.ndarray
    number: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    rung: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, rows: np.ndarray) -> TrackArrays:
        """Keep some of the rows, given as a mask."""
        return TrackArrays(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Sighting:
    """One face in one frame; a row of ``TrackArrays``."""

    frame: int
    number: int
    box: Box
    landmarks: np.ndarray
    score: float
    rung: Rung


def gather(sightings: Sequence[Sighting]) -> TrackArrays:
    """Put sightings into arrays, sorted by frame and track."""
    rows = sorted(sightings, key=lambda sighting: (sighting.frame, sighting.number))
    num = len(rows)
    return TrackArrays(
        frame=np.array([row.frame for row in rows], np.int32),
        number=np.array([row.number for row in rows], np.int32),
        box=np.array([row.box for row in rows], np.float32).reshape(num, 4),
        landmarks=np.array([row.landmarks for row in rows], np.float32).reshape(num, 5, 2),
        score=np.array([row.score for row in rows], np.float32),
        rung=np.array([row.rung for row in rows], np.uint8),
    )


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection of two boxes over their union, 0 where they don't touch."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (one[2] - one[0]) * (one[3] - one[1])
    other_area = (other[2] - other[0]) * (other[3] - other[1])
    return width * height / (area + other_area - width * height)


def link(boxes: Sequence[Box], last: Sequence[Box], least: float) -> dict[int, int]:
    """Match new boxes to the last boxes of tracks, the best overlap first.

    Args:
        boxes: faces found in this frame.
        last: the last box of each track.
        least: overlap below which two boxes are different faces.

    Returns:
        Index into ``boxes`` -> index into ``last``, for those that match.
    """
    pairs = sorted(
        (
            (overlap(box, before), new, old)
            for new, box in enumerate(boxes)
            for old, before in enumerate(last)
        ),
        key=lambda pair: -pair[0],
    )
    matched: dict[int, int] = {}
    for value, new, old in pairs:
        if value >= least and new not in matched and old not in matched.values():
            matched[new] = old
    return matched


def by_area(tracks: TrackArrays, rows: np.ndarray, _size: tuple[int, int]) -> float:
    """Rank a track by the area of its boxes, summed over its frames."""
    box = tracks.box[rows].astype(np.float64)
    return float(((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).sum())


def by_centre(tracks: TrackArrays, rows: np.ndarray, frame_size: tuple[int, int]) -> float:
    """Rank a track by how near its boxes are to the frame's centre, on average."""
    box = tracks.box[rows].astype(np.float64)
    height, width = frame_size
    x = (box[:, 0] + box[:, 2]) / 2 - width / 2
    y = (box[:, 1] + box[:, 3]) / 2 - height / 2
    return -float(np.hypot(x, y).mean())


def by_length(_tracks: TrackArrays, rows: np.ndarray, _size: tuple[int, int]) -> float:
    """Rank a track by its number of frames."""
    return float(len(rows))


def by_arrival(tracks: TrackArrays, rows: np.ndarray, _size: tuple[int, int]) -> float:
    """Rank a track by how early it begins."""
    return -float(tracks.frame[rows[0]])


POLICIES: dict[str, Callable[[TrackArrays, np.ndarray, tuple[int, int]], float]] = {
    "largest": by_area,
    "central": by_centre,
    "longest": by_length,
    "first": by_arrival,
}


def rank(tracks: TrackArrays, policy: str, frame_size: tuple[int, int]) -> list[int]:
    """Order the tracks of a clip, the one to use first; equal ones by number.

    Raises:
        ValueError: the policy is unknown.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    numbers = np.unique(tracks.number)
    value = {
        int(number): POLICIES[policy](tracks, np.flatnonzero(tracks.number == number), frame_size)
        for number in numbers
    }
    return sorted(value, key=lambda number: (-value[number], number))


def choose(tracks: TrackArrays, num_frames: int, order: Sequence[int]) -> np.ndarray:
    """Pick one face per frame: that of the first track in ``order`` which is in the frame.

    Shapes:
        result: (``num_frames``,), int64; a row of ``tracks``, or -1 where no face is.
    """
    rows = np.full(num_frames, -1, np.int64)
    for number in reversed(order):
        mine = np.flatnonzero(tracks.number == number)
        rows[tracks.frame[mine]] = mine
    return rows
