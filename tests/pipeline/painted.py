"""A detector for tests: it takes a red square for a face, and its blue says how sure it is."""

from __future__ import annotations

import numpy as np

from pipeline.faces.detect import Detection
from pipeline.faces.tracks import Box

RED, GREEN, SURE = 230, 25, 250  # at least, at most, and the blue of a score of 1


class Painted:
    """The detector; landmarks are five times the square's middle."""

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        """Find the square; see ``pipeline.faces.detect.Detector``."""
        mask = (image[..., 0] > RED) & (image[..., 1] < GREEN)
        if not mask.any():
            return []
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, right = float(columns[0]), float(columns[-1] + 1)
        top, bottom = float(rows[0]), float(rows[-1] + 1)
        score = float(np.median(image[mask][:, 2])) / SURE
        middle = np.full((5, 2), ((left + right) / 2, (top + bottom) / 2), np.float32)
        return [Detection((left, top, right, bottom), score, middle)] if score >= threshold else []


def paint(image: np.ndarray, box: Box, score: float = 1.0) -> np.ndarray:
    """Return a copy of an image with a face for ``Painted`` in a box."""
    left, top, right, bottom = (round(side) for side in box)
    image = image.copy()
    image[top:bottom, left:right] = (255, 0, round(SURE * score))
    return image
