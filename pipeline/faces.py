"""Finding the clip's face in every frame, and recording how each was had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.decode import Frames
from pipeline.detect import Detector, FivePointPredictor, HogDetector, LandmarkPredictor
from pipeline.rungs import Rung
from pipeline.tracks import Box, Sighting, TrackArrays, choose, gather, link, rank

__all__ = ["FaceArrays", "FaceSettings", "Rung", "choose_faces", "find_faces"]


@dataclass(frozen=True)
class FaceSettings:
    """How faces are found and which one is used.

    Args:
        ladder: ``papers`` is detect or the whole frame, ``full`` also holds the last box.
        policy: which of several faces: ``largest`` (area summed over time), ``central``,
            ``longest`` or ``first``; where that one is absent, the next by the same measure.
        upsample: how often dlib doubles a frame before it looks; 1 finds faces from 40 pixels.
        threshold: score from which dlib's detection counts.
        hold_frames: for how many frames the last box is used after a face was lost.
        link_overlap: overlap (intersection over union) from which two boxes are one face.

    Raises:
        ValueError: ``upsample`` or ``hold_frames`` is negative, or ``link_overlap`` not in (0, 1].
    """

    ladder: Literal["full", "papers"] = "full"
    policy: Literal["largest", "central", "longest", "first"] = "largest"
    upsample: int = 1
    threshold: float = 0.0
    hold_frames: int = 5
    link_overlap: float = 0.3

    def __post_init__(self) -> None:
        if self.upsample < 0 or self.hold_frames < 0:
            raise ValueError(
                f"upsample and hold_frames must not be negative, got {self.upsample} and "
                f"{self.hold_frames}"
            )
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
    predictor: LandmarkPredictor | None = None,
) -> FaceArrays:
    """Find the face of every frame of a clip.

    Args:
        frames: the clip's frames in order; only their geometry is kept.
        settings: the ladder, and the policy.
        detector: finds faces; dlib's HOG detector by default.
        predictor: places landmarks; dlib's five-point predictor by default.

    Returns:
        One row per frame; no rows where there are no frames.
    """
    settings = settings or FaceSettings()
    detector = detector or HogDetector(settings.upsample)
    predictor = predictor or FivePointPredictor()
    times: list[np.ndarray] = []
    size = (0, 0)
    sightings: list[Sighting] = []
    last: dict[int, tuple[int, Box]] = {}  # track -> frame it was last detected in, box
    hold = settings.hold_frames if settings.ladder == "full" else 0
    index = num_tracks = 0
    for chunk in frames:
        times.append(chunk.times)
        size = (chunk.images.shape[1], chunk.images.shape[2])
        for image in chunk.images:
            last = {n: (f, box) for n, (f, box) in last.items() if index - f <= hold + 1}
            found = detector.detect(image, settings.threshold)
            numbers = list(last)
            matched = link(
                [face.box for face in found],
                [last[number][1] for number in numbers],
                settings.link_overlap,
            )
            for i, face in enumerate(found):
                if i in matched:
                    number = numbers[matched[i]]
                else:
                    number, num_tracks = num_tracks, num_tracks + 1
                last[number] = (index, face.box)
                points = predictor.predict(image, face.box)
                sightings.append(Sighting(index, number, face.box, points, face.score, Rung.DETECT))
            for number, (frame, box) in last.items():
                if 0 < index - frame <= hold:
                    points = predictor.predict(image, box)
                    sightings.append(Sighting(index, number, box, points, 0.0, Rung.HOLD))
            index += 1
    all_times = np.concatenate(times) if times else np.zeros(0, np.float64)
    return choose_faces(gather(sightings), all_times, size, settings.policy)


def choose_faces(
    tracks: TrackArrays, times: np.ndarray, frame_size: tuple[int, int], policy: str
) -> FaceArrays:
    """Choose one face per frame among the tracks of a clip, without looking at it again.

    Raises:
        ValueError: the policy is unknown.
    """
    num = len(times)
    rows = choose(tracks, num, rank(tracks, policy, frame_size))
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
