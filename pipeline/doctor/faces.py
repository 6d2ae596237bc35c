"""Faces in some frames of a clip, looked for in whole frames as ``extract`` does.

``extract`` also looks near a known face and follows it, and so has faces in more frames than are
counted here; a clip in which hardly any frame shows one here is poor there too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from pipeline.faces.detect import Detection
from pipeline.faces.frame import Frame
from pipeline.faces.ladder import SECOND_LEAST
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.regions import look_near
from pipeline.faces.scanner import Scanner
from pipeline.faces.second import own_second
from pipeline.faces.settings import FaceSettings

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
        second = own_second(settings)
        self.scanner = Scanner(settings, every_frame=second is None, second=second)
        self._looked = 0
        self._sizes: list[float] = []  # of the largest face of each frame with one
        self._several = self._uncertain = 0

    def look(self, image: np.ndarray, seconds: float) -> None:
        """Look at the next frame, (H, W, 3), uint8, RGB."""
        settings = self.settings
        pyramid = Pyramid((image.shape[0], image.shape[1]), settings.upsample)
        now = Frame(self._looked, seconds, image, 1.0, pyramid)
        self._looked += 1
        found = self.scanner.ask_second(now, lost=True, threshold=SECOND_LEAST)
        near = (look_near(image, f.box, pyramid, threshold=settings.threshold) for f in found)
        faces = [face for face in found if face.score >= settings.second_threshold]
        faces = faces or [face for face in near if face is not None]
        faces = faces or [face for face, _ in self.scanner.scan(now, lost=True) or ()]
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
