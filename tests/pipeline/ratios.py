"""Small videos whose pixels are not square."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.pipeline.videos import write_video


def quarters() -> np.ndarray:
    """A picture of 48 x 64 whose four quarters differ."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:] = 40, 90
    image[24:, :32], image[24:, 32:] = 140, 190
    return image


def write_ratio(
    path: Path, ratio: str, images: Sequence[np.ndarray], *, turns: int = 0, first: int = 0
) -> Path:
    """Write images whose pixels have a ratio, the first at ``first`` / 25 s."""
    unit = 1 if path.suffix == ".mpg" else 1000  # MPEG-2 counts in frames

    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.time_base = Fraction(1, 25 * unit)
        stream.codec_context.sample_aspect_ratio = Fraction(ratio)
        if turns:
            stream.set_display_rotation(90 * turns)

    codec = {".mpg": "mpeg2video", ".avi": "mpeg4"}.get(path.suffix, "libx264")
    pts = [unit * (first + number) for number in range(len(images))]
    return write_video(path, images, codec=codec, pts=pts, prepare=prepare)


def join(path: Path, *parts: tuple[str, Sequence[np.ndarray]]) -> Path:
    """Write parts, each with its ratio, behind each other into one file."""
    first = 0
    for ratio, images in parts:
        part = write_ratio(path.with_stem("part"), ratio, images, first=first)
        with path.open("ab") as file:
            file.write(part.read_bytes())
        first += len(images)
    return path
