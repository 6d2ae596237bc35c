"""Detecting faces and their landmarks: dlib behind two small protocols."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import dlib
import numpy as np

# dlib's HOG detector slides a window of 80x80 pixels over a pyramid of the image.
WINDOW_SIZE = 80


@dataclass(frozen=True)
class Detection:
    """One face found in one image: box (left, top, right, bottom) in pixels, and score."""

    box: tuple[float, float, float, float]
    score: float


class Detector(Protocol):
    """Finds faces in an image."""

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find faces that score above ``threshold``, best first.

        Shapes:
            ``image``: (H, W, 3) RGB or (H, W) grey, uint8.
        """


class LandmarkPredictor(Protocol):
    """Places landmarks in a box."""

    def predict(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Predict the five landmarks of the face in ``box``.

        Shapes:
            ``image``: (H, W, 3) RGB or (H, W) grey, uint8.
            result: (5, 2), float32; x and y in pixels, in dlib's order.
        """


class HogDetector:
    """dlib's frontal face detector, a sliding window over gradient histograms.

    Args:
        upsample: how often the image is doubled first; 1 finds faces from 40 pixels, 0 from 80.

    Source:
        Dalal and Triggs, CVPR 2005; King, "Max-Margin Object Detection", arXiv:1502.00046; the
        detector that dlib ships. Differs from it: nothing.
    """

    def __init__(self, upsample: int = 1) -> None:
        self.upsample = upsample
        self._detector = hog()

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find faces that score above ``threshold``; see ``Detector``."""
        boxes, scores, _ = self._detector.run(np.ascontiguousarray(image), self.upsample, threshold)
        found = [
            Detection((box.left(), box.top(), box.right() + 1, box.bottom() + 1), float(score))
            for box, score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda detection: -detection.score)


class FivePointPredictor:
    """dlib's five-point predictor: the corners of both eyes and the base of the nose.

    Source:
        Kazemi and Sullivan, CVPR 2014, as trained by dlib's author (CC0) and shipped in
        ``face_recognition_models``. Differs from it: nothing.
    """

    def __init__(self) -> None:
        self._predictor = _five_points()

    def predict(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Predict the landmarks in a box; see ``LandmarkPredictor``."""
        left, top, right, bottom = (round(value) for value in box)
        shape = self._predictor(image, dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


@lru_cache(maxsize=1)
def hog() -> dlib.fhog_object_detector:
    """Return dlib's frontal face detector, one per process."""
    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=1)
def _five_points() -> dlib.shape_predictor:
    import face_recognition_models

    return dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
