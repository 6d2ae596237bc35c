"""Landmarks on leaning and dark faces, and the steadiness that tells a face from a stone."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.faces.detect import LandmarkPredictor
from pipeline.faces.regions import PLAIN, Look, raise_contrast
from pipeline.faces.tracks import Box

PATCH_SIZE = 200  # pixels of the box in the patch on which steadiness is measured
PATCH_MARGIN = 0.6
SHIFTS = (-0.15, 0.0, 0.15)
ZOOMS = ((0.0, 0.0, 1 / 1.2), (0.0, 0.0, 1.2))
MOVES = (*((x, y, 1.0) for x in SHIFTS for y in SHIFTS), *ZOOMS)


def place_landmarks(
    predictor: LandmarkPredictor, image: np.ndarray, box: Box, look: Look = PLAIN
) -> np.ndarray:
    """Predict the landmarks in a box, of a face that leans or is in the dark as ``look`` says.

    The predictor knows upright faces and compares grey levels, so that a leaning face is turned
    first and its landmarks are turned back, and a dark one is brightened.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: (5, 2), float32, x and y in pixels.
    """
    if look == PLAIN:
        return predictor.predict(image, box)
    size = (box[2] - box[0] + box[3] - box[1]) / 2
    half = size * (0.5 + PATCH_MARGIN)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    turn = cv2.getRotationMatrix2D((x, y), look.tilt, 1.0)
    turn[:, 2] += np.array([half - x, half - y])
    side = round(2 * half)
    patch = cv2.warpAffine(image, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    inside = (half - size / 2, half - size / 2, half + size / 2, half + size / 2)
    points = predictor.predict(raise_contrast(patch) if look.contrast else patch, inside)
    back = cv2.invertAffineTransform(turn)
    return (points @ back[:, :2].T + back[:, 2]).astype(np.float32)


def unsteadiness(predictor: LandmarkPredictor, image: np.ndarray, box: Box, tilt: int = 0) -> float:
    """Return how far landmarks move when their box is moved a little, in box sizes.

    On a face they fall on the same features from any box near it; on a stone they move along
    with the box. This tells faces from other things that dlib's detector likes, almost
    independently of its score. Contrast is raised first: the predictor compares grey levels.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: the median distance to the median landmark: about 0.01 on faces, 0.1 elsewhere.
    """
    patch, middle = _patch(image, box, tilt)
    patch = raise_contrast(patch)
    points = []
    for move_x, move_y, grow in MOVES:
        half = PATCH_SIZE * grow / 2
        at_x, at_y = middle + move_x * PATCH_SIZE, middle + move_y * PATCH_SIZE
        points.append(
            predictor.predict(patch, (at_x - half, at_y - half, at_x + half, at_y + half))
        )
    offsets = np.stack(points) - np.median(points, axis=0)
    return float(np.median(np.hypot(offsets[..., 0], offsets[..., 1])) / PATCH_SIZE)


def _patch(image: np.ndarray, box: Box, tilt: int) -> tuple[np.ndarray, float]:
    """Cut out a box with a margin, upright and of one size; return it and its middle."""
    size = (box[2] - box[0] + box[3] - box[1]) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    zoom = PATCH_SIZE / size
    middle = PATCH_SIZE * (0.5 + PATCH_MARGIN)
    reach = 1.5 * middle / zoom  # the corners of a turned square
    rows, columns = image.shape[:2]
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    region = image[top : min(rows, int(y + reach) + 2), left : min(columns, int(x + reach) + 2)]
    if region.size == 0:
        return np.zeros((round(2 * middle),) * 2 + (3,), np.uint8), middle
    if zoom < 0.5:
        region = cv2.blur(region, (int(1 / zoom),) * 2)
    matrix = cv2.getRotationMatrix2D((x - left, y - top), tilt, zoom)
    matrix[:, 2] += np.array([middle - (x - left), middle - (y - top)])
    side = round(2 * middle)
    return cv2.warpAffine(region, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), middle
