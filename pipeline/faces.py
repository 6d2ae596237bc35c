"""Finding the clip's face in every frame, and recording how each was had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.decode import Frames
from pipeline.detect import Detector, FivePointPredictor, LandmarkPredictor
from pipeline.overrides import Override
from pipeline.rungs import Rung
from pipeline.search import FaceSearch
from pipeline.tracks import Sighting, TrackArrays, choose, gather, rank

__all__ = ["FaceArrays", "FaceSettings", "Rung", "choose_faces", "find_faces"]


@dataclass(frozen=True)
class FaceSettings:
    """How faces are found and which one is used.

    Args:
        ladder: ``papers`` is detect or the whole frame, in every frame, as both papers do;
            ``full`` looks again near a face that was found, follows it and holds its last box.
        scan: ``region`` searches whole frames only now and then, and otherwise near the faces
            that are known; ``every-frame`` searches every whole frame. ``papers`` always does.
        policy: which of several faces: ``largest`` (area summed over time), ``central``,
            ``longest`` or ``first``; where that one is absent, the next by the same measure.
        upsample: how often dlib doubles a frame before it looks; 1 finds faces from 40 pixels.
        threshold: score from which dlib's detection counts; 0 is dlib's own.
        region_threshold: the same, near a face that is known.
        candidate_threshold: score from which something is watched while no face is known; it
            counts only if it reaches ``threshold`` in some frame.
        scan_seconds: from one scan of a whole frame to the next while a face is known.
        lost_seconds: the same while none is.
        search_seconds: from one scan for the smallest faces to the next; the others leave out
            faces that are small in a large frame.
        second_threshold: score from which a face that only the second detector sees counts.
        follow_seconds: for how long a face's motion is followed without a detection.
        hold_frames: for how many frames the last box is used when nothing else is left.
        link_overlap: overlap (intersection over union) from which two boxes are one face.

    Raises:
        ValueError: a count or time is negative, or ``link_overlap`` not in (0, 1].
    """

    ladder: Literal["full", "papers"] = "full"
    scan: Literal["region", "every-frame"] = "region"
    policy: Literal["largest", "central", "longest", "first"] = "largest"
    upsample: int = 1
    threshold: float = 0.0
    region_threshold: float = -0.7
    candidate_threshold: float = -0.45
    scan_seconds: float = 1.5
    lost_seconds: float = 0.4
    search_seconds: float = 4.0
    second_threshold: float = 0.8
    follow_seconds: float = 2.0
    hold_frames: int = 5
    link_overlap: float = 0.3

    def __post_init__(self) -> None:
        for name in ("upsample", "hold_frames", "scan_seconds", "lost_seconds", "search_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.link_overlap <= 1:
            raise ValueError(f"link_overlap must be in (0, 1], got {self.link_overlap}")


@dataclass(frozen=True)
class FaceArrays:
    """The ``faces`` set of one clip: the chosen face of every frame, and all tracks.

    Shapes (T frames):
        ``times``: (T,), float64, seconds. ``box``: (T, 4), float32: left, top, right, bottom.
        ``landmarks``: (T, 5, 2), float32, x and y. ``score``: (T,), float32.
        ``rung``: (T,), uint8, ``Rung``. ``track``: (T,), int32, number of the track.
        Where ``rung`` is ``WHOLE``, the box is the whole frame, landmarks and score are 0 and
        ``track`` is -1.
    """

    times: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    rung: np.ndarray
    track: np.ndarray
    tracks: TrackArrays

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names under which an entry stores them."""
        own = {name: value for name, value in vars(self).items() if name != "tracks"}
        return own | {f"tracks/{name}": value for name, value in vars(self.tracks).items()}


