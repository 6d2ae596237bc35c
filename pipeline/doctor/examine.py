"""Examining one clip before a run: what is in its file, and whether it can be used.

Far cheaper than extraction: the file is hashed, its sound decoded, and of its picture a few frames.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from cache.codec import JsonFields
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.span import Span
from pipeline.faces.detect import HogDetector
from pipeline.media.container import MediaError, MediaInfo, check_limits, probe
from pipeline.media.frames import DecodeSettings, Frames, VideoReader
from pipeline.media.sound import SILENCE, WaveformReader
from pipeline.workers.watchdog import guarded, time_limit

HANG_SECONDS = 60.0
LONGEST_SIDE = 960  # pixels; larger frames are shrunk before a face is looked for

Sound = Literal["present", "silent", "missing"]


@dataclass(frozen=True)
class Examination(JsonFields):
    """Findings about one clip's file.

    Args:
        clip: its id.
        problem: why it can't be used; empty if it can.
        sha256: of its file.
        bytes: size of its file.
        duration_seconds: of the clip, by the header; None where it says nothing.
        frame_rate: by the header; None without picture.
        frame_size: (height, width) by the header; None without picture.
        sample_rate: of its sound; None without.
        sound: ``silent`` where no sample rises above -80 dB of full scale.
        sound_sha256: of the decoded sound, which survives another container; empty without any.
        sampled_frames: frames that were looked at.
        frames_with_face: how many of these show a face.
        notes: what is damaged and was repaired.
    """

    clip: str
    problem: str = ""
    sha256: str = ""
    bytes: int = 0
    duration_seconds: float | None = None
    frame_rate: float | None = None
    frame_size: tuple[int, int] | None = None
    sample_rate: int | None = None
    sound: Sound = "missing"
    sound_sha256: str = ""
    sampled_frames: int = 0
    frames_with_face: int = 0
    notes: tuple[str, ...] = ()


def examine_clip(clip: Clip, *, sample: int) -> Examination:
    """Look into one clip; whatever is wrong with its file is in the result, not raised.

    Args:
        clip: the clip.
        sample: frames to look for a face in, spread evenly; 0 decodes no picture.
    """
    try:
        return _examine(clip, sample)
    except (MediaError, OSError) as error:
        return Examination(clip.id, problem=str(error))
    except Exception as error:  # noqa: BLE001 - what no reader foresaw must not end the others
        return Examination(clip.id, problem=f"{type(error).__name__}: {error}")


def _examine(clip: Clip, sample: int) -> Examination:
    settings = DecodeSettings()
    with time_limit(HANG_SECONDS):
        info = probe(clip.path, settings)
    if not info.has_video and not info.has_audio:
        raise MediaError(f"{clip.path} has neither picture nor sound")
    check_limits(info, settings, clip.span)
    source = read_source(clip.path)
    sound, sound_sha256, notes = _listen(clip, settings) if info.has_audio else ("missing", "", ())
    looked, faces = _look(clip, info, sample) if info.has_video and sample else (0, 0)
    return Examination(
        clip.id,
        sha256=source.sha256,
        bytes=source.size,
        duration_seconds=_duration(clip, info),
        frame_rate=info.video.frame_rate if info.video else None,
        frame_size=info.video.frame_size if info.video else None,
        sample_rate=info.audio.sample_rate if info.audio else None,
        sound=sound,
        sound_sha256=sound_sha256,
        sampled_frames=looked,
        frames_with_face=faces,
        notes=notes,
    )


def _duration(clip: Clip, info: MediaInfo) -> float | None:
    end = clip.end_seconds if clip.end_seconds is not None else info.duration_seconds
    if clip.end_seconds is not None and info.duration_seconds is not None:
        end = min(clip.end_seconds, info.duration_seconds)
    return None if end is None else max(0.0, end - (clip.start_seconds or 0.0))


def _listen(clip: Clip, settings: DecodeSettings) -> tuple[Sound, str, tuple[str, ...]]:
    """Decode a clip's sound; return whether it is silent, its digest and what was repaired."""
    reader = WaveformReader(clip.path, settings, clip.span)
    digest, loudest = hashlib.sha256(), 0.0
    for block in guarded(reader, HANG_SECONDS):
        loudest = max(loudest, float(np.abs(block).max(initial=0.0)))
        digest.update((block * 32_767).astype("<i2").tobytes())
    if not reader.decoded_samples:
        return "missing", "", tuple(reader.problems)
    silent = loudest <= SILENCE
    return ("silent" if silent else "present"), digest.hexdigest(), tuple(reader.problems)


def _look(clip: Clip, info: MediaInfo, sample: int) -> tuple[int, int]:
    """Return how many frames were looked at, and how many of them show a face.

    Raises:
        MediaError: not one frame can be decoded.
    """
    detector = HogDetector(upsample=1)
    begin, duration = clip.start_seconds or 0.0, _duration(clip, info)
    if duration is None:
        sample = 1
    looked = faces = 0
    error: MediaError | None = None
    for number in range(sample):
        at = begin + (duration or 0.0) * number / sample
        try:
            frames = _frame_at(clip, at, begin)
        except MediaError as latest:  # the picture may end before the sound does
            error = latest
            continue
        looked += 1
        faces += bool(detector.detect(_shrink(frames.images[0]), 0.0))
    if error and not looked:
        raise error
    return looked, faces


def _frame_at(clip: Clip, seconds: float, begin: float) -> Frames:
    """Decode the first frame from ``seconds`` on."""
    one_frame = DecodeSettings(chunk_bytes=1)
    start = seconds if seconds > begin else clip.start_seconds
    reader = VideoReader(clip.path, one_frame, Span(start, clip.end_seconds))
    with closing(guarded(reader, HANG_SECONDS)) as chunks:  # type: ignore[type-var]  # a generator
        for frames in chunks:
            return frames
    raise MediaError(f"{clip.path}: no frame at {seconds:.2f} s")


def _shrink(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
