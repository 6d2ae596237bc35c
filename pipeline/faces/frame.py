"""TODO."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.faces.pyramid import Pyramid

THUMBNAIL_WIDTH = 64
# Measured on 35 real clips: camera moves change the thumbnail by up to 20 grey levels a frame and
# build up over several frames, cuts change it by 28 to 144 at once.
JUMP = 22.0
JUMP_OVER_USUAL = 3.0
HISTOGRAM_JUMP = 0.3
BINS = 16  # of grey levels
MEMORY = 0.2  # weight of the newest frame in the usual change


class CutFinder:
    """Compares each frame of a clip with the one before it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._bins = np.zeros(BINS, np.intp)
        self._usual = 0.0

    def is_cut(self, image: np.ndarray) -> bool:
        """Say whether a new shot begins with this frame; the first frame begins none.

        Shapes:
            ``image``: (H, W, 3), uint8.
        """
        stride = max(1, image.shape[1] // THUMBNAIL_WIDTH)
        thumbnail = image[::stride, ::stride].astype(np.float32).mean(-1)
        bins = np.bincount((thumbnail / (256 / BINS)).astype(np.intp).ravel(), minlength=BINS)
        last, self._last = self._last, thumbnail
        last_bins, self._bins = self._bins, bins
        if last is None or last.shape != thumbnail.shape:
            return last is not None
        change = float(np.abs(thumbnail - last).mean())
        moved = float(np.abs(bins - last_bins).sum()) / (2 * thumbnail.size)
        cut = moved > HISTOGRAM_JUMP or (change > JUMP and change > JUMP_OVER_USUAL * self._usual)
        self._usual += MEMORY * (change - self._usual)
        if cut:
            self._usual = 0.0
        return cut


@dataclass(frozen=True)
class View:
    """A frame to look at: number, time, and the image shrunk by ``scale``."""

    index: int
    seconds: float
    image: np.ndarray
    scale: float
    pyramid: Pyramid


KEPT_SIDE = 960  # frames kept to look back at are shrunk to this many pixels along the longer side


def shrink(view: View) -> View:
    """Make a copy of a frame that is small enough to be kept."""
    height, width = view.image.shape[:2]
    scale = min(1.0, KEPT_SIDE / max(height, width))
    if scale == 1.0:
        return replace(view, image=view.image.copy())
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Above half the size plain interpolation aliases little and is ten times faster.
    how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
    small = cv2.resize(view.image, size, interpolation=how)
    return replace(view, image=small, scale=scale)
