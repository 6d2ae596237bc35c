"""Containers: media files opened and described, or refused with the reason.

Everything that touches a container goes through here, so that a hostile file meets the same
limits everywhere and sound and picture share one origin of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from cache.entries.source import SourceChangedError
from cache.manifest.frame_folder import advise_to_join
from cache.manifest.span import Span
from pipeline.media.aspect import SQUARE, shown_size
from pipeline.media.machine import MACHINE_FAULTS, ReadAgainError, raise_if_of_machine
from pipeline.media.recognise import describe_refused, read_head, recognise
from pipeline.media.settings import DecodeSettings

__all__ = [
    "DecodeSettings",
    "MediaError",
    "MediaInfo",
    "NoAudioError",
    "NoVideoError",
    "UnreadableError",
    "probe",
]

LFS_HEADER = b"version https://git-lfs.github.com/spec/"
# Streams of one clip that start further apart than this carry a damaged clock.
MAX_START_DIFFERENCE = 600.0
# Frames from here on are no count, but what FFmpeg declares in an AVI that it writes into a pipe:
# it can't go back to the header. The file's duration is then made up of them.
UNCOUNTED = 1 << 29
# Containers that hold media themselves. Playlists (HLS, DASH, concat) are left out on purpose: such
# a text file named clip.mp4 makes FFmpeg read other files, and so are still pictures.
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,av1,avi,caf,dv,f4v,flac,flv,gif,gxf,h261,h263,h264,hevc,ivf,"
    "m4v,matroska,mjpeg,mov,mp3,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,swf,vc1,vvc,w64,wav,"
    "webm,wtv,yuv4mpegpipe"
)


class MediaError(Exception):
    """A clip can't be used; the message is the reason."""


class UnreadableError(MediaError):
    """The system doesn't let the file be read at present; what it holds is not known."""


class NoVideoError(MediaError):
    """The file can be read, but holds no moving picture."""


class NoAudioError(MediaError):
    """The file can be read, but holds no sound."""


class SeekMissedError(Exception):
    """A seek landed behind the wanted time; decode from the beginning instead."""


@dataclass(frozen=True)
class VideoInfo:
    """The picture as the header declares it; sizes are (height, width) before rotation.

    ``stored_size`` is in the file's pixels, and ``pixel_ratio`` the width over the height of one.
    """

    codec: str
    stored_size: tuple[int, int]
    pixel_ratio: Fraction
    frame_rate: float | None
    declared_frames: int | None
    start_seconds: float

    @property
    def frame_size(self) -> tuple[int, int]:
        """The size in which frames are shown, in square pixels."""
        return shown_size(*self.stored_size, self.pixel_ratio)


@dataclass(frozen=True)
class AudioInfo:
    """The sound as the header declares it."""

    codec: str
    sample_rate: int
    num_channels: int
    start_seconds: float


@dataclass(frozen=True)
class MediaInfo:
    """A file as its headers declare it; starts are in seconds from ``origin``, the clip's zero."""

    path: Path
    container: str
    duration_seconds: float | None
    origin: float
    video: VideoInfo | None
    audio: AudioInfo | None

    @property
    def has_video(self) -> bool:
        """Whether there is a moving picture."""
        return self.video is not None

    @property
    def has_audio(self) -> bool:
        """Whether there is sound, be it silent."""
        return self.audio is not None

    @property
    def declared_frames(self) -> int | None:
        """Number of frames that the header states, if any."""
        return None if self.video is None else self.video.declared_frames

    def expect_frames(self, span: Span) -> float:
        """Return about how many frames a part of the file has, by its headers; 0 if unknown."""
        rate = (self.video and self.video.frame_rate) or 0.0
        end = span.end if span.end is not None else self.duration_seconds or 0.0
        if span.is_whole and self.declared_frames:
            return self.declared_frames
        return max(0.0, rate * (end - span.begin))


def probe(path: Path, settings: DecodeSettings | None = None) -> MediaInfo:
    """Read a file's headers without decoding it.

    Raises:
        MediaError: the file can't be opened as media, see ``open_media``.
    """
    with open_media(path, settings or DecodeSettings()) as container:
        return read_info(path, container)


def open_media(path: Path, settings: DecodeSettings) -> InputContainer:
    """Open a media file for reading, refusing whatever isn't one.

    Raises:
        MediaError: the path is missing, a directory or another thing that isn't a file, can't be
            read, is empty, is a Git LFS pointer or of a kind that ``recognise`` names, or FFmpeg
            finds no known container in it.
        OSError: this machine is to blame: too many files are open, or the like.
        MemoryError: this machine is to blame.
    """
    check_file(path)
    try:
        container = _open(path)
    except ReadAgainError:
        container = _open(path)
    for stream in container.streams:
        context = stream.codec_context
        if context is not None and stream.type in ("video", "audio"):
            context.thread_count = settings.threads
            context.thread_type = "AUTO" if settings.threads > 1 else "NONE"
            if stream.type == "video":
                context.options = {"max_pixels": str(settings.max_pixels)}
    return container


def _open(path: Path) -> InputContainer:
    try:
        return av.open(
            # The prefix keeps FFmpeg from reading a name such as "concat:a.mp4" as a command.
            f"file:{path.absolute()}",
            mode="r",
            # Its frames are JPEGs, and FFmpeg takes the first for a still picture.
            format="mjpeg" if path.suffix.lower() in (".mjpeg", ".mjpg") else None,
            container_options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS},
            metadata_errors="replace",
        )
    except (FFmpegError, ValueError, UnicodeError) as error:
        with readable(path):
            raise_if_of_machine(error, path)
            refused = describe_refused(read_head(path), path.stat().st_size, reason(error))
        raise MediaError(f"{path} {refused}") from error


