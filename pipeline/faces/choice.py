"""Choice of one face per frame among the tracks of a clip; the picture isn't needed for it.

The ``faces`` set holds every track. The one that a network sees is chosen here, when crops are
made: by a policy for all clips, and by hand for some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.faces.detect import LandmarkPredictor
from pipeline.faces.landmarks import place_landmarks
from pipeline.faces.overrides import Override
from pipeline.faces.regions import PLAIN, Look, is_dark
from pipeline.faces.tracks import Box, BoxSource, ClipTracks, TrackArrays


class MisfitError(ValueError):
    """An override doesn't fit its clip: no such track, no such time, or a box outside."""


@dataclass(frozen=True)
class FaceArrays:
    """The chosen face of every frame.

    Shapes (T frames):
        ``times``: (T,), float64, seconds. ``box``: (T, 4), float32: left, top, right, bottom.
        ``landmarks``: (T, 5, 2), float32, x and y. ``score``: (T,), float32.
        ``rung``: (T,), uint8, ``BoxSource``. ``track``: (T,), int32, number of the track.
        Where ``rung`` is ``WHOLE``, the box is the whole frame, landmarks and score are 0 and
        ``track`` is -1. Where it is ``GIVEN``, landmarks are 0 until ``place_given``.
    """

    times: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    rung: np.ndarray
    track: np.ndarray


def choose_faces(found: ClipTracks, policy: str, overrides: Sequence[Override] = ()) -> FaceArrays:
    """Choose one face per frame among the tracks of a clip, without looking at it again.

    Args:
        found: all faces of the clip.
        policy: which track comes first, see ``FaceSettings``; where it is absent, the next.
        overrides: faces chosen by hand for a time; where such a track is absent, no face is used.

    Raises:
        ValueError: the policy is unknown.
        MisfitError: an override names a track that the clip hasn't, a time in which it has no
            frame, or a box outside the frame.
    """
    tracks, times, num = found.tracks, found.times, len(found.times)
    height, width = found.frame_size
    rows = choose(tracks, num, rank(tracks, policy, found.frame_size))
    given: list[tuple[np.ndarray, Box]] = []
    for override in overrides:
        inside = _fit(override, found)
        rows[inside] = -1
        given = [(where & ~inside, box) for where, box in given]
        if override.box is not None:
            given.append((inside, override.box))
        else:
            mine = np.flatnonzero(tracks.number == override.track)
            mine = mine[inside[tracks.frame[mine]]]
            rows[tracks.frame[mine]] = mine
    faces = FaceArrays(
        times=times,
        box=np.tile(np.array([0, 0, width, height], np.float32), (num, 1)),
        landmarks=np.zeros((num, 5, 2), np.float32),
        score=np.zeros(num, np.float32),
        rung=np.full(num, BoxSource.WHOLE, np.uint8),
        track=np.full(num, -1, np.int32),
    )
    at = rows >= 0
    faces.box[at] = tracks.box[rows[at]]
    faces.landmarks[at] = tracks.landmarks[rows[at]]
    faces.score[at] = tracks.score[rows[at]]
    faces.rung[at] = tracks.rung[rows[at]]
    faces.track[at] = tracks.number[rows[at]]
    for where, box in given:
        faces.box[where], faces.rung[where], faces.score[where] = box, BoxSource.GIVEN, 1.0
    return faces


def _fit(override: Override, found: ClipTracks) -> np.ndarray:
    """Return the frames that an override is for: (T,), bool."""
    times, (height, width) = found.times, found.frame_size
    inside: np.ndarray = (times >= override.start_seconds) & (times < override.end_seconds)
    if not inside.any():
        span = f"from {times[0]:.3f} to {times[-1]:.3f} s" if len(times) else "none"
        raise MisfitError(
            f"an override from {override.start_seconds} to {override.end_seconds} s covers no "
            f"frame of this clip; its frames: {span}"
        )
    if override.box is not None:
        left, top, right, bottom = override.box
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise MisfitError(
                f"the box {override.box} of an override is outside the frame of {width}x{height}"
            )
    elif override.track not in found.tracks.number:
        known = ", ".join(map(str, np.unique(found.tracks.number))) or "none"
        raise MisfitError(
            f"an override names track {override.track}, and this clip has the tracks {known}"
        )
    return inside


def place_given(
    faces: FaceArrays, start: int, images: np.ndarray, predictor: LandmarkPredictor
) -> np.ndarray:
    """Return the landmarks of some frames; those in boxes given by hand are predicted now.

    Args:
        faces: of the clip.
        start: number of the first of the frames.
        images: the frames, in order.
        predictor: places landmarks.

    Shapes (N frames):
        ``images``: (N, H, W, 3), uint8.
        result: (N, 5, 2), float32.
    """
    rows = slice(start, start + len(images))
    points: np.ndarray = faces.landmarks[rows].copy()
    for row in np.flatnonzero(faces.rung[rows] == BoxSource.GIVEN):
        image, box = images[row], faces.box[start + row]
        left, top, right, bottom = (max(0, round(float(side))) for side in box)
        dark = is_dark(image[top:bottom, left:right])
        look = Look(contrast=True) if dark else PLAIN
        sides: Box = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        points[row] = place_landmarks(predictor, image, sides, look)
    return points


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
