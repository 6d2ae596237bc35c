"""Tracks: the faces of a clip, linked over its frames.

A track grows frame by frame (``TrackRows``), becomes arrays when its clip is done
(``gather_tracks``) and is read back from a ``faces`` entry (``read_tracks``). ``measure_coverage``
counts the frames with a face by the source of its box.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from cache.entries.coverage import SEEN as SEEN_NAMES
from cache.entries.coverage import Coverage
from cache.entries.entry import Entry
from pipeline.faces.identity import IdentityArrays

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
BLOCK_FRAMES = 32  # most of what may be a face is gone after a few
_ROW = np.dtype(
    [
        ("there", np.bool_),
        ("box", np.float64, 4),
        ("landmarks", np.float32, (5, 2)),
        ("score", np.float64),
        ("rung", np.uint8),
    ]
)


class BoxSource(IntEnum):
    """Source of a frame's face box. Numbers are stored and fixed; ``SUREST_LAST`` ranks them.

    Entries store the number under the name ``rung``; tables and reports the name in lower case.

    ``WHOLE``: no face; the box is the whole frame.
    ``DETECT``: dlib's detector at its published threshold.
    ``HOLD``: the last box, a few frames old, moved along where the motion in it can be told.
    ``REGION``: a detector below its own threshold, next to a face that was accepted.
    ``CONTRAST``: dlib's detector on a frame whose contrast was raised.
    ``FOLLOW``: the face's motion was followed from a frame in which it was detected.
    ``SECOND``: a second detector.
    ``GIVEN``: a box that the user gave.
    ``TILT``: dlib's detector on a frame turned by 25 degrees.
    """

    WHOLE = 0
    DETECT = 1
    HOLD = 2
    REGION = 3
    CONTRAST = 4
    FOLLOW = 5
    SECOND = 6
    GIVEN = 7
    TILT = 8


# Sources that say a detector itself accepted the face in that very frame.
SEEN = frozenset(BoxSource[name.upper()] for name in SEEN_NAMES)
SUREST_LAST = (
    BoxSource.HOLD,
    BoxSource.FOLLOW,
    BoxSource.REGION,
    BoxSource.TILT,
    BoxSource.CONTRAST,
    BoxSource.SECOND,
    BoxSource.GIVEN,
    BoxSource.DETECT,
)


def is_seen(rung: np.ndarray) -> np.ndarray:
    """Say in which rows a detector accepted the face itself, so that nothing was followed there.

    Shapes:
        ``rung``: of any shape, ``BoxSource``. result: the same, bool.
    """
    return np.isin(rung, sorted(SEEN))


def rank_sources(rung: np.ndarray) -> np.ndarray:
    """Rank the sources of boxes, the surest highest; ``BoxSource.WHOLE`` is 0.

    Shapes:
        ``rung``: of any shape, ``BoxSource``. result: the same, int64.
    """
    order = np.zeros(max(BoxSource) + 1, np.int64)
    order[list(SUREST_LAST)] = np.arange(1, len(SUREST_LAST) + 1)
    ranks: np.ndarray = order[rung]
    return ranks


@dataclass(frozen=True)
class TrackArrays:
    """Arrays of all faces of a clip, one row per face and frame, sorted by frame and track.

    Shapes (K rows):
        ``frame``: (K,), int32; number of the frame, from 0.
        ``number``: (K,), int32; number of the track, from 0 in order of appearance.
        ``box``: (K, 4), float32. ``landmarks``: (K, 5, 2), float32. ``score``: (K,), float32.
        ``rung``: (K,), uint8; never ``BoxSource.WHOLE``.
    """

    frame: np.ndarray
    number: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    rung: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class ClipTracks:
    """Faces of a clip as its ``faces`` entry holds them, whether a network sees them or not.

    Args:
        times: (T,), float64, seconds, of its frames.
        frame_size: (height, width) of a frame in pixels; (0, 0) where there is none.
        tracks: a row per face and frame.
        identity: embeddings of a few crops of each track, which the entry doesn't hold; None where
            no recogniser was asked.
    """

    times: np.ndarray
    frame_size: tuple[int, int]
    tracks: TrackArrays
    identity: IdentityArrays | None = None

    @property
    def rung(self) -> np.ndarray:
        """Source of the surest face of each frame: (T,), uint8, ``BoxSource``; 0 without a face."""
        worth = np.zeros(len(self.times), np.int64)
        np.maximum.at(worth, self.tracks.frame, rank_sources(self.tracks.rung))
        return np.array([BoxSource.WHOLE, *SUREST_LAST], np.uint8)[worth]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names under which an entry stores them; see ``read_tracks``."""
        tracks = {f"tracks/{name}": values for name, values in vars(self.tracks).items()}
        return {"times": self.times, "rung": self.rung, **tracks}


@dataclass(frozen=True)
class Sighting:
    """One face in one frame; a row of ``TrackArrays``."""

    frame: int
    number: int
    box: Box
    landmarks: np.ndarray
    score: float
    rung: BoxSource


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


