"""A frame to look at: its copy for looking back, and the cuts between one frame and the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.faces.pyramid import Pyramid

KEPT_SIDE = 960  # frames kept to look back at are shrunk to this many pixels along the longer side
THUMBNAIL_WIDTH = 64
# Measured on 35 real clips: camera moves change the thumbnail by up to 20 grey levels a frame and
# build up over several frames, cuts change it by 28 to 144 at once.
JUMP = 22.0
JUMP_OVER_USUAL = 3.0
HISTOGRAM_JUMP = 0.3
BINS = 16  # of grey levels
MEMORY = 0.2  # weight of the newest frame in the usual change


@dataclass(frozen=True)
class Frame:
    """One decoded frame in which faces are looked for.

    Args:
        index: number of the frame in its clip, from 0.
        seconds: time from the clip's start.
        image: (H, W, 3), uint8, RGB; shrunk by ``scale``.
        scale: size of ``image`` over that of the decoded frame.
        pyramid: levels of the decoded frame.
    """

    index: int
    seconds: float
    image: np.ndarray
    scale: float
    pyramid: Pyramid


def shrink(frame: Frame) -> Frame:
    """Make a copy of a frame that is small enough to be kept."""
    height, width = frame.image.shape[:2]
    scale = min(1.0, KEPT_SIDE / max(height, width))
    if scale == 1.0:
        return replace(frame, image=frame.image.copy())
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Above half the size plain interpolation aliases little and is ten times faster.
    how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
    small = cv2.resize(frame.image, size, interpolation=how)
    return replace(frame, image=small, scale=scale)


class CutFinder:
    """Comparison of each frame of a clip with the one before it, to tell where a shot begins."""

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
