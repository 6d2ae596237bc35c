"""Pictures with a real face at a known place, for tests of finding and following faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import skimage

from pipeline.choice.choice import FaceArrays
from pipeline.faces.tracks import BoxSource
from pipeline.media.frames import Frames

# The head of scikit-image's astronaut (NASA, public domain): dlib's box in the photograph.
FACE_BOX = (175, 76, 266, 167)
SIZE = (240, 320)  # of a scene


@lru_cache(maxsize=1)
def astronaut() -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@lru_cache(maxsize=8)
def background(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours, in which there is nothing to find."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 190, (5, 7, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def place(
    scene: np.ndarray, centre: tuple[float, float], size: float, tilt: float = 0.0
) -> np.ndarray:
    """Put the head into a scene, its face ``size`` pixels wide around ``centre``."""
    left, top, right, bottom = FACE_BOX
    middle = ((left + right) / 2, (top + bottom) / 2)
    matrix = cv2.getRotationMatrix2D(middle, tilt, size / (right - left))
    matrix[:, 2] += np.array(centre) - middle
    height, width = scene.shape[:2]
    shrink = max(1, round((right - left) / size))
    photo = cv2.blur(astronaut(), (shrink, shrink)) if shrink > 1 else astronaut()
    moved = cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.ellipse(mask, ((230, 125), (190, 225), 0), 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 4)
    alpha = cv2.warpAffine(mask, matrix, (width, height))[..., None]
    return (moved * alpha + scene * (1 - alpha)).astype(np.uint8)


def true_box(centre: tuple[float, float], size: float) -> tuple[float, float, float, float]:
    half = size / 2
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


def clip(images: list[np.ndarray], rate: float = 25.0, chunk: int = 7) -> list[Frames]:
    """Images as chunks of frames at a constant rate."""
    times = np.arange(len(images)) / rate
    return [
        Frames(np.stack(images[i : i + chunk]), times[i : i + chunk])
        for i in range(0, len(images), chunk)
    ]


def scene(
    num: int, where: Callable[[int], tuple[float, float] | None], face: float = 60.0, seed: int = 0
) -> list[np.ndarray]:
    """Frames with the face where ``where`` says, or without it."""
    images = []
    for frame in range(num):
        at = where(frame)
        empty = background(*SIZE, seed)
        images.append(empty if at is None else place(empty, at, face))
    return images


def moving(frame: int) -> tuple[float, float]:
    """Where a face is that wanders through ``scene``."""
    return 90 + 3.0 * frame, 110 + 15 * np.sin(frame / 5)


def sources(faces: FaceArrays) -> list[BoxSource]:
    return [BoxSource(int(source)) for source in faces.rung]