def read_tracks(entry: Entry) -> ClipTracks:
    """Return all faces of a clip as its entry in the ``faces`` set holds them.

    ``pipeline.choice.choice.choose_faces`` picks one of them per frame, by any policy.

    Args:
        entry: what ``FeatureSet.read(clip)`` returned, with all its arrays.

    Raises:
        ValueError: the entry lacks an array: it isn't one of a ``faces`` set, or was read in part.
    """
    names = [field.name for field in fields(TrackArrays)]
    missing = [n for n in ("times", *(f"tracks/{n}" for n in names)) if n not in entry.arrays]
    if missing:
        raise ValueError(
            f"clip {entry.clip}: expected an entry of a faces set with all its arrays, "
            f"this one has no {', '.join(missing)}"
        )
    height, width = entry.attributes.get("frame_size") or (0, 0)
    tracks = TrackArrays(**{name: entry.arrays[f"tracks/{name}"] for name in names})
    return ClipTracks(entry.arrays["times"], (int(height), int(width)), tracks)


class TrackRows(MutableMapping[int, Sighting]):
    """Sightings of one track by number of the frame, sorted; what is read equals what was written.

    The sightings that are read have the number 0: tracks are numbered when the clip is done.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, np.ndarray] = {}
        self._count = 0

    def __setitem__(self, frame: int, row: Sighting) -> None:
        at, place = divmod(frame, BLOCK_FRAMES)
        block = self._blocks.get(at)
        if block is None:
            block = self._blocks[at] = np.zeros(BLOCK_FRAMES, _ROW)
        self._count += not block["there"][place]
        block[place] = (True, row.box, row.landmarks, row.score, row.rung)

    def __getitem__(self, frame: int) -> Sighting:
        if frame not in self:
            raise KeyError(frame)
        row = self._blocks[frame // BLOCK_FRAMES][frame % BLOCK_FRAMES]
        left, top, right, bottom = row["box"].tolist()
        return Sighting(
            frame,
            0,
            (left, top, right, bottom),
            row["landmarks"].copy(),
            float(row["score"]),
            BoxSource(int(row["rung"])),
        )

    def __delitem__(self, frame: int) -> None:
        if frame not in self:
            raise KeyError(frame)
        self._blocks[frame // BLOCK_FRAMES]["there"][frame % BLOCK_FRAMES] = False
        self._count -= 1

    def __contains__(self, frame: object) -> bool:
        if not isinstance(frame, int):
            return False
        block = self._blocks.get(frame // BLOCK_FRAMES)
        return block is not None and bool(block["there"][frame % BLOCK_FRAMES])

    def __iter__(self) -> Iterator[int]:
        for at in sorted(self._blocks):
            places = np.flatnonzero(self._blocks[at]["there"])
            yield from (at * BLOCK_FRAMES + place for place in places.tolist())

    def __len__(self) -> int:
        return self._count

    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the frames, (N,) int64, and the source of each box, (N,) uint8."""
        frames, rungs = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
        for at in sorted(self._blocks):
            places = np.flatnonzero(self._blocks[at]["there"])
            frames.append(places + at * BLOCK_FRAMES)
            rungs.append(self._blocks[at]["rung"][places])
        return np.concatenate(frames), np.concatenate(rungs)

    # Two tracks are two, even if they hold the same.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def gather_tracks(tracks: Sequence[TrackRows]) -> TrackArrays:
    """Put whole tracks into arrays, numbered as they come; sorted by frame and track."""
    numbers: list[np.ndarray] = [np.zeros(0, np.int32)]
    frames: list[np.ndarray] = [np.zeros(0, np.int32)]
    rows: list[np.ndarray] = [np.zeros(0, _ROW)]
    for number, track in enumerate(tracks):
        for at, block in track._blocks.items():
            places = np.flatnonzero(block["there"]).astype(np.int32)
            frames.append(places + np.int32(at * BLOCK_FRAMES))
            numbers.append(np.full(len(places), number, np.int32))
            rows.append(block[places])
    frame, number_of, row = (np.concatenate(parts) for parts in (frames, numbers, rows))
    order = np.lexsort((number_of, frame))
    row = row[order]
    return TrackArrays(
        frame=frame[order],
        number=number_of[order],
        box=row["box"].astype(np.float32),
        landmarks=np.ascontiguousarray(row["landmarks"]),
        score=row["score"].astype(np.float32),
        rung=np.ascontiguousarray(row["rung"]),
    )


def measure_coverage(rung: np.ndarray, times: np.ndarray, *, upright: int = 0) -> Coverage:
    """Count a clip's frames by source of the face box, and find the longest time without a face.

    The time is rounded to the millisecond. ``upright`` is the number of faces that are cropped
    upright; see ``pipeline.faces.landmarks.are_upright``.

    Shapes (T frames):
        ``rung``: (T,), ``BoxSource``.
        ``times``: (T,), seconds, increasing.

    Raises:
        ValueError: the lengths differ.
    """
    if len(rung) != len(times):
        raise ValueError(f"rung and times must be of one length, got {len(rung)} and {len(times)}")
    counts = {kind.name.lower(): int((rung == kind).sum()) for kind in BoxSource}
    longest = 0.0
    start: float | None = None
    for kind, seconds in zip(rung, times, strict=True):
        if kind == BoxSource.WHOLE and start is None:
            start = float(seconds)
        if start is not None:
            longest = max(longest, float(seconds) - start)
        if kind != BoxSource.WHOLE:
            start = None
    found = {name: count for name, count in counts.items() if count}
    return Coverage(found, round(longest, 3), upright)
