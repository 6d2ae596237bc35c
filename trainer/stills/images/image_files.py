"""Image files of any kind, read into square RGB or grey arrays of one size."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cache.wording import name_by_reason
from trainer.stills.images.parts import StillsError, Unreadable
from trainer.stills.settings import DataSettings

# By name; what a file is, its content decides. Formats that call other programs are left out.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM", "AVIF")
WORKERS = 4
# Too many open files, too little memory, a disk that fails or is gone.
MACHINE_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
MAX_BOX = 4  # a box may have this many times the image's longer side

# Turns (H, W, 3) uint8 RGB into a square crop of the face, or None where there is no face.
Aligner = Callable[[NDArray[np.uint8]], "NDArray[np.uint8] | None"]
Box = tuple[float, float, float, float]


class ImageError(ValueError):
    """Error of an image that can't be read."""


@dataclass(frozen=True)
class ImageFile:
    """One image of a corpus: its name there, its file, class and, where one is given, face box.

    Attributes:
        name: unique in the corpus.
        path: the file.
        label: number of its class.
        box: (left, top, right, bottom) of the face in pixels, right and bottom exclusive.
    """

    name: str
    path: Path
    label: int
    box: Box | None = None


@dataclass(frozen=True)
class Reading:
    """Settings and helpers for reading images.

    Attributes:
        data: the settings.
        size: side in pixels of the stored images.
        grey: store one channel.
        align: finds and cuts out the face of an image that comes without a box; None leaves
            images whole.
        hear: hears how many images of how many are read.
    """

    data: DataSettings
    size: int
    grey: bool
    align: Aligner | None = None
    hear: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class ImagesRead:
    """Images that were read, and the files that could not be.

    Shapes (N images read, S = ``Reading.size``):
        ``images``: (N, S, S) or (N, S, S, 3), uint8.
        ``kept``: (N,), their places in the list of files.

    Attributes:
        images: see above.
        kept: see above.
        unreadable: the other files, with the reason.
        without_face: how many were taken whole because no face was found.
    """

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    without_face: int


def read_images(files: Sequence[ImageFile], reading: Reading) -> ImagesRead:
    """Read image files, in their order; one that can't be read is named and skipped.

    Raises:
        StillsError: a larger share of them than ``max_unreadable`` can't be read, or this machine
            can't read one now: without it another network would come out.
    """
    channels = () if reading.grey else (3,)
    images = np.empty((len(files), reading.size, reading.size, *channels), np.uint8)
    kept: list[int] = []
    unreadable: list[Unreadable] = []
    without_face = 0

    def read(file: ImageFile) -> tuple[NDArray[np.uint8], bool] | Unreadable:
        try:
            return read_image(file, reading)
        except (ImageError, OSError, MemoryError) as error:
            if _is_of_machine(error):
                raise StillsError(
                    f"{file.path} can't be read now: {str(error) or 'too little memory'}; end "
                    "other programs or look after the disk, then run the same command again"
                ) from error
            return Unreadable(file.name, str(error))

    # Detectors keep state; decoders run side by side.
    workers = WORKERS if reading.align is None else 1
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # Pillow's remarks on odd files; what can't be decoded is an error beside them.
        warnings.simplefilter("ignore")
        for place, result in enumerate(pool.map(read, files)):
            if isinstance(result, Unreadable):
                unreadable.append(result)
            else:
                images[len(kept)], found = result
                without_face += not found
                kept.append(place)
            if reading.hear is not None:
                reading.hear(place + 1, len(files))
    if len(unreadable) > reading.data.max_unreadable * len(files):
        reasons = name_by_reason({image.name: image.reason for image in unreadable})
        raise StillsError(
            f"{len(unreadable)} of {len(files)} images can't be read, more than "
            f"{reading.data.max_unreadable:.2%} (data.max_unreadable): {reasons}"
        )
    return ImagesRead(
        images[: len(kept)], np.array(kept, np.int64), tuple(unreadable), without_face
    )


def read_image(file: ImageFile, reading: Reading) -> tuple[NDArray[np.uint8], bool]:
    """Read one image: its face where a box is given or one is found, else all of it.

    The sides of an image that is taken whole are scaled apart.

    Returns:
        (S, S) or (S, S, 3), uint8, and whether it was not taken whole for lack of a face.

    Raises:
        ImageError: it can't be decoded, is too large, or its box has no extent.
        OSError: the file can't be read.
        MemoryError: there is too little memory.
    """
    image, found = open_rgb(file.path, reading.data.max_pixels), True
    if file.box is not None:
        image = cut(image, file.box, reading.data.box_extend)
    elif reading.align is not None:
        crop = reading.align(np.asarray(image))
        found = crop is not None
        if crop is not None:
            image = Image.fromarray(crop)
    size = (reading.size, reading.size)
    if image.size != size:
        # Pillow widens the filter when it shrinks: no aliasing.
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image.convert("L") if reading.grey else image), found


def open_rgb(path: Path, max_pixels: int) -> Image.Image:
    """Decode an image file, turned as its EXIF says, as RGB; transparency becomes black.

    Raises:
        ImageError: it is no image, damaged, of floating-point pixels, or has too many pixels.
        OSError: the file can't be read.
        MemoryError: there is too little memory.
    """
    try:
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(
                    f"it has {image.width} x {image.height} pixels, more than {max_pixels}"
                )
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except (ImageError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged or hostile file fails in any way
        if _is_of_machine(error):
            raise
        # Pillow names the stream, which says nothing.
        reason = str(error) if "<_io" not in str(error) else "no image of a known format"
        raise ImageError(f"{reason} ({type(error).__name__})") from error


def _is_of_machine(error: Exception) -> bool:
    return isinstance(error, MemoryError) or getattr(error, "errno", None) in MACHINE_FAULTS


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any mode into 8-bit RGB.

    Raises:
        ImageError: its pixels are floating-point numbers, whose range nobody knows.
    """
    if image.mode == "F":
        raise ImageError("its pixels are floating-point numbers; expected 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion cuts 16 bits off at 255.
        levels = np.clip(np.asarray(image, np.float64), 0, 65535)
        return Image.fromarray(np.rint(levels / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def cut(image: Image.Image, box: Box, extend: float) -> Image.Image:
    """Cut the square around a box; black where it reaches over the edge.

    Args:
        image: the image.
        box: (left, top, right, bottom) in pixels.
        extend: how much larger than the box's longer side the square is, in total.

    Raises:
        ImageError: the box has no extent, lies outside, or is far larger than the image.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + extend)
    inside = left < image.width and top < image.height and right > 0 and bottom > 0
    if not (right > left and bottom > top and inside and side <= MAX_BOX * max(image.size)):
        raise ImageError(
            f"its face box {tuple(box)} does not lie in its {image.width} x {image.height} pixels"
        )
    x, y, side = (left + right - side) / 2, (top + bottom - side) / 2, max(1, round(side))
    return image.crop((round(x), round(y), round(x) + int(side), round(y) + int(side)))


def is_image_name(path: Path) -> bool:
    """Whether a file is an image by its name; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
