"""Search of regions: a face looked for next to where it was, at a small part of a frame's cost.

Whole frames that leave out the smallest sizes of faces are searched here too, on the same pyramid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import dlib
import numpy as np

from pipeline.faces.detect import Detection, HogDetector, hog
from pipeline.faces.pyramid import CELL, WINDOW, Pyramid
from pipeline.faces.tracks import Box, overlap

# A region is cut at the level below that of the face. Its corner stands on a multiple of 48
# pixels, which is a multiple of 8 there and at the next level (48 * 5/6 = 40), and its sides are
# multiples of 6, so that dlib shrinks it by exactly 5/6: the grids of both levels are the frame's.
ALIGNMENT = 6 * CELL
SHRINK_UNIT = 6
# Pixels of the level that a face, which has 87 there, may have moved, and the least score; the
# second where the first finds nothing: further away only what dlib itself calls a face counts.
MOTIONS = ((12, -10.0), (40, 0.0))
LEVELS = 3  # of a region, from its own: that below the face, the face's and the one above it
BORDER = 16  # pixels of the level at the region's edge where gradients lack neighbours
DARK = 40  # mean grey level
LEAST_RANGE = 8  # grey levels, below which there is only noise to be stretched
FAR = 0.1
NEAR = 0.25  # overlap with the place looked at, below which a find is another face


@dataclass(frozen=True)
class Look:
    """A way to look at a region: turned by ``tilt`` degrees, with its contrast raised or not."""

    tilt: int = 0
    contrast: bool = False


PLAIN = Look()


def look_near(
    image: np.ndarray,
    box: Box,
    pyramid: Pyramid,
    *,
    threshold: float,
    look: Look = PLAIN,
    scale: float = 1.0,
    far: bool = True,
) -> Detection | None:
    """Find the best face around a box, of about its size.

    Args:
        image: (H, W, 3), uint8; the frame, shrunk by ``scale``.
        box: where the face was, in pixels of the frame.
        pyramid: of the frame.
        threshold: lowest score that counts.
        look: turn or contrast.
        scale: size of ``image`` over that of the frame.
        far: with the plain look, also search further away where nothing is near.

    Returns:
        The best find that overlaps with ``box``, in pixels of the frame, or None.
    """
    face = pyramid.level_of((box[2] - box[0] + box[3] - box[1]) / 2)
    best: Detection | None = None
    for motion, least in MOTIONS if far and look == PLAIN else MOTIONS[:1]:
        least = max(least, threshold)
        best, level = _search(image, box, pyramid, face, least, look, scale, motion)
        if best is not None and level > face:  # there the region's grid wasn't the frame's
            again, _ = _search(image, best.box, pyramid, level, least, look, scale, motion)
            best = again or best
        if best is not None:
            break
    return best


def _search(
    image: np.ndarray,
    box: Box,
    pyramid: Pyramid,
    face: int,
    threshold: float,
    look: Look,
    scale: float,
    motion: int,
) -> tuple[Detection | None, int]:
    """Find the best face around a box at a level and its neighbours; also return its level."""
    level = max(0, face - 1)
    step_x, step_y = pyramid.steps(level)
    middle = ((box[0] + box[2]) / 2 / step_x, (box[1] + box[3]) / 2 / step_y)
    reach = WINDOW * 1.2 ** (face - level + 1) / 2 + motion + BORDER
    rows, columns = pyramid.sizes[level]
    left, width = _extent(middle[0], reach, columns)
    top, height = _extent(middle[1], reach, rows)
    if width < WINDOW // 2 or height < WINDOW // 2:
        return None, face
    region = pyramid.cut(image, level, left, top, width, height, scale=scale)
    back = None
    if look.tilt:
        centre = (middle[0] - left, middle[1] - top)
        turn = cv2.getRotationMatrix2D(centre, look.tilt, 1.0)
        region = cv2.warpAffine(region, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(turn)
    if look.contrast:
        region = raise_contrast(region)
    boxes, scores, _ = hog(LEVELS).run(np.ascontiguousarray(region), 0, threshold)
    best, best_level = None, face
    for found, score in zip(boxes, scores, strict=True):
        if best is not None and score <= best.score:
            continue
        upright = found if back is None else _turn(found, back)
        placed, depth = pyramid.to_frame(upright, level, left, top)
        if overlap(placed, box) >= (NEAR if motion == MOTIONS[0][0] else FAR):
            best, best_level = Detection(placed, float(score)), level + depth
    return best, best_level


def find_all(
    image: np.ndarray, pyramid: Pyramid, level: int, *, threshold: float
) -> list[Detection]:
    """Find all faces of a frame that are found from a level of the pyramid on, the best first.

    From level 0 this is dlib's own search; every level more leaves out the faces of one size, the
    smallest, and costs 30 % less.

    Shapes:
        ``image``: (H, W, 3), uint8.
    """
    if level == 0:
        return HogDetector(pyramid.upsample).detect(image, threshold)
    height, width = pyramid.sizes[level]
    whole = pyramid.cut(image, level, 0, 0, width, height)
    boxes, scores, _ = hog().run(whole, 0, threshold)
    found = [
        Detection(pyramid.to_frame(box, level)[0], float(score))
        for box, score in zip(boxes, scores, strict=True)
    ]
    return sorted(found, key=lambda face: -face.score)


def raise_contrast(image: np.ndarray) -> np.ndarray:
    """Stretch an image's grey levels and equalise them locally (CLAHE); the result is grey.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: (H, W), uint8.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    levels = (np.arange(256) - low) * (255 / max(high - low, LEAST_RANGE))
    stretched = cv2.LUT(grey, levels.clip(0, 255).astype(np.uint8))
    result: np.ndarray = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(stretched)
    return result


def is_dark(image: np.ndarray) -> bool:
    """Say whether an image is so dark that its contrast is worth raising; an empty one isn't.

    Shapes:
        ``image``: (H, W, 3), uint8.
    """
    few = image[::4, ::4]
    return few.size > 0 and float(np.mean(cv2.mean(few)[:3])) < DARK


def _extent(middle: float, reach: float, size: int) -> tuple[int, int]:
    """Return start and length of an aligned stretch around ``middle`` inside ``size`` pixels."""
    start = max(0, math.floor((middle - reach) / ALIGNMENT) * ALIGNMENT)
    stop = min(size, math.ceil(middle + reach))
    length = max(0, stop - start)
    return start, length - length % SHRINK_UNIT


def _turn(box: dlib.rectangle, back: np.ndarray) -> dlib.rectangle:
    """Move an upright box to where its middle was before the region was turned."""
    centre = np.array([(box.left() + box.right()) / 2, (box.top() + box.bottom()) / 2])
    x, y = np.rint(back[:, :2] @ centre + back[:, 2] - centre).astype(int).tolist()
    return dlib.rectangle(box.left() + x, box.top() + y, box.right() + x, box.bottom() + y)
