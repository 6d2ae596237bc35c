"""Examining one clip before a run: what is in its file, and whether it can be used.

Far cheaper than extraction: the file is hashed, its sound decoded, and faces are looked for in some
frames of its picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from cache.codec import JsonFields
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from pipeline.doctor.faces import FaceCount, FaceCounter
from pipeline.doctor.settings import DoctorSettings
from pipeline.media.aspect import SQUARE, is_square
from pipeline.media.container import MediaError, MediaInfo, check_limits, probe
from pipeline.media.declared import check_any_stream, find_cut_off
from pipeline.media.frames import TIME_TOLERANCE, DecodeSettings, VideoReader
from pipeline.media.oddities import CHANGING_RATIO
from pipeline.media.sound import SILENCE, WaveformReader
from pipeline.workers.watchdog import guarded, time_limit

HANG_SECONDS = 60.0
# A longer clip is read by seeking to each frame; the whole of a shorter one is decoded sooner.
SEEK_FROM_SECONDS = 60.0
ONE_FRAME = DecodeSettings(chunk_bytes=1)  # at a time
UNKNOWN_STEP = 1.0  # seconds between two frames of a clip that doesn't say how long it is

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
        frames_with_face: how many of these show a face that ``extract`` would take.
        uncertain_frames: how many others show what may be one, and isn't taken.
        frames_with_several: how many show two faces or more of similar size.
        face_size: median width of the largest face of a frame, in pixels; None without any.
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
    uncertain_frames: int = 0
    frames_with_several: int = 0
    face_size: float | None = None
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
    faces: FaceCount = field(default_factory=FaceCount)
    frame_size: tuple[int, int] | None = None
    pixel_ratio: str = ""
    notes: tuple[str, ...] = ()


def examine_clip(clip: Clip, settings: DoctorSettings) -> Examination:
    """Look into one clip; whatever is wrong with its file is in the result, not raised.

    Args:
        clip: the clip.
        settings: which frames to look at, and how to look for faces.
    """
    try:
        return _examine(clip, settings)
    except (MediaError, OSError) as error:
        return Examination(clip.id, problem=str(error))
    except Exception as error:  # noqa: BLE001 - what no reader foresaw must not end the others
        problem = f"{type(error).__name__}: {error} (no fault of the clip; run doctor again)"
        return Examination(clip.id, problem=problem)


def _examine(clip: Clip, settings: DoctorSettings) -> Examination:
    limits = DecodeSettings()
    with time_limit(HANG_SECONDS):
        info = probe(clip.path, limits)
    check_any_stream(info)
    check_limits(info, limits, clip.span)
    source = read_source(clip.path)
    hearing = _listen(clip, limits) if info.has_audio else Hearing()
    with time_limit(HANG_SECONDS):
        cut_off = find_cut_off(info, limits, "picture", clip.span)
    video, look = info.video, Look()
    if video and settings.sample:
        look = _look(clip, info, settings)
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
        **vars(look.faces),
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


def _look(clip: Clip, info: MediaInfo, settings: DoctorSettings) -> Look:
    """Look for faces, and for what is odd, in some frames.

    Raises:
        MediaError: not one frame can be decoded.
    """
    counter, sampled = FaceCounter(settings.faces), 0
    readers: list[VideoReader] = []
    for image, seconds, reader in _sample_frames(clip, _duration(clip, info), settings.sample):
        sampled += 1
        counter.look(image, seconds)
        if reader not in readers:
            readers.append(reader)
    notes = [note for reader in readers for note in reader.notes]
    ratios = [_write_ratio(reader.pixel_ratio) for reader in readers]
    if len(set(ratios)) > 1:
        notes.append(CHANGING_RATIO)
    return Look(
        sampled_frames=sampled,
        faces=counter.count(),
        frame_size=readers[0].frame_size,
        pixel_ratio=ratios[0],
        notes=tuple(dict.fromkeys(notes)),
    )


def _sample_frames(
    clip: Clip, duration: float | None, sample: int
) -> Iterator[tuple[np.ndarray, float, VideoReader]]:
    """Decode at most ``sample`` frames at even distances, each with its time and its reader.

    Raises:
        MediaError: not one frame can be decoded.
    """
    step = UNKNOWN_STEP if duration is None else duration / sample
    wanted = [number * step for number in range(sample)]
    if duration is not None and duration >= SEEK_FROM_SECONDS:
        yield from _seek_each(clip, wanted)
        return
    reader = VideoReader(clip.path, ONE_FRAME, clip.span)
    with closing(guarded(reader, HANG_SECONDS)) as chunks:  # type: ignore[type-var]  # a generator
        for frames in chunks:
            seconds = float(frames.times[0])
            if seconds >= wanted[0] - TIME_TOLERANCE:
                yield frames.images[0], seconds, reader
                wanted = [at for at in wanted if at > seconds + TIME_TOLERANCE]
                if not wanted:
                    return


def _write_ratio(ratio: Fraction) -> str:
    shown = SQUARE if is_square(ratio) else ratio
    return f"{shown.numerator}:{shown.denominator}"


def _seek_each(
    clip: Clip, wanted: Sequence[float]
) -> Iterator[tuple[np.ndarray, float, VideoReader]]:
    """Decode the first frame from each time on; one behind the picture's end is passed over."""
    error: MediaError | None = None
    found = False
    for seconds in wanted:
        start = clip.span.begin + seconds if seconds else clip.start_seconds
        reader = VideoReader(clip.path, ONE_FRAME, replace(clip.span, start=start))
        with closing(guarded(reader, HANG_SECONDS)) as chunks:  # type: ignore[type-var]
            try:
                frames = next(chunks, None)
            except MediaError as latest:  # the picture may end before the sound does
                error = latest
                continue
        if frames is not None:
            found = True
            yield frames.images[0], seconds, reader
    if error and not found:
        raise error
