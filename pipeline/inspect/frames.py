"""Frames of a clip for its row: the choice of a few whose faces the cache knows, and decoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from cache.manifest.span import Span
from pipeline.choice.choice import FaceArrays
from pipeline.faces.tracks import BoxSource, TrackArrays
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
        Span(clip.span.begin + seconds, clip.span.end),
    )
    try:
        found = next(iter(reader), None)
    except MediaError:
        return None  # decoding from the beginning says what is wrong
    return found if found is not None and abs(found.times[0]) <= 2 * TIME_TOLERANCE else None


def _stream(
    clip: Clip, times: np.ndarray, wanted: Sequence[int], settings: DecodeSettings
) -> Iterator[tuple[int, np.ndarray]]:
    reader = VideoReader(clip.path, settings, clip.span)
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
    raise MediaError(
        f"{clip.path} ends after {done} frames and had {len(times)} when its faces were found"
    )


# What can happen in a frame, the most telling first; where room is short the last give way.
BEGINS, SWITCHES, LOST_OR_FOUND, SOURCE_CHANGES = range(4)


@dataclass(frozen=True)
class Sample:
    """A frame to show: its number, and what happens in it, for a user; often nothing."""

    frame: int
    why: tuple[str, ...] = ()


def choose_samples(faces: FaceArrays, tracks: TrackArrays, most: int) -> list[Sample]:
    """Choose frames of a clip, in order: half of them evenly, then those where something happens.

    A track begins, the chosen face is another, is lost or found, or has another source. What
    room is left goes to the middles of the longest stretches without a frame.

    Args:
        faces: the chosen face of every frame.
        tracks: all faces.
        most: number of frames at most.

    Raises:
        ValueError: ``most`` is below 2.
    """
    if most < 2:
        raise ValueError(f"a row shows at least 2 frames, got {most}")
    num = len(faces.times)
    happens = _find_events(faces, tracks)
    chosen = _evenly(range(num), max(2, (most + 1) // 2))
    for kind in range(4):
        frames = [frame for frame, (kinds, _) in sorted(happens.items()) if min(kinds) == kind]
        if kind == SOURCE_CHANGES:  # a source that flickers must not fill the row with one moment
            frames = _apart(frames, chosen, num // (4 * most))
        new = [frame for frame in frames if frame not in chosen]
        chosen |= _evenly(new, most - len(chosen))
    while len(chosen) < min(most, num):
        known = sorted(chosen)
        gap, start = max((b - a, -a) for a, b in pairwise(known))
        chosen.add(gap // 2 - start)
    return [Sample(f, happens[f][1] if f in happens else ()) for f in sorted(chosen)]


def _evenly(frames: Iterable[int], most: int) -> set[int]:
    """Pick at most some, the first and the last among them."""
    frames = list(frames)
    if len(frames) <= most:
        return set(frames)
    at = np.linspace(0, len(frames) - 1, most).round().astype(int)
    return {frames[position] for position in at}


def _apart(frames: Iterable[int], known: set[int], near: int) -> list[int]:
    """Leave out frames that are nearer than that to a known one or to one before them."""
    kept: list[int] = []
    for frame in frames:
        if all(abs(frame - other) > near for other in (*known, *kept)):
            kept.append(frame)
    return kept


def _find_events(
    faces: FaceArrays, tracks: TrackArrays
) -> dict[int, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return what happens in which frame, as kinds and in words; the first frame is no event."""
    found: dict[int, list[tuple[int, str]]] = {}
    for number in np.unique(tracks.number):
        frame = int(tracks.frame[tracks.number == number].min())
        found.setdefault(frame, []).append((BEGINS, f"track {number} begins"))
    track, rung = faces.track, faces.rung
    changes = np.flatnonzero((np.diff(track) != 0) | (np.diff(rung) != 0)) + 1
    for frame in changes.tolist():
        before, now = BoxSource(int(rung[frame - 1])), BoxSource(int(rung[frame]))
        if now == BoxSource.WHOLE or before == BoxSource.WHOLE:
            event = (LOST_OR_FOUND, "lost" if now == BoxSource.WHOLE else "found")
        elif track[frame - 1] != track[frame]:
            event = (SWITCHES, f"{track[frame - 1]} gives way to {track[frame]}")
        else:
            event = (SOURCE_CHANGES, f"was {before.name.lower()}")
        found.setdefault(frame, []).append(event)
    return {
        frame: (tuple(kind for kind, _ in events), tuple(text for _, text in events))
        for frame, events in found.items()
        if frame > 0
    }