def find_faces(
    frames: Iterable[Frames],
    settings: FaceSettings | None = None,
    *,
    detector: Detector | None = None,
    second: Detector | None = None,
    predictor: LandmarkPredictor | None = None,
    overrides: Sequence[Override] = (),
) -> FaceArrays:
    """Find the face of every frame of a clip.

    Args:
        frames: the clip's frames in order; only their geometry is kept.
        settings: the ladder, and the policy.
        detector: finds faces in whole frames, every one; dlib's HOG detector by default.
        second: finds faces in the frames where the first doesn't; none by default.
        predictor: places landmarks; dlib's five-point predictor by default.
        overrides: faces chosen by hand; a box becomes a track of its own, the last.

    Returns:
        One row per frame; no rows where there are no frames.

    Raises:
        ValueError: an override names a track that the clip hasn't.
    """
    settings, predictor = settings or FaceSettings(), predictor or FivePointPredictor()
    search = FaceSearch(settings, predictor, detector, second)
    times: list[np.ndarray] = []
    given: list[Sighting] = []
    size = (0, 0)
    index = 0
    for chunk in frames:
        times.append(chunk.times)
        size = (chunk.images.shape[1], chunk.images.shape[2])
        for image, seconds in zip(chunk.images, chunk.times, strict=True):
            search.add(index, float(seconds), image)
            for number, override in enumerate(overrides):
                if override.box and override.start_seconds <= seconds < override.end_seconds:
                    points = predictor.predict(image, override.box)
                    given.append(Sighting(index, number, override.box, points, 1.0, Rung.GIVEN))
            index += 1
    found = search.finish()
    first = 1 + max((sighting.number for sighting in found), default=-1)
    given = [replace(sighting, number=first + sighting.number) for sighting in given]
    chosen = [
        replace(override, track=first + number) if override.box else override
        for number, override in enumerate(overrides)
    ]
    all_times = np.concatenate(times) if times else np.zeros(0, np.float64)
    return choose_faces(gather([*found, *given]), all_times, size, settings.policy, chosen)


def choose_faces(
    tracks: TrackArrays,
    times: np.ndarray,
    frame_size: tuple[int, int],
    policy: str,
    overrides: Sequence[Override] = (),
) -> FaceArrays:
    """Choose one face per frame among the tracks of a clip, without looking at it again.

    Args:
        tracks: all faces of the clip.
        times: (T,), seconds, of its frames.
        frame_size: (height, width).
        policy: which track comes first, see ``FaceSettings``.
        overrides: tracks chosen by hand for a time; where such a track is absent, no face is used.

    Raises:
        ValueError: the policy is unknown, or an override names a track that the clip hasn't.
    """
    num = len(times)
    chosen_by_hand = tracks.rung == Rung.GIVEN
    rows = choose(tracks, num, rank(tracks.where(~chosen_by_hand), policy, frame_size))
    for override in overrides:
        mine = np.flatnonzero(tracks.number == override.track)
        if not len(mine) and override.box is None:
            known = ", ".join(map(str, np.unique(tracks.number[~chosen_by_hand]))) or "none"
            raise ValueError(f"no track {override.track} in this clip; its tracks: {known}")
        inside = (times >= override.start_seconds) & (times < override.end_seconds)
        rows[inside] = -1
        mine = mine[inside[tracks.frame[mine]]]
        rows[tracks.frame[mine]] = mine
    faces = FaceArrays(
        times=times,
        box=np.tile(np.array([0, 0, frame_size[1], frame_size[0]], np.float32), (num, 1)),
        landmarks=np.zeros((num, 5, 2), np.float32),
        score=np.zeros(num, np.float32),
        rung=np.full(num, Rung.WHOLE, np.uint8),
        track=np.full(num, -1, np.int32),
        tracks=tracks,
    )
    at = rows >= 0
    faces.box[at] = tracks.box[rows[at]]
    faces.landmarks[at] = tracks.landmarks[rows[at]]
    faces.score[at] = tracks.score[rows[at]]
    faces.rung[at] = tracks.rung[rows[at]]
    faces.track[at] = tracks.number[rows[at]]
    return faces
