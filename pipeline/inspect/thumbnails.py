"""Small pictures of clips for other pages: a strip of frames or face crops, and a spectrogram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from cache.entries.entry import EntryError
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from cache.sets.scan import NotACacheError
from cache.sets.spec import SetError
from pipeline.choice.choice import MisfitError
from pipeline.inspect.cells import ClipFaces, cut_out, read_faces
from pipeline.inspect.drawing import BLANK, draw_frame, encode_jpeg
from pipeline.inspect.request import FACES
from pipeline.inspect.shown import Shown, find_shown, list_clip
from pipeline.inspect.sound import find_sound, read_spectrogram
from pipeline.media.frames import MediaError


@dataclass(frozen=True)
class ThumbnailSettings:
    """Size of the pictures of a clip.

    Args:
        frames: number of frames, evenly over the time; at most the clip's.
        size: width of one in pixels.
        boxed: draw each whole frame with the boxes of its faces, and the crop under it; else the
            crop alone, square.
        columns: width of the spectrogram in pixels, at most; 0 draws none.
        quality: of the JPEGs, 1 to 100; at 60 a strip of eight crops has about 4 kB.
        name: the set whose choice of face and crops are shown; see ``find_shown``.

    Raises:
        ValueError: one is out of its range.
    """

    frames: int = 8
    size: int = 56
    boxed: bool = False
    columns: int = 200
    quality: int = 60
    name: str = FACES

    def __post_init__(self) -> None:
        for name, low, high in (
            ("frames", 1, 256), ("size", 16, 640), ("columns", 0, 4096), ("quality", 1, 100),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, got {getattr(self, name)}")


@dataclass(frozen=True)
class ClipPictures:
    """Pictures of one clip.

    Attributes:
        strip: a JPEG of frames side by side, each of the width asked for and without a gap; empty
            where there is none.
        times: of those frames in seconds.
        spectrogram: a grey JPEG, loud is dark; None without sound or its features.
        spectrogram_span: seconds of its left and its right edge.
        why: what can't be shown, and why; empty if all is there.
    """

    strip: bytes = b""
    times: tuple[float, ...] = ()
    spectrogram: bytes | None = None
    spectrogram_span: tuple[float, float] = (0.0, 0.0)
    why: str = ""


def draw_thumbnails(
    clips: Sequence[Clip],
    cache: Path,
    *,
    settings: ThumbnailSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ClipPictures]:
    """Draw clips small, by the faces that a cache knows; nothing is detected.

    Each clip is decoded once, no further than its last frame shown, and one frame is held at a
    time. What can't be drawn is said in ``why``; nothing is raised for a clip or a cache.

    Args:
        clips: of a manifest.
        cache: the cache's folder.
        settings: how they look.
        progress: called with the number of clips done and of all.

    Returns:
        The pictures by the clip's id.
    """
    settings = settings or ThumbnailSettings()
    try:
        shown, lack = find_shown(cache, settings.name), ""
        sound = find_sound(cache) if settings.columns else None
    except (NotACacheError, ValueError, OSError) as error:
        shown, sound, lack = None, None, f"no pictures: {error}"
    made = {}
    for number, clip in enumerate(clips, 1):
        made[clip.id] = _draw_strip(clip, shown, settings) if shown else ClipPictures(why=lack)
        if sound is not None:
            made[clip.id] = _add_spectrogram(made[clip.id], clip, sound, settings)
        if progress:
            progress(number, len(clips))
    return made


def spread(times: np.ndarray, count: int) -> list[int]:
    """Return the numbers of frames nearest to the middles of ``count`` equal parts of the time."""
    if not len(times):
        return []
    middles = times[0] + (np.arange(count) + 0.5) / count * (times[-1] - times[0])
    after = np.clip(np.searchsorted(times, middles), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    nearer = np.where(middles - times[before] <= times[after] - middles, before, after)
    return sorted({int(frame) for frame in nearer})


def _draw_strip(clip: Clip, shown: Shown, settings: ThumbnailSettings) -> ClipPictures:
    listed = list_clip(clip, shown.chosen)
    if listed.state in ("failed", "stale", "missing"):
        return ClipPictures(why=f"no pictures: {'; '.join(listed.why)}")
    try:
        faces = read_faces(clip, shown)
        wanted = spread(faces.found.times, settings.frames)
        if not wanted:
            return ClipPictures(why="no pictures: it has no frames")
        cells = [
            _draw_cell(faces, frame, image, points, crop, settings)
            for frame, image, points, crop in cut_out(faces, wanted, shown.crops)
        ]
    except (EntryError, MisfitError, MediaError, ValueError, OSError) as error:
        return ClipPictures(why=f"no pictures: {error}")
    times = tuple(round(float(faces.found.times[frame]), 3) for frame in wanted)
    return ClipPictures(encode_jpeg(np.concatenate(cells, axis=1), settings.quality), times)


def _draw_cell(
    faces: ClipFaces,
    frame: int,
    image: np.ndarray,
    points: np.ndarray,
    crop: np.ndarray,
    settings: ThumbnailSettings,
) -> np.ndarray:
    """Draw one frame of a strip: its crop, or the frame with its boxes and the crop under it."""
    size = settings.size
    small: np.ndarray = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    if not settings.boxed:
        return small
    drawn = draw_frame(image, faces.marks(frame, points), size)
    wide = np.full((drawn.shape[0], size, 3), BLANK, np.uint8)
    left = (size - drawn.shape[1]) // 2
    wide[:, left : left + drawn.shape[1]] = drawn
    return np.concatenate([wide, small])


def _add_spectrogram(
    pictures: ClipPictures, clip: Clip, sound: FeatureSet, settings: ThumbnailSettings
) -> ClipPictures:
    try:
        listed = list_clip(clip, sound)
        if listed.state in ("failed", "stale", "missing"):
            raise EntryError("; ".join(listed.why))
        spectrogram = read_spectrogram(sound, clip.id, settings.columns)
    except (EntryError, SetError, OSError) as error:
        why = f"no spectrogram: {error}"
        return replace(pictures, why="; ".join(filter(None, (pictures.why, why))))
    if spectrogram is None:
        return pictures
    return replace(
        pictures,
        spectrogram=encode_jpeg(spectrogram.to_grey(), settings.quality),
        spectrogram_span=(round(spectrogram.span[0], 3), round(spectrogram.span[1], 3)),
    )
