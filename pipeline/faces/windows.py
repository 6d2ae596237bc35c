"""Windows of a frame that a detector looks at: the whole frame, or what is around a face."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.faces.detect import Detection, Detector
from pipeline.faces.tracks import Box, overlap

NEAR_SIZES = 3.0  # side of the window around a face, in face sizes
NEAR_PIXELS = 160  # that it is brought to
NEAR = 0.25  # overlap with the place looked at, below which a find is another face
LEAST_PIXELS = 320  # smaller frames are enlarged to this many along the longer side
ROOM = 0.5  # of the frame's size, on each side, for a face that fills the frame


def look_at(
    detector: Detector, image: np.ndarray, window: Box, pixels: int, threshold: float
) -> list[Detection]:
    """Find faces in a window of an image, in pixels of the image, best first.

    Args:
        detector: any.
        image: (H, W, 3), uint8, RGB.
        window: part of the image; it may reach over the edge, where it is black.
        pixels: that the window's longer side is brought to.
        threshold: lowest score that counts.
    """
    rows, columns = image.shape[:2]
    left, top = int(np.floor(window[0])), int(np.floor(window[1]))
    right, bottom = int(np.ceil(window[2])), int(np.ceil(window[3]))
    inside = image[max(0, top) : min(rows, bottom), max(0, left) : min(columns, right)]
    if inside.size == 0:
        return []
    scale = pixels / max(right - left, bottom - top)
    if scale != 1:
        size = (max(1, round(inside.shape[1] * scale)), max(1, round(inside.shape[0] * scale)))
        inside = cv2.resize(
            inside, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
    before = [max(0, round(-side * scale)) for side in (left, top)]
    after = [max(0, round(side * scale)) for side in (right - columns, bottom - rows)]
    if any(before) or any(after):
        inside = cv2.copyMakeBorder(
            inside, before[1], after[1], before[0], after[0], cv2.BORDER_CONSTANT
        )
    return [
        _moved(face, 1 / scale, left, top)
        for face in detector.detect(np.ascontiguousarray(inside), threshold)
    ]


def look_around(
    detector: Detector, image: np.ndarray, box: Box, threshold: float
) -> Detection | None:
    """Find the face of a box in what is around it: of those that overlap with it, the nearest."""
    half = NEAR_SIZES * (box[2] - box[0] + box[3] - box[1]) / 4
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    window = (x - half, y - half, x + half, y + half)
    found = look_at(detector, image, window, NEAR_PIXELS, threshold)
    near = [face for face in found if overlap(face.box, box) >= NEAR]
    return max(near, key=lambda face: overlap(face.box, box), default=None)


def look_everywhere(
    detector: Detector, image: np.ndarray, pixels: int, threshold: float
) -> list[Detection]:
    """Find the faces of a whole frame, also of a small one.

    Args:
        detector: any.
        image: (H, W, 3), uint8, RGB.
        pixels: that a larger frame's longer side is brought to.
        threshold: lowest score that counts.
    """
    rows, columns = image.shape[:2]
    side = max(rows, columns)
    pixels = min(pixels, max(side, LEAST_PIXELS))
    return look_at(detector, image, (0, 0, columns, rows), pixels, threshold)


def look_with_room(detector: Detector, image: np.ndarray, threshold: float) -> list[Detection]:
    """Find a face that fills the frame, by putting black around it."""
    rows, columns = image.shape[:2]
    window = (-ROOM * columns, -ROOM * rows, (1 + ROOM) * columns, (1 + ROOM) * rows)
    return look_at(detector, image, window, LEAST_PIXELS, threshold)


def _moved(face: Detection, scale: float, left: int, top: int) -> Detection:
    """Bring a find from a window to the image."""
    offset = np.array([left, top, left, top])
    box = np.multiply(face.box, scale) + offset
    points = face.landmarks
    if points is not None:
        points = (points * scale + offset[:2]).astype(np.float32)
    return Detection(
        (box[0].item(), box[1].item(), box[2].item(), box[3].item()), face.score, points
    )