def check_file(path: Path) -> None:
    """Refuse what can't be media before FFmpeg sees it, which finds pictures in documents.

    Raises:
        MediaError: as for ``open_media``.
        OSError: this machine is to blame, as for ``open_media``.
    """
    with readable(path):
        if not path.exists():
            raise UnreadableError(f"{path} does not exist")
        if path.is_dir():
            advice = advise_to_join(path)
            raise MediaError(f"{path} is a directory; a clip is one file{advice}")
        if not path.is_file():  # a pipe or a device would block for ever
            raise MediaError(f"{path} is not a regular file; a clip is one file")
        head = read_head(path)
    if not head:
        raise MediaError(f"{path} is empty (0 bytes)")
    if head.startswith(LFS_HEADER):
        raise MediaError(
            f"{path} is a Git LFS pointer, not the media itself; run `git lfs pull` in its folder"
        )
    if (kind := recognise(head)) and kind.sure:
        raise MediaError(f"{path} {kind}")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Name a file that can't be read inside the ``with``.

    Raises:
        UnreadableError: the file is missing, there is no permission, its disk fails, ...
        cache.entries.source.SourceChangedError: it changed.
        OSError: this machine is to blame, as for ``open_media``.
    """
    try:
        yield
    except SourceChangedError:
        raise
    except FileNotFoundError as error:
        raise UnreadableError(f"{path} does not exist") from error
    except PermissionError as error:
        raise UnreadableError(f"{path} can't be read: permission denied") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ReadAgainError) or getattr(error, "errno", None) in MACHINE_FAULTS:
            raise
        why = f"{path} can't be read: {reason(error)}" if error.args[1:] else str(error)
        raise UnreadableError(why) from error


def read_info(path: Path, container: InputContainer) -> MediaInfo:
    """Describe an open file; the origin of time is the start of its earliest stream in use."""
    video, audio = video_stream(container), audio_stream(container)
    starts = [_start(stream) for stream in (video, audio) if stream is not None]
    origin = min(starts, default=0.0)
    if starts and max(starts) - origin > MAX_START_DIFFERENCE:
        origin = starts[0]
    declared = video.frames if video is not None else 0
    counted = declared < UNCOUNTED
    return MediaInfo(
        path=path,
        container=container.format.name,
        duration_seconds=_duration(container) if counted else None,
        origin=origin,
        video=None
        if video is None
        else VideoInfo(
            codec=video.codec_context.name,
            stored_size=(video.height, video.width),
            pixel_ratio=video.sample_aspect_ratio or SQUARE,
            frame_rate=float(video.average_rate) if video.average_rate else None,
            declared_frames=(declared or None) if counted else None,
            start_seconds=_start(video) - origin,
        ),
        audio=None
        if audio is None
        else AudioInfo(
            codec=audio.codec_context.name,
            sample_rate=audio.rate,
            num_channels=audio.channels,
            start_seconds=_start(audio) - origin,
        ),
    )


def video_stream(container: InputContainer) -> VideoStream | None:
    """Return the picture to use: the default one, else the first; cover art isn't one."""
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None
        and not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    return next((s for s in streams if s.disposition & Disposition.default), None) or next(
        iter(streams), None
    )


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the sound to use: the default stream, else the first."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return next((s for s in streams if s.disposition & Disposition.default), None) or next(
        iter(streams), None
    )


def check_limits(info: MediaInfo, settings: DecodeSettings, span: Span) -> None:
    """Refuse a clip whose headers declare more than the settings allow.

    Raises:
        MediaError: the wanted part ends before it starts or is longer than
            ``max_duration_seconds``; frames have more than ``max_pixels``; or a whole file
            declares more than ``max_frames``.
    """
    begin, end = span.begin, span.end
    if end is not None and end <= begin:
        raise MediaError(f"{info.path}: end_seconds {end} is not after start_seconds {begin}")
    stop = end if end is not None else info.duration_seconds
    if stop is not None and stop - begin > settings.max_duration_seconds:
        raise MediaError(
            f"{info.path} declares {stop - begin:g} s; a clip may have "
            f"{settings.max_duration_seconds:g} s (max_duration_seconds); cut it with "
            "start_seconds and end_seconds, or raise the limit"
        )
    if info.video is None:
        return
    for height, width in (info.video.stored_size, info.video.frame_size):
        if height * width > settings.max_pixels:
            raise MediaError(
                f"{info.path} has frames of {width}x{height} pixels; at most "
                f"{settings.max_pixels} pixels are read (max_pixels)"
            )
    declared = info.video.declared_frames or 0
    if span.is_whole and declared > settings.max_frames:
        raise MediaError(
            f"{info.path} declares {declared} frames; a clip may have {settings.max_frames} "
            "(max_frames); cut it with start_seconds and end_seconds, or raise the limit"
        )


def reason(error: BaseException) -> str:
    """Return an error's own words, without its number and the call it came from."""
    return getattr(error, "strerror", None) or str(error)


def _duration(container: InputContainer) -> float | None:
    if not container.duration:
        return None
    # Matroska declares where its last stream ends, not how long that is from the first one's start.
    start = container.start_time if container.format.name.startswith("matroska") else 0
    return max(0, container.duration - (start or 0)) / av.time_base or None


def _start(stream: Any) -> float:
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
