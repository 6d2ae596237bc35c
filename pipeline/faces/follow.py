"""Motion of a face from one frame to the next, by its texture, and its likeness to itself."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.faces.tracks import Box

FACE_SIZE = 64  # pixels; faces are brought to this size before their motion is measured
MARGIN = 0.75  # of the face's size, around it
MAX_POINTS = 60
MIN_POINTS = 8
BACK_ERROR = 1.0  # pixels of the scaled face between a point and itself, followed there and back
INLIER_SHARE = 0.5
MAX_SCALE = 1.15  # between two frames
LIKENESS = 0.5  # correlation with the face when it was last detected


class Likeness:
    """Picture of a face when it was last detected, to tell whether the same face is still followed.

    Most faces are detected again in the next frame and never compared; so their surroundings are
    copied now, and brought to the working size at the first comparison.
    """

    def __init__(self, image: np.ndarray, box: Box) -> None:
        self._region, self._box = _region(image, box, margin=0.0)
        self._known: np.ndarray | None = None

    def of(self, image: np.ndarray, box: Box) -> float:
        """Return the correlation, in [-1, 1], of what is in ``box`` with the remembered face."""
        if self._known is None:
            self._known = _warped(self._region, self._box, margin=0.0)
        patch = _patch(image, box, margin=0.0)
        return float(cv2.matchTemplate(patch, self._known, cv2.TM_CCOEFF_NORMED)[0, 0])


def follow(before: np.ndarray, now: np.ndarray, box: Box) -> Box | None:
    """Move a box along with the face in it, from one frame to the next.

    Shapes:
        ``before``, ``now``: (H, W, 3), uint8.

    Args:
        before: the frame in which the face is in ``box``.
        now: the frame to find it in; earlier or later.
        box: in pixels.

    Returns:
        The moved box, or None where the motion can't be told: too little texture, or points that
        don't move alike.
    """
    size = (box[2] - box[0] + box[3] - box[1]) / 2
    scale = FACE_SIZE / size
    old, new = _patch(before, box, margin=MARGIN), _patch(now, box, margin=MARGIN)
    mask = np.zeros_like(old)
    middle = old.shape[0] // 2
    cv2.ellipse(mask, ((middle, middle), (FACE_SIZE, FACE_SIZE * 1.2), 0), 255, -1)
    points = cv2.goodFeaturesToTrack(old, MAX_POINTS, 0.01, 3, mask=mask)
    if points is None or len(points) < MIN_POINTS:
        return None
    moved, found = _flow(old, new, points)
    back, found_back = _flow(new, old, moved)
    error = np.linalg.norm(back - points, axis=-1).ravel()
    good = found & found_back & (error < BACK_ERROR)
    if good.sum() < max(MIN_POINTS, INLIER_SHARE * len(points)):
        return None
    fit, inliers = cv2.estimateAffinePartial2D(
        points[good], moved[good], ransacReprojThreshold=2.0, maxIters=200
    )
    if fit is None or inliers.sum() < INLIER_SHARE * good.sum():
        return None
    zoom = float(np.hypot(fit[0, 0], fit[1, 0]))
    if not 1 / MAX_SCALE < zoom < MAX_SCALE:
        return None
    shift = (fit[:, :2] @ (middle, middle) + fit[:, 2] - middle) / scale
    x = (box[0] + box[2]) / 2 + shift[0]
    y = (box[1] + box[3]) / 2 + shift[1]
    width, height = (box[2] - box[0]) * zoom / 2, (box[3] - box[1]) * zoom / 2
    rows, columns = now.shape[:2]
    if not (0 <= x < columns and 0 <= y < rows):
        return None
    return float(x - width), float(y - height), float(x + width), float(y + height)


def _flow(old: np.ndarray, new: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where points went, and whether each was found."""
    start: Any = None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        old, new, points, start, winSize=(15, 15), maxLevel=3
    )
    return np.asarray(moved), np.asarray(found).ravel() == 1


def _patch(image: np.ndarray, box: Box, *, margin: float) -> np.ndarray:
    """Cut a square around a box and bring it to the working size, in grey."""
    return _warped(*_region(image, box, margin=margin), margin=margin)


def _region(image: np.ndarray, box: Box, *, margin: float) -> tuple[np.ndarray, Box]:
    """Copy what is around a box; return it and the box in its pixels."""
    half = (box[2] - box[0] + box[3] - box[1]) / 4 * (1 + 2 * margin)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    rows, columns = image.shape[:2]
    left, top = max(0, int(np.floor(x - half))), max(0, int(np.floor(y - half)))
    right, bottom = int(np.ceil(x + half)) + 1, int(np.ceil(y + half)) + 1
    region = image[top : max(top, min(rows, bottom)), left : max(left, min(columns, right))]
    return region.copy(), (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def _warped(region: np.ndarray, box: Box, *, margin: float) -> np.ndarray:
    """Bring the square around a box to the working size, in grey."""
    size = (box[2] - box[0] + box[3] - box[1]) / 2
    side = round(FACE_SIZE * (1 + 2 * margin))
    if region.size == 0:
        return np.zeros((side, side), np.uint8)
    half = size * (1 + 2 * margin) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    grey = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY)
    shrink = max(1, int(size / FACE_SIZE))
    if shrink > 1:
        grey = cv2.blur(grey, (shrink, shrink))
    step = size / FACE_SIZE
    matrix = np.array([[step, 0, x - half], [0, step, y - half]], np.float64)
    result: np.ndarray = cv2.warpAffine(
        grey,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return result
