"""The image pyramid of dlib's HOG detector, level by level and region by region.

dlib doubles an image, then shrinks it by 5/6 again and again, and slides one window of 80x80 pixels
over a grid of 8-pixel cells at every level. A box can therefore stand at few places only. A
region of one level, cut out where that grid has its lines, yields the same boxes as
the whole image at a small part of the cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import dlib
import numpy as np

WINDOW = 80  # pixels of a level that the sliding window covers
CELL = 8  # pixels of a level between two places of the window
# A box is this part of 1.2 ** level pixels of the frame after doubling once (measured on dlib's
# boxes from 37 to 386 pixels); the window, with its margin, is 40.
BOX_AT_LEVEL_ZERO = 72.3
SMALLEST_LEVEL = 64  # dlib goes on to shrink while both sides are at least this
# Every step samples between two pixels, which smooths: the mean variance of linear interpolation
# is 1/6 of a pixel of the level it reads.
STEP_VARIANCE = 1 / 6
DOUBLING_VARIANCE = 1 / 8


@dataclass(frozen=True)
class Pyramid:
    """The levels of a frame of one size.

    Args:
        frame_size: (height, width) of the frame.
        upsample: how often the frame is doubled first.
    """

    frame_size: tuple[int, int]
    upsample: int

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level, the largest first."""
        return _sizes(self.frame_size, self.upsample)

    def level_of(self, box_size: float) -> int:
        """Return the level at which a face with a box of this many pixels is found."""
        at_zero = BOX_AT_LEVEL_ZERO / 2**self.upsample
        level = round(math.log(max(box_size, 1e-6) / at_zero, 1.2))
        return min(max(level, 0), len(self.sizes) - 1)

    def level_below(self, num_pixels: float) -> int:
        """Return the first level with at most this many pixels, or the last one."""
        for level, (height, width) in enumerate(self.sizes):
            if height * width <= num_pixels:
                return level
        return len(self.sizes) - 1

    def steps(self, level: int) -> tuple[float, float]:
        """Return how many frame pixels one pixel of a level is, along x and y."""
        (height, width), (rows, columns) = self.frame_size, self.sizes[level]
        return (width - 1) / max(columns - 1, 1), (height - 1) / max(rows - 1, 1)

    def variance(self, level: int) -> float:
        """Return how strongly dlib smooths the frame on the way to a level, in squared pixels."""
        pixel = 0.5**self.upsample
        return DOUBLING_VARIANCE * self.upsample + sum(
            STEP_VARIANCE * (pixel * 1.2**i) ** 2 for i in range(level)
        )

    def to_frame(
        self, box: dlib.rectangle, level: int, left: int = 0, top: int = 0
    ) -> tuple[tuple[float, float, float, float], int]:
        """Bring a box that dlib found in a region of a level to the frame, to the very pixel.

        dlib searches the region's own pyramid and rounds when it brings a box back. That is undone
        first, and the box brought to the frame in one go, as dlib does with a whole frame.

        Args:
            box: in pixels of the region.
            level: of the pyramid, from which the region was cut.
            left: of the region, in pixels of the level.
            top: the same.

        Returns:
            The box, and how many levels further down it was found.
        """
        depth = max(0, round(math.log(box.width() / BOX_AT_LEVEL_ZERO, 1.2)))
        sides = []
        for side, start in zip(
            (box.left(), box.top(), box.right(), box.bottom()), (left, top, left, top), strict=True
        ):
            own = _down(side, depth)
            own = next((x for x in (own, own - 1, own + 1) if _up(x, depth) == side), own)
            sides.append(_up(own + round(start * (5 / 6) ** depth), level + depth))
        shifts = (1.25, 0.75, 1.25, 0.75)  # dlib's own offsets when it halves, along x and y
        for _ in range(self.upsample):
            sides = [math.floor(x / 2 - by + 0.5) for x, by in zip(sides, shifts, strict=True)]
        return (sides[0], sides[1], sides[2] + 1, sides[3] + 1), depth

    def cut(
        self,
        image: np.ndarray,
        level: int,
        left: int,
        top: int,
        width: int,
        height: int,
        *,
        scale: float = 1.0,
    ) -> np.ndarray:
        """Compute a region of a level from the frame.

        Shapes:
            ``image``: (H, W, 3) or (H, W), uint8: the frame, shrunk by ``scale``.
            result: (``height``, ``width``[, 3]), uint8; positions are in pixels of the level.
        """
        step_x, step_y = (step * scale for step in self.steps(level))
        variance = self.variance(level) * scale**2 - STEP_VARIANCE
        margin = 3 + 3 * math.sqrt(max(variance, 0.0))
        rows, columns = image.shape[:2]
        x0 = max(0, int(left * step_x - margin))
        y0 = max(0, int(top * step_y - margin))
        x1 = min(columns, int((left + width) * step_x + margin) + 2)
        y1 = min(rows, int((top + height) * step_y + margin) + 2)
        region = image[y0:y1, x0:x1]
        shift_x, shift_y = left * step_x - x0, top * step_y - y0
        # Halving smooths with variance 1 and makes what is left cheap.
        while variance >= 1.5 and step_x > 2.2:
            region = cv2.pyrDown(region)
            variance = (variance + STEP_VARIANCE - 1) / 4 - STEP_VARIANCE
            step_x, step_y, shift_x, shift_y = step_x / 2, step_y / 2, shift_x / 2, shift_y / 2
        if variance > 0.02:
            region = cv2.GaussianBlur(region, (0, 0), math.sqrt(variance))
        matrix = np.array([[step_x, 0, shift_x], [0, step_y, shift_y]])
        result: np.ndarray = cv2.warpAffine(
            region,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return result


def _up(side: int, levels: int) -> int:
    """Bring a position to a level that is so much larger, as dlib does and rounds."""
    exact = float(side)
    for _ in range(levels):
        exact = exact * 6 / 5 + 0.3
    return math.floor(exact + 0.5)


def _down(side: int, levels: int) -> int:
    """Bring a position to a level that is so much smaller."""
    exact = float(side)
    for _ in range(levels):
        exact = (exact - 0.3) * 5 / 6
    return math.floor(exact + 0.5)


@lru_cache(maxsize=64)
def _sizes(frame_size: tuple[int, int], upsample: int) -> tuple[tuple[int, int], ...]:
    height, width = frame_size
    for _ in range(upsample):  # dlib's rect_up of the frame, rounded to whole pixels
        height = math.floor((height - 1 + 0.75) * 2 + 0.5) + 1
        width = math.floor((width - 1 + 1.25) * 2 + 0.5) + 1
    sizes = [(height, width)]
    while min(5 * height // 6, 5 * width // 6) >= SMALLEST_LEVEL:
        height, width = 5 * height // 6, 5 * width // 6
        sizes.append((height, width))
    return tuple(sizes)
