"""Choice of one face per frame among the tracks of a clip; the picture isn't needed for it.

The ``faces`` set holds every track. The one that a network sees is chosen here, when crops are
made: by a policy for all clips, and by hand for some.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.choice.clip_persons import ClipPersons
from pipeline.choice.overrides import Override
from pipeline.choice.policies import rank
from pipeline.faces.detect import Detector, LandmarkPredictor
from pipeline.faces.landmarks import place_landmarks
from pipeline.faces.regions import PLAIN, Look, is_dark
from pipeline.faces.search import track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Box, BoxSource, ClipTracks, TrackArrays
from pipeline.media.frames import Frames


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


def find_faces(
    frames: Iterable[Frames],
    settings: FaceSettings | None = None,
    *,
    detector: Detector | None = None,
    second: Detector | None = None,
    predictor: LandmarkPredictor | None = None,
) -> FaceArrays:
    """Find the face of every frame: ``track_faces``, then ``choose_faces`` by the policy.

    Returns:
        One row per frame; no rows where there are no frames.
    """
    settings = settings or FaceSettings()
    found = track_faces(frames, settings, detector=detector, second=second, predictor=predictor)
    return choose_faces(found, settings.policy, switch_seconds=settings.switch_seconds)


def choose_faces(
    found: ClipTracks,
    policy: str,
    overrides: Sequence[Override] = (),
    *,
    persons: ClipPersons | None = None,
    switch_seconds: float = FaceSettings.switch_seconds,
) -> FaceArrays:
    """Choose one face per frame among the tracks of a clip, without looking at it again.

    Args:
        found: all faces of the clip.
        policy: which track comes first, see ``FaceSettings``; where it is absent, the next.
        overrides: faces chosen by hand for a time; where such a track is absent, no face is used.
        persons: who is on which track, for the policies that ask for it.
        switch_seconds: for less than this the chosen face doesn't change, see ``choose``.

    Raises:
        ValueError: the policy is unknown.
        MisfitError: an override names a track that the clip hasn't, a time in which it has no
            frame, or a box outside the frame.
    """
    tracks, times, num = found.tracks, found.times, len(found.times)
    height, width = found.frame_size
    order = rank(tracks, policy, found.frame_size, persons)
    names = persons.names if persons else {}
    rows = choose(tracks, times, order, switch_seconds, names)
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


def choose(
    tracks: TrackArrays,
    times: np.ndarray,
    order: Sequence[int],
    switch_seconds: float = 0.0,
    names: Mapping[int, str] | None = None,
) -> np.ndarray:
    """Pick one face per frame, so that the chosen one doesn't change for a moment.

    1. A track claims the frames that it is in, and every gap between them that is shorter than
       ``switch_seconds``. A frame is given to the first track in ``order`` that claims it; in a
       gap it has no face, rather than somebody else's.
    2. Who is given less than ``switch_seconds`` at a stretch, while others are chosen less than
       ``switch_seconds`` before and after, is passed over: the frames go to the next track that
       claims them, or to none. The shortest stretch goes first, of equal ones the earliest, until
       there is no more.

    Args:
        tracks: all tracks of the clip.
        times: of its frames.
        order: numbers of the tracks that may be chosen, the best first.
        switch_seconds: see above; 0 takes the first track in each frame.
        names: number of a track to the person's name; tracks of one person are one here.

    Shapes (T frames):
        ``times``: (T,), seconds.
        result: (T,), int64; a row of ``tracks``, or -1 where no face is.
    """
    people: dict[int | str, list[int]] = {}
    for number in order:
        people.setdefault((names or {}).get(number, number), []).append(number)
    there = [_rows_of(tracks, numbers) for numbers in people.values()]
    claims = [
        (place, start, stop)
        for place, rows in enumerate(there)
        for start, stop in _stretches(tracks.frame[rows], times, switch_seconds)
    ]
    owner = np.full(len(times), -1, np.int64)
    _give(owner, claims, 0, len(times))
    while (flicker := _find_flicker(owner, times, switch_seconds)) is not None:
        place, start, stop = flicker
        claims = list(_without(claims, place, start, stop))
        _give(owner, claims, start, stop)
    chosen = np.full(len(times), -1, np.int64)
    for place, rows in enumerate(there):
        mine = rows[owner[tracks.frame[rows]] == place]
        chosen[tracks.frame[mine]] = mine
    return chosen


Claim = tuple[int, int, int]  # place in the order, first frame, frame behind the last


def _rows_of(tracks: TrackArrays, numbers: Sequence[int]) -> np.ndarray:
    """Return one row per frame with one of some tracks, the first of them that is there."""
    rows = [np.flatnonzero(tracks.number == number) for number in numbers]
    together = np.concatenate(rows)
    _, first = np.unique(tracks.frame[together], return_index=True)
    return together[first]


def _stretches(
    frames: np.ndarray, times: np.ndarray, switch_seconds: float
) -> Iterator[tuple[int, int]]:
    """Yield the stretches of frames that have no gap as long as ``switch_seconds`` in them."""
    follows = np.diff(frames) > 1
    gap = times[frames[1:]] - times[frames[:-1] + 1]
    ends = np.flatnonzero(follows & (gap >= switch_seconds))
    starts = np.concatenate([[0], ends + 1])
    for start, end in zip(starts, [*ends, len(frames) - 1], strict=True):
        yield int(frames[start]), int(frames[end]) + 1


def _give(owner: np.ndarray, claims: Sequence[Claim], start: int, stop: int) -> None:
    """Give the frames from ``start`` to before ``stop`` to those who claim them."""
    owner[start:stop] = -1
    for place, first, end in sorted(claims, reverse=True):
        owner[max(first, start) : min(end, stop)] = place


def _without(claims: Sequence[Claim], place: int, start: int, stop: int) -> Iterator[Claim]:
    """Take some frames out of the claims of one."""
    for claim in claims:
        mine, first, end = claim
        if mine == place and first <= start and stop <= end:
            yield from ((mine, a, b) for a, b in ((first, start), (stop, end)) if a < b)
        else:
            yield claim


def _find_flicker(owner: np.ndarray, times: np.ndarray, switch_seconds: float) -> Claim | None:
    """Find the shortest stretch that one is chosen for a moment only, between others."""
    edges = np.flatnonzero(np.diff(owner)) + 1
    bounds = [0, *map(int, edges), len(owner)]
    runs = [
        (int(owner[start]), start, stop)
        for start, stop in itertools.pairwise(bounds)
        if start < stop and owner[start] >= 0
    ]
    short = [
        (float(times[stop] - times[start]), start, run)
        for before, run, after in zip(runs, runs[1:], runs[2:], strict=False)
        for _, start, stop in [run]
        if max(times[start] - times[before[2]], times[after[1]] - times[stop]) < switch_seconds
        and times[stop] - times[start] < switch_seconds
    ]
    return min(short)[2] if short else None
