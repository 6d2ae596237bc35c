"""Examining one clip before a run: what is in its file, and whether it can be used.

Far cheaper than extraction: the file is hashed, its sound decoded, and of its picture a few frames.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np

from cache.codec import JsonFields
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.span import Span
from pipeline.faces.detect import HogDetector
from pipeline.media.aspect import SQUARE, is_square
from pipeline.media.container import MediaError, MediaInfo, check_limits, probe
from pipeline.media.declared import check_any_stream, find_cut_off
from pipeline.media.frames import DecodeSettings, VideoReader
from pipeline.media.oddities import CHANGING_RATIO
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
        frame_size: (height, width) as it is shown; by the header where no frame was looked at, and
            then before rotation; None without picture.
        pixel_ratio: width over height of a pixel, such as ``64:45``; ``1:1`` where it is taken as
            square, and empty without picture.
        sample_rate: of its sound; None without.
        sound: ``silent`` where no sample rises above -80 dB of full scale.
        sound_sha256: of the decoded sound, which survives another container; empty without any.
        sampled_frames: frames that were looked at.
        frames_with_face: how many of these show a face.
        cut_off: where picture or sound end, if that is before their declared length.
        damage: what is damaged and was repaired.
        notes: what is odd but harmless, each as ``kind: sentence``.
    """

    clip: str
    problem: str = ""
    sha256: str = ""
    bytes: int = 0
    duration_seconds: float | None = None
    frame_rate: float | None = None
    frame_size: tuple[int, int] | None = None
    pixel_ratio: str = ""
    sample_rate: int | None = None
    sound: Sound = "missing"
    sound_sha256: str = ""
    sampled_frames: int = 0
    frames_with_face: int = 0
    cut_off: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hearing:
    """A clip's sound, listened to; the fields are those of ``Examination``."""

    sound: Sound = "missing"
    sound_sha256: str = ""
    cut_off: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """Some frames of a clip, looked at; the fields are those of ``Examination``."""

    sampled_frames: int = 0
    frames_with_face: int = 0
    frame_size: tuple[int, int] | None = None
    pixel_ratio: str = ""
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
        problem = f"{type(error).__name__}: {error} (no fault of the clip; run doctor again)"
        return Examination(clip.id, problem=problem)


def _examine(clip: Clip, sample: int) -> Examination:
    settings = DecodeSettings()
    with time_limit(HANG_SECONDS):
        info = probe(clip.path, settings)
    check_any_stream(info)
    check_limits(info, settings, clip.span)
    source = read_source(clip.path)
    hearing = _listen(clip, settings) if info.has_audio else Hearing()
    with time_limit(HANG_SECONDS):
        cut_off = find_cut_off(info, settings, "picture", clip.span)
    video, look = info.video, Look()
    if video and sample:
        look = _look(clip, info, sample)
    elif video:
        look = Look(frame_size=video.frame_size, pixel_ratio=_write_ratio(video.pixel_ratio))
    return Examination(
        clip.id,
        sha256=source.sha256,
        bytes=source.size,
        duration_seconds=_duration(clip, info),
        frame_rate=video.frame_rate if video else None,
        frame_size=look.frame_size,
        pixel_ratio=look.pixel_ratio,
        sample_rate=info.audio.sample_rate if info.audio else None,
        sound=hearing.sound,
        sound_sha256=hearing.sound_sha256,
        sampled_frames=look.sampled_frames,
        frames_with_face=look.frames_with_face,
        cut_off=(*([cut_off] if cut_off else ()), *hearing.cut_off),
        damage=hearing.damage,
        notes=look.notes + hearing.notes,
    )


def _duration(clip: Clip, info: MediaInfo) -> float | None:
    end = clip.end_seconds if clip.end_seconds is not None else info.duration_seconds
    if clip.end_seconds is not None and info.duration_seconds is not None:
        end = min(clip.end_seconds, info.duration_seconds)
    return None if end is None else max(0.0, end - (clip.start_seconds or 0.0))


def _listen(clip: Clip, settings: DecodeSettings) -> Hearing:
    """Decode a clip's sound."""
    reader = WaveformReader(clip.path, settings, clip.span)
    digest, loudest = hashlib.sha256(), 0.0
    for block in guarded(reader, HANG_SECONDS):
        loudest = max(loudest, float(np.abs(block).max(initial=0.0)))
        digest.update((block * 32_767).astype("<i2").tobytes())
    heard: Sound = "silent" if loudest <= SILENCE else "present"
    return Hearing(
        heard if reader.decoded_samples else "missing",
        digest.hexdigest() if reader.decoded_samples else "",
        (reader.cut_off,) if reader.cut_off else (),
        tuple(problem for problem in reader.problems if problem != reader.cut_off),
        tuple(reader.notes),
    )


def _look(clip: Clip, info: MediaInfo, sample: int) -> Look:
    """Look for faces, and for what is odd, in some frames.

    Raises:
        MediaError: not one frame can be decoded.
    """
    detector = HogDetector(upsample=1)
    begin, duration = clip.start_seconds or 0.0, _duration(clip, info)
    if duration is None:
        sample = 1
    readers: list[VideoReader] = []
    faces = 0
    error: MediaError | None = None
    for number in range(sample):
        at = begin + (duration or 0.0) * number / sample
        try:
            image, reader = _frame_at(clip, at, begin)
        except MediaError as latest:  # the picture may end before the sound does
            error = latest
            continue
        readers.append(reader)
        faces += bool(detector.detect(_shrink(image), 0.0))
    if error and not readers:
        raise error
    notes = [note for reader in readers for note in reader.notes]
    ratios = [_write_ratio(reader.pixel_ratio) for reader in readers]
    if len(set(ratios)) > 1:
        notes.append(CHANGING_RATIO)
    return Look(
        sampled_frames=len(readers),
        frames_with_face=faces,
        frame_size=readers[0].frame_size,
        pixel_ratio=ratios[0],
        notes=tuple(dict.fromkeys(notes)),
    )


def _write_ratio(ratio: Fraction) -> str:
    shown = SQUARE if is_square(ratio) else ratio
    return f"{shown.numerator}:{shown.denominator}"


def _frame_at(clip: Clip, seconds: float, begin: float) -> tuple[np.ndarray, VideoReader]:
    """Decode the first frame from ``seconds`` on; return it and what its reader knows then."""
    one_frame = DecodeSettings(chunk_bytes=1)
    start = seconds if seconds > begin else clip.start_seconds
    reader = VideoReader(clip.path, one_frame, Span(start, clip.end_seconds))
    with closing(guarded(reader, HANG_SECONDS)) as chunks:  # type: ignore[type-var]  # a generator
        for frames in chunks:
            return frames.images[0], reader
    raise MediaError(f"{clip.path}: no frame at {seconds:.2f} s")


def _shrink(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
