"""Variants of the labelled clips: the same faces, in pictures that no setting was chosen on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.faces.labels import ClipLabels
from pipeline.faces.tracks import Box
from pipeline.media.frames import Frames


def _as_is(image: np.ndarray) -> np.ndarray:
    return image


def _halve(image: np.ndarray) -> np.ndarray:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _darken(image: np.ndarray) -> np.ndarray:
    return (image * 0.3).astype(np.uint8)


def _mirror(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


@dataclass(frozen=True)
class Variant:
    """Another picture of a clip.

    Args:
        picture: makes it from a frame.
        every: of so many frames one is kept; 10 must be divisible by it.
        shrink: how many times as small the picture is.
        mirrored: left and right are exchanged.
    """

    picture: Callable[[np.ndarray], np.ndarray] = _as_is
    every: int = 1
    shrink: int = 1
    mirrored: bool = False

    def frames(self, frames: Iterable[Frames]) -> Iterator[Frames]:
        """Change the frames of a clip."""
        start = 0
        for chunk in frames:
            kept = slice(-start % self.every, None, self.every)
            start += len(chunk.times)
            images = [np.ascontiguousarray(self.picture(image)) for image in chunk.images[kept]]
            if images:
                yield Frames(np.stack(images), chunk.times[kept].copy())

    def labels(self, labels: ClipLabels) -> ClipLabels:
        """Change the labels of a clip with its frames."""
        height, width = labels.frame_size

        def moved(box: Box) -> Box:
            left, top, right, bottom = box
            if self.mirrored:
                left, right = width - right, width - left
            by = self.shrink
            return left / by, top / by, right / by, bottom / by

        return ClipLabels(
            (height // self.shrink, width // self.shrink),
            {
                number // self.every: [replace(each, box=moved(each.box)) for each in there]
                for number, there in labels.frames.items()
            },
        )


AS_IS = Variant()
VARIANTS = {
    "half": Variant(_halve, shrink=2),
    "mirrored": Variant(_mirror, mirrored=True),
    "sparse": Variant(every=2),
    "dark": Variant(_darken),
}
