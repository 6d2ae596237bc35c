"""Faces in some frames of a clip, looked for one frame at a time with the detectors of ``extract``.

``extract`` also follows faces from frame to frame and so finds them in more frames than are counted
here; a clip in which hardly any frame shows one here is poor there too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from pipeline.faces.detect import Detection, HogDetector
from pipeline.faces.second import own_second
from pipeline.faces.settings import FaceSettings

LEAST = 0.5  # score of the second detector from which something may be a face
SIMILAR = 0.5  # width against that of the frame's largest face from which another rivals it


@dataclass(frozen=True)
class FaceCount:
    """Faces that were found in a clip's frames; the fields are those of ``Examination``."""

    frames_with_face: int = 0
    uncertain_frames: int = 0
    frames_with_several: int = 0
    face_size: float | None = None


class FaceCounter:
    """Count of the frames of a clip that show a face.

    Args:
        settings: of the search; the ladder and the second detector decide who looks.

    Raises:
        SecondDetectorError: the second detector can't run here.
    """

    def __init__(self, settings: FaceSettings) -> None:
        self.settings = settings
        self.first = HogDetector(settings.upsample)
        self.second = own_second(settings)
        self._sizes: list[float] = []  # of the largest face of each frame with one
        self._several = self._uncertain = 0

    def look(self, image: np.ndarray) -> None:
        """Look at the next frame, (H, W, 3), uint8, RGB."""
        found = self.second.detect(image, LEAST) if self.second else []
        faces = [face for face in found if face.score >= self.settings.second_threshold]
        faces = faces or self.first.detect(image, self.settings.threshold)
        if not faces:
            self._uncertain += bool(found)
            return
        sizes = sorted(map(_width, faces))
        self._sizes.append(sizes[-1])
        self._several += len(sizes) > 1 and sizes[-2] >= SIMILAR * sizes[-1]

    def count(self) -> FaceCount:
        """Return what was found so far."""
        return FaceCount(
            frames_with_face=len(self._sizes),
            uncertain_frames=self._uncertain,
            frames_with_several=self._several,
            face_size=round(statistics.median(self._sizes), 1) if self._sizes else None,
        )


def _width(face: Detection) -> float:
    return face.box[2] - face.box[0]
