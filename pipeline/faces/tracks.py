"""Tracks: the faces of a clip, linked over its frames, as arrays and as an entry holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from cache.entries.entry import Entry
from pipeline.faces.rungs import SUREST_LAST, Rung

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


@dataclass(frozen=True)
class ClipTracks:
    """All faces of a clip, whichever of them is used: what its ``faces`` entry holds.

    Args:
        times: (T,), float64, seconds, of its frames.
        frame_size: (height, width) of a frame in pixels; (0, 0) where there is none.
        tracks: a row per face and frame.
    """

    times: np.ndarray
    frame_size: tuple[int, int]
    tracks: TrackArrays

    @property
    def rung(self) -> np.ndarray:
        """How the surest face of each frame was had: (T,), uint8, ``Rung``; 0 without a face."""
        worth = np.zeros(len(self.times), np.int64)
        order = np.zeros(max(Rung) + 1, np.int64)
        order[list(SUREST_LAST)] = np.arange(1, len(SUREST_LAST) + 1)
        np.maximum.at(worth, self.tracks.frame, order[self.tracks.rung])
        return np.array([Rung.WHOLE, *SUREST_LAST], np.uint8)[worth]

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
    rung: Rung


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

    The entry is one that ``FeatureSet.read(clip)`` returned, with all its arrays. Which face a
    network is given, ``pipeline.faces.choice.choose_faces`` says for any policy, without a picture.

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
