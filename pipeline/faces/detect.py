"""Detectors of faces and the predictor of landmarks, behind two small protocols.

dlib's HOG detector and five-point predictor are the papers'; YuNet and dlib's network (MMOD) are
second detectors, for frames in which the first sees no face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import dlib
import numpy as np

# From YuNet's box to dlib's: middle and size in parts of the box, the medians over 588 faces of 36
# real clips that both found.
YUNET_MIDDLE = (0.5, 0.55)
YUNET_SIZE = 0.95
YUNET_LEAST = 0.5  # scores below this are never wanted
MMOD_ENLARGES = 2.0  # at most

# Where the state of dlib's detector says how many levels of the pyramid are searched, and the 1,000
# that it says: the number of bytes, and the bytes, the lowest first.
LEVELS_AT, ALL_LEVELS = 16, b"\x02\xe8\x03"


@dataclass(frozen=True)
class Detection:
    """One face found in one image.

    Shapes:
        ``box``: left, top, right, bottom in pixels.
        ``landmarks``: (5, 2), float32, x and y in pixels, in YuNet's order: the person's right eye
            (left in the picture), the left eye, the tip of the nose, the right and the left corner
            of the mouth. None of a detector that places none.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = field(default=None, compare=False)


class Detector(Protocol):
    """Detector of faces in an image."""

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find faces that score above ``threshold``, best first.

        Shapes:
            ``image``: (H, W, 3) RGB or (H, W) grey, uint8.
        """


class LandmarkPredictor(Protocol):
    """Predictor of the landmarks of the face in a box."""

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


class YuNetDetector:
    """OpenCV's small face network, which also sees faces from the side.

    Its boxes are taller than dlib's; they are turned into squares as dlib would draw them, so
    that landmarks are predicted from the same kind of box everywhere.

    Args:
        model: the ONNX file (``face_detection_yunet_2023mar.onnx``, MIT, or a quantised one).
        side: larger frames are shrunk to this many pixels along the longer side.

    Raises:
        ValueError: ``model`` is not a YuNet model that OpenCV can read.

    Source:
        Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023. Differs from it:
        the form of the boxes, see above.
    """

    def __init__(self, model: Path, side: int = 640) -> None:
        self.side = side
        self._size = (side, side)
        # OpenCV 5 warns of every network that it chooses no target for it.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            self._detector = cv2.FaceDetectorYN.create(
                str(model), "", self._size, score_threshold=YUNET_LEAST
            )
        except cv2.error as error:
            raise ValueError(
                f"{model} is not a YuNet model that OpenCV {cv2.__version__} can read: {error}"
            ) from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find faces that score above ``threshold``, at least 0.5; see ``Detector``."""
        height, width = image.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        if size != self._size:
            self._detector.setInputSize(size)
            self._size = size
        _, rows = self._detector.detect(np.ascontiguousarray(small[..., ::-1]))
        found = []
        for row in () if rows is None else np.asarray(rows, np.float64):
            left, top, wide, high = row[:4] / scale
            x, y = left + YUNET_MIDDLE[0] * wide, top + YUNET_MIDDLE[1] * high
            half = YUNET_SIZE * float(np.sqrt(max(wide * high, 0.0))) / 2
            if row[-1] >= threshold and half > 0:
                points = (row[4:14].reshape(5, 2) / scale).astype(np.float32)
                box = (x - half, y - half, x + half, y + half)
                found.append(Detection(box, float(row[-1]), points))
        return sorted(found, key=lambda face: -face.score)


class MmodDetector:
    """dlib's face network, which sees turned faces and is meant for GPUs.

    Larger frames are shrunk, so that memory is bounded: dlib keeps a network's buffers for the
    largest image that it has seen. A frame of 720x576 takes 3 s on a processor's core, some 10 to
    20 ms on a GPU.

    Args:
        model: ``mmod_human_face_detector.dat`` (CC0), which ``face_recognition_models`` holds.
        side: larger frames are shrunk to this many pixels along the longer side; smaller ones are
            enlarged towards it, at most doubled, as it finds faces from 80 pixels.

    Raises:
        ValueError: ``model`` is not such a file.

    Source:
        King, "Max-Margin Object Detection", arXiv:1502.00046, with the network that dlib's author
        trained in 2016. Differs from it: the size of the frames, see above.
    """

    def __init__(self, model: Path, side: int = 960) -> None:
        self.side = side
        try:
            self._detector = dlib.cnn_face_detection_model_v1(str(model))
        except RuntimeError as error:
            raise ValueError(f"{model} is not dlib's face network: {error}") from error

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find faces that score above ``threshold``; its scores go from 0 to some 1.1."""
        height, width = image.shape[:2]
        scale = min(MMOD_ENLARGES, self.side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = np.ascontiguousarray(cv2.resize(image, size, interpolation=how))
        found = [
            Detection(
                (
                    one.rect.left() / scale,
                    one.rect.top() / scale,
                    (one.rect.right() + 1) / scale,
                    (one.rect.bottom() + 1) / scale,
                ),
                float(one.confidence),
            )
            for one in self._detector(resized, 0)
            if one.confidence >= threshold
        ]
        return sorted(found, key=lambda face: -face.score)


@cache
def hog(levels: int = 0) -> dlib.fhog_object_detector:
    """Return dlib's frontal face detector, one per process.

    Args:
        levels: how many levels of an image's pyramid it searches, the largest first; 0 for all.
            dlib knows this number (``scan_fhog_pyramid``'s ``max_pyramid_levels``) and offers it
            in C++ only; here it is set in the detector's state.

    Raises:
        RuntimeError: this dlib writes the detector's state in another form.
    """
    if not levels:
        return dlib.get_frontal_face_detector()
    (state,) = hog().__getstate__()
    end = LEVELS_AT + len(ALL_LEVELS)
    if state[LEVELS_AT:end] != ALL_LEVELS:
        raise RuntimeError(
            f"dlib {dlib.__version__} writes its face detector in another form than dlib 19 "
            "and 20; install one of those, or use --set faces.ladder=papers"
        )
    detector = dlib.fhog_object_detector.__new__(dlib.fhog_object_detector)
    detector.__setstate__((state[:LEVELS_AT] + bytes([1, levels]) + state[end:],))
    return detector


@cache
def _five_points() -> dlib.shape_predictor:
    import face_recognition_models

    return dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
