"""Still pictures for the default network: each becomes a video of one frame, and goes its way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cache.manifest.clip import Clip
from pipeline.media.container import MediaError, probe
from pipeline.media.recognise import read_head, recognise
from trainer.stills.images.image_files import FORMATS, ImageError, open_rgb

GIF = b"GIF8"
MAX_PIXELS = 64_000_000  # of a picture, as in fine-tuning; phones take 50 million
BATCH_BYTES = 500_000_000  # of videos on the disk: those of a hundred photographs take gigabytes


@dataclass(frozen=True)
class Picture:
    """A still picture as a video of one frame.

    Attributes:
        video: the file that was written; None if the picture can't be read.
        why: what is missing or was changed, or why it can't be read.
    """

    video: Path | None
    why: tuple[str, ...]


def is_picture(path: Path) -> bool:
    """Whether a file is a still picture of a kind that can be read, and no video or animation."""
    try:
        if not path.is_file():
            return False
        head = read_head(path)
        if head.startswith(GIF):  # which FFmpeg takes for a video in any case
            return count_pictures(path) == 1
        kind = recognise(head)
    except (OSError, ValueError):
        return False
    return kind is not None and kind.picture and (kind.sure or not opens(path))


def opens(path: Path) -> bool:
    """Whether a file is a video after all, such as one of JPEGs."""
    try:
        probe(path)
    except MediaError:
        return False
    return True


def film_pictures(
    clips: Sequence[Clip], folder: Path, max_pixels: int
) -> Iterator[tuple[list[Clip], dict[str, Picture]]]:
    """Yield clips in batches, the pictures among them as videos that last until the next batch.

    Args:
        clips: videos and pictures.
        folder: where the videos of pictures go.
        max_pixels: see ``film_picture``.

    Yields:
        The clips that have a video, and the batch's pictures by the clip's id.

    Raises:
        OSError: a video can't be written.
    """
    batch: list[Clip] = []
    pictures: dict[str, Picture] = {}
    written = 0
    for clip in clips:
        if is_picture(clip.path):
            picture = film_picture(clip.path, folder / f"{clip.id}.nut", max_pixels)
            pictures[clip.id] = picture
            if picture.video is None:
                continue
            written += picture.video.stat().st_size
            batch.append(replace(clip, path=picture.video))
        else:
            batch.append(clip)
        if written > BATCH_BYTES:
            yield batch, pictures
            for made in pictures.values():
                if made.video is not None:
                    made.video.unlink()
            batch, pictures, written = [], {}, 0
    yield batch, pictures


def film_picture(path: Path, video: Path, max_pixels: int) -> Picture:
    """Write a picture, upright and in RGB, as a video of one frame without loss.

    Args:
        path: the picture; of an animation the first is taken.
        video: the file to write.
        max_pixels: a larger picture is scaled down to so many.

    Raises:
        OSError: the video can't be written.
    """
    why = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd files; we have a limit of our own
            image = open_rgb(path, MAX_PIXELS)
            count = count_pictures(path)
    except (ImageError, OSError) as error:
        return Picture(None, (f"{path} is a picture that can't be read: {error}",))
    if count > 1:
        why.append(f"only the first of its {count} pictures was looked at")
    if image.width * image.height > max_pixels:
        scale = (max_pixels / (image.width * image.height)) ** 0.5
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    write_frame(np.asarray(image), video)
    return Picture(video, tuple(why))


def count_pictures(path: Path) -> int:
    """Count the pictures of an animation; 1 for all else, also the small copies that cameras add.

    Raises:
        ImageError: it can't be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except Exception as error:  # a damaged or hostile file fails in any way
        raise ImageError(f"{error} ({type(error).__name__})") from error


def write_frame(image: NDArray[np.uint8], video: Path) -> None:
    """Write one frame, (H, W, 3) uint8 RGB, as a video without compression."""
    with av.open(str(video), "w", format="nut") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "rgb24"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode()])
