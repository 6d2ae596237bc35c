"""Policies: the order in which the tracks of a clip are chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.choice.clip_persons import ClipPersons
from pipeline.faces.settings import OTHER, PERSON, check_policy
from pipeline.faces.tracks import TrackArrays, is_seen

# Rank of a track among others by its rows in which a detector saw the face; more is better.
Rank = Callable[[TrackArrays, np.ndarray, tuple[int, int]], float]


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


MEASURES: dict[str, Rank] = {
    "largest": by_area,
    "central": by_centre,
    "longest": by_length,
    "first": by_arrival,
}


def rank(
    tracks: TrackArrays,
    policy: str,
    frame_size: tuple[int, int],
    persons: ClipPersons | None = None,
) -> list[int]:
    """Order the tracks that a policy may choose, the one to use first; equal ones by number.

    Only frames in which a detector saw the face count: what is followed makes no track large or
    long. ``person=NAME`` and ``other`` order those that are left by ``largest``.

    Args:
        tracks: all faces of the clip.
        policy: see ``FaceSettings``.
        frame_size: (height, width) in pixels.
        persons: who is on which track. Without it ``other`` leaves out the track that ``largest``
            puts first.

    Raises:
        ValueError: the policy is unknown.
    """
    check_policy(policy)
    measure, seen = MEASURES.get(policy, by_area), is_seen(tracks.rung)
    value = {
        int(number): measure(tracks, rows, frame_size) if len(rows) else -np.inf
        for number in np.unique(tracks.number)
        for rows in [np.flatnonzero((tracks.number == number) & seen)]
    }
    order = sorted(value, key=lambda number: (-value[number], number))
    names = persons.names if persons else {}
    if policy.startswith(PERSON):
        return [number for number in order if names.get(number) == policy.removeprefix(PERSON)]
    if policy == OTHER and order:
        largest: int | str = names.get(order[0], order[0])
        speaker = (persons.speaker if persons else None) or largest
        return [number for number in order if names.get(number, number) != speaker]
    return order
