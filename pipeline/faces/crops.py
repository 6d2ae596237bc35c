"""Aligned crops of faces: a square image in which the eyes and nose always sit alike."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import BoxSource

# Mean positions of the five landmarks in a unit square, x then y, as dlib aligns to them
# (get_face_chip_details in dlib/image_transforms/interpolation.h): outer and inner corner of the
# eye on the right of the image, outer and inner corner of the other, base of the nose.
MEAN_SHAPE = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)
BORDERS = {"black": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}
MARGIN = 8  # pixels around the region that is filtered before it is shrunk


def crop_faces(
    images: np.ndarray,
    landmarks: np.ndarray,
    boxes: np.ndarray,
    sources: np.ndarray,
    settings: CropSettings,
) -> np.ndarray:
    """Cut the face out of every frame; a frame without a face is shrunk to the crop's size whole.

    Shapes (N frames, S = ``settings.size``):
        ``images``: (N, H, W, 3), uint8.
        ``landmarks``: (N, 5, 2), x and y in pixels, in dlib's order (see ``MEAN_SHAPE``).
        ``boxes``: (N, 4), left, top, right, bottom in pixels.
        ``sources``: (N,), ``BoxSource``; only ``BoxSource.WHOLE`` matters here.
        result: (N, S, S, 3), uint8.

    Raises:
        ValueError: the lengths differ, or a face's landmarks or box have no extent.

    Source:
        Zhou et al., ICMI 2019, and Zhang, Wang, Du, 2019: dlib's detection and alignment, the box
        extended by 30 %, the entire frame where no face is found. Differs from them: nothing
        is known of their filter; here a face that is shrunk by 2 or more is smoothed first.
    """
    lengths = {len(images), len(landmarks), len(boxes), len(sources)}
    if len(lengths) != 1:
        raise ValueError(
            f"images, landmarks, boxes and sources must be of one length, got {len(images)}, "
            f"{len(landmarks)}, {len(boxes)} and {len(sources)}"
        )
    crops = np.empty((len(images), settings.size, settings.size, 3), np.uint8)
    chosen = zip(crops, images, landmarks, boxes, sources, strict=True)
    for crop, image, points, box, source in chosen:
        if source == BoxSource.WHOLE:
            crop[:] = shrink_whole(image, settings.size)
        elif settings.align == "box":
            crop[:] = warp(image, box_transform(box, settings), settings)
        else:
            crop[:] = warp(image, landmark_transform(points, settings), settings)
    return crops


def landmark_transform(points: np.ndarray, settings: CropSettings) -> np.ndarray:
    """Return the (2, 3) similarity that takes crop pixels to frame pixels, from landmarks.

    Raises:
        ValueError: the landmarks are all in one place or not finite.
    """
    padding, size = settings.extend / 2, settings.size
    shift = np.array([padding, padding + settings.lift])
    mean = (MEAN_SHAPE + shift) / (1 + 2 * padding) * size
    fitted = fit_similarity(mean, np.asarray(points, np.float64))
    # As dlib samples: the crop's centre stands at size / 2 of the fit, and its first and last pixel
    # are one frame pixel closer together than size times the scale (chip_details, centered_drect).
    scale = float(np.hypot(fitted[0, 0], fitted[1, 0]))
    linear = fitted[:, :2] * (1 - 1 / (size * scale)) * size / max(size - 1, 1)
    middle = fitted[:, :2].sum(1) * size / 2 + fitted[:, 2]
    return np.column_stack([linear, middle - linear.sum(1) * (size - 1) / 2])


def box_transform(box: np.ndarray, settings: CropSettings) -> np.ndarray:
    """Return the (2, 3) transform that takes crop pixels to frame pixels, from a box.

    Raises:
        ValueError: the box has no extent.
    """
    left, top, right, bottom = (float(value) for value in box)
    side = max(right - left, bottom - top) * (1 + settings.extend)
    if not side > 0:
        raise ValueError(f"a box to crop needs a size above 0, got {box}")
    scale = side / settings.size
    shift = (scale - side - 1) / 2  # pixel centres: crop pixel (size - 1) / 2 is the box's middle
    middle = (top + bottom) / 2 - settings.lift * side / (1 + settings.extend)
    return np.array([[scale, 0, (left + right) / 2 + shift], [0, scale, middle + shift]])


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit the rotation, scale and shift that bring points closest to others.

    Shapes (P points):
        ``source``, ``target``: (P, 2), float64.
        result: (2, 3), float64; the columns are the scaled rotation and the shift.

    Raises:
        ValueError: the points of either are all in one place or not finite.

    Source:
        Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
        Patterns", TPAMI 1991, in its two-dimensional closed form. Differs from it: nothing.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    power = (a**2).sum()
    # A rotation by t and scale s is the complex number s e^it; its best value is <a, b> / <a, a>.
    cos = (a * b).sum() / power if power else 0.0
    sin = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / power if power else 0.0
    if not np.isfinite(cos + sin) or (cos == 0 and sin == 0):
        raise ValueError(f"landmarks to align must not all be at one point, got {target.tolist()}")
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def warp(image: np.ndarray, transform: np.ndarray, settings: CropSettings) -> np.ndarray:
    """Sample a square crop from a frame, without aliasing.

    Shapes (S = ``settings.size``):
        ``image``: (H, W, 3), uint8.
        ``transform``: (2, 3); takes a pixel of the crop to one of the frame.
        result: (S, S, 3), uint8.
    """
    size, border = settings.size, BORDERS[settings.border]
    corners = np.array([(0, 0), (size - 1, 0), (0, size - 1), (size - 1, size - 1)], np.float64)
    reach = corners @ transform[:, :2].T + transform[:, 2]
    height, width = image.shape[:2]
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    margin = MARGIN * max(1.0, scale)
    left, top = np.clip(np.floor(reach.min(0) - margin), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(reach.max(0) + margin), 1, (width, height)).astype(int)
    region = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    linear, shift = transform[:, :2].copy(), transform[:, 2] - (left, top)
    while scale >= 2:  # pixel i of the half image stands at pixel 2 i
        region = cv2.pyrDown(region)
        linear, shift, scale = linear / 2, shift / 2, scale / 2
    matrix = np.column_stack([linear, shift])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result: np.ndarray = cv2.warpAffine(
        np.ascontiguousarray(region), matrix, (size, size), flags=flags, borderMode=border
    )
    return result


def shrink_whole(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a frame to a square, its sides scaled apart."""
    shrinking = min(image.shape[:2]) > size
    result: np.ndarray = cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    )
    return result
