"""Decoding a few frames of a clip, those whose faces the cache knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from pipeline.media.frames import TIME_TOLERANCE, DecodeSettings, Frames, MediaError, VideoReader

SEEK_FROM_FRAMES = 500  # between two wanted frames; nearer ones are reached sooner by decoding on
CHUNK_BYTES = 8_000_000


def decode_wanted(
    clip: Clip,
    times: np.ndarray,
    wanted: Sequence[int],
    frame_size: tuple[int, int],
    settings: DecodeSettings,
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode some frames of a clip; one at a time is held, and none behind the last is decoded.

    Args:
        clip: its file, and the part of it.
        times: of all its frames, in seconds, as when its faces were found.
        wanted: numbers of frames, increasing.
        frame_size: (height, width) of its frames.
        settings: limits; those of the run that found the faces, or frames are missing.

    Yields:
        Number and (H, W, 3) image of each.

    Raises:
        MediaError: the file can't be read, or decodes to other frames than these.
    """
    left = list(wanted)
    settings = replace(settings, chunk_bytes=min(settings.chunk_bytes, CHUNK_BYTES))
    if len(times) > SEEK_FROM_FRAMES * len(left):
        for frame in wanted:
            found = _seek(clip, float(times[frame]), settings)
            if found is None or found.images.shape[1:3] != frame_size:
                break  # a file whose clock was repaired from its beginning, for one
            yield frame, found.images[0]
            left.remove(frame)
    if left:
        yield from _stream(clip, times, left, settings)


def limits_of(provenance: Mapping[str, Any]) -> DecodeSettings:
    """Return the limits that an entry was made with; the default ones where it doesn't say."""
    stated = provenance.get("limits", {})
    known = {field.name for field in fields(DecodeSettings)} & set(stated)
    return replace(DecodeSettings(), **{name: stated[name] for name in known})


def _seek(clip: Clip, seconds: float, settings: DecodeSettings) -> Frames | None:
    """Decode the frame at a time of the clip; None if none is just there."""
    reader = VideoReader(
        clip.path,
        replace(settings, chunk_bytes=1),
        start_seconds=(clip.start_seconds or 0.0) + seconds,
        end_seconds=clip.end_seconds,
    )
    try:
        found = next(iter(reader), None)
    except MediaError:
        return None  # decoding from the beginning says what is wrong
    return found if found is not None and abs(found.times[0]) <= 2 * TIME_TOLERANCE else None


def _stream(
    clip: Clip, times: np.ndarray, wanted: Sequence[int], settings: DecodeSettings
) -> Iterator[tuple[int, np.ndarray]]:
    reader = VideoReader(
        clip.path, settings, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds
    )
    done, left = 0, list(wanted)
    for frames in reader:
        known = times[done : done + len(frames)]
        if len(known) < len(frames) or np.abs(frames.times - known).max() > TIME_TOLERANCE:
            raise MediaError(
                f"{clip.path} decodes to other frames than when its faces were found, near frame "
                f"{done}; extract again"
            )
        while left and left[0] < done + len(frames):
            yield left[0], frames.images[left.pop(0) - done]
        done += len(frames)
        if not left:
            return
    raise MediaError(f"{clip.path} ends after {done} of the {len(times)} frames it had")
