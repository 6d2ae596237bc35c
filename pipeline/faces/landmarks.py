"""Landmarks on leaning and dark faces, and whether they agree with their box."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pipeline.faces.crops import MEAN_SHAPE, fit_similarity
from pipeline.faces.detect import LandmarkPredictor
from pipeline.faces.regions import PLAIN, Look, raise_contrast
from pipeline.faces.tracks import Box, TrackArrays

PATCH_SIZE = 200  # pixels of the box in the patch on which a tilt is measured
PATCH_MARGIN = 0.6
# Of 1,089 faces of 36 real clips that dlib's detector accepts 93 lean by more than FREE_TILT, none
# with its middle further than 0.15 from that of its box; turned back, all but one stand within 2.7
# degrees. Of 180 that only YuNet sees, most of them in profile or bowed, 103 fail one or the other.
FREE_TILT = 10.0  # degrees up to which a crop is about upright, whatever its landmarks are worth
CONFIRMED_TILT = 3.0  # degrees that may be left of a tilt when the face is turned back by it
OFF_CENTRE = 0.17  # of the box, between its middle and that of the aligned face
SETTLE_SECONDS = 0.5  # before and after a frame, in which a face should be cropped alike
SETTLE_SHARE = 1 / 3  # of frames whose landmarks disagree, from which none is believed
UPRIGHT_SIZE = 0.75  # of the box: the side of MEAN_SHAPE's square, the median over the 1,089


def place_landmarks(
    predictor: LandmarkPredictor, image: np.ndarray, box: Box, look: Look = PLAIN
) -> np.ndarray:
    """Place the landmarks of the face in a box, so that a crop can be aligned to them.

    The predictor knows upright faces and compares grey levels, so that a face that leans as
    ``look`` says is turned first and its landmarks are turned back, and one in the dark is
    brightened. It always answers: a profile or a bowed head gets eyes in the hair, and a crop by
    them would be turned. Where its answer doesn't agree with the box, see ``landmarks_agree``, the
    landmarks are those of ``upright_landmarks``, and a crop is the upright one of the box.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: (5, 2), float32, x and y in pixels.
    """
    if look == PLAIN:
        points = predictor.predict(image, box)
    else:
        points = _predict_turned(predictor, image, box, look)
    if look.tilt or landmarks_agree(predictor, image, box, points, contrast=look.contrast):
        return points  # a detector saw the face lean
    return upright_landmarks(np.array(box))


def landmarks_agree(
    predictor: LandmarkPredictor,
    image: np.ndarray,
    box: Box,
    points: np.ndarray,
    *,
    contrast: bool = False,
) -> bool:
    """Say whether landmarks that would turn a crop are of the upright face in their box.

    Up to ``FREE_TILT`` they always agree. Beyond it the aligned face must have its middle near the
    box's (in a profile the nose pulls it aside and round), and the predictor must see the face
    upright once it is turned back by the tilt (what tilts landmarks in hair or on a cheek turns
    along).

    Shapes:
        ``image``: (H, W, 3), uint8.
        ``points``: (5, 2), x and y in pixels, in dlib's order.
    """
    try:
        tilt, middle = _pose(points)
    except ValueError:  # all in one place, in a box of a few pixels
        return False
    if abs(tilt) <= FREE_TILT:
        return True
    size = (box[2] - box[0] + box[3] - box[1]) / 2
    off = np.hypot(*(middle - ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    if off > OFF_CENTRE * size:
        return False
    patch, centre = _patch(image, box, tilt)
    half = PATCH_SIZE / 2
    inside = (centre - half, centre - half, centre + half, centre + half)
    left, _ = _pose(predictor.predict(raise_contrast(patch) if contrast else patch, inside))
    return abs(left) <= CONFIRMED_TILT


def upright_landmarks(boxes: np.ndarray) -> np.ndarray:
    """Return the landmarks that an average upright face has in a box.

    Shapes:
        ``boxes``: (..., 4), left, top, right, bottom in pixels.
        result: (..., 5, 2), float32, x and y in pixels.
    """
    corners = np.asarray(boxes, np.float64).reshape(*np.shape(boxes)[:-1], 2, 2)
    side = UPRIGHT_SIZE * (corners[..., 1, :] - corners[..., 0, :]).mean(-1)
    points: np.ndarray = (MEAN_SHAPE - 0.5) * side[..., None, None] + corners.mean(
        -2, keepdims=True
    )
    return points.astype(np.float32)


def are_upright(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Say which faces have the landmarks of their box, because their own don't agree with it.

    Shapes (N faces):
        ``boxes``: (N, 4), and ``points``: (N, 5, 2), in pixels, as a ``faces`` entry holds them.
        result: (N,), bool.
    """
    side = (boxes[:, 2:] - boxes[:, :2]).mean(-1)
    off = np.abs(points - upright_landmarks(boxes)).max((-2, -1), initial=0.0)
    upright: np.ndarray = off < 1e-3 * side  # boxes are rounded to float32 when they are stored
    return upright


def count_upright(tracks: TrackArrays) -> int:
    """Count the frames with faces of which none has landmarks that agree with its box."""
    upright = are_upright(tracks.box, tracks.landmarks)
    return len(np.setdiff1d(tracks.frame[upright], tracks.frame[~upright]))


def settle_crops(tracks: TrackArrays, times: np.ndarray) -> TrackArrays:
    """Let a face's landmarks be its own or its box's for a while, so that few crops jump.

    Where a third of a track's rows within half a second are upright, all of them are; elsewhere an
    upright row between two others takes landmarks between theirs. On 9 real clips with such faces
    this left 39 of 136 turns by more than 10 degrees from one frame to the next.

    Shapes (T frames):
        ``times``: (T,), seconds, increasing.
    """
    upright = are_upright(tracks.box, tracks.landmarks)
    points = tracks.landmarks.copy()
    for number in np.unique(tracks.number[upright]):
        rows = np.flatnonzero(tracks.number == number)
        seconds, doubted = times[tracks.frame[rows]], upright[rows]
        first = np.searchsorted(seconds, seconds - SETTLE_SECONDS)
        last = np.searchsorted(seconds, seconds + SETTLE_SECONDS, side="right")
        sums = np.concatenate([[0], np.cumsum(doubted)])
        often = sums[last] - sums[first] >= SETTLE_SHARE * (last - first)
        points[rows[often]] = upright_landmarks(tracks.box[rows[often]])
        own, lone = np.flatnonzero(~often & ~doubted), np.flatnonzero(~often & doubted)
        if len(own):
            lone = lone[(lone > own[0]) & (lone < own[-1])]
            for place in np.ndindex(points.shape[1:]):
                known = points[(rows[own], *place)]
                points[(rows[lone], *place)] = np.interp(seconds[lone], seconds[own], known)
    return replace(tracks, landmarks=points)


def _predict_turned(
    predictor: LandmarkPredictor, image: np.ndarray, box: Box, look: Look
) -> np.ndarray:
    """Predict landmarks in a patch that is turned and brightened, and turn them back."""
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


def _pose(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the tilt in degrees, clockwise, and the middle of the face that landmarks are of."""
    fit = fit_similarity(MEAN_SHAPE, np.asarray(points, np.float64))
    tilt = float(np.degrees(np.arctan2(fit[1, 0], fit[0, 0])))
    return tilt, fit[:, :2] @ (0.5, 0.5) + fit[:, 2]


def _patch(image: np.ndarray, box: Box, tilt: float) -> tuple[np.ndarray, float]:
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
