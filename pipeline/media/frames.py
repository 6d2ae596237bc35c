"""A clip's picture: upright RGB frames with their times, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.reformatter import VideoReformatter

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.aspect import SQUARE, PixelRatio, shown_size
from pipeline.media.container import (
    MediaError,
    MediaInfo,
    NoVideoError,
    SeekMissedError,
    check_limits,
    open_media,
    probe,
    read_info,
    video_stream,
)
from pipeline.media.declared import find_cut_off
from pipeline.media.oddities import CHANGING_RATIO, INTERLACED, describe_first, is_interlaced
from pipeline.media.packets import Clock, Faults, decoded_frames, shown_again, timed
from pipeline.media.settings import DecodeSettings

__all__ = [
    "DecodeSettings",
    "Frames",
    "MediaError",
    "MediaInfo",
    "NoVideoError",
    "VideoReader",
    "probe",
]

TIME_TOLERANCE = 1e-6  # seconds; decimal cuts and fractions of a time base differ in the last bit
SEEK_FROM = 1.0  # seconds; below this decoding from the start is as fast
IDENTITY = ((1, 0), (0, 1))  # a display matrix that changes nothing


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of one clip, with the time of each.

    Shapes (N frames):
        ``images``: (N, H, W, 3), uint8, RGB, upright.
        ``times``: (N,), float64, seconds from the clip's start, strictly increasing.

    Raises:
        ValueError: a shape or type is another, the lengths differ, or ``times`` is not finite or
            doesn't increase.
    """

    images: np.ndarray
    times: np.ndarray

    def __post_init__(self) -> None:
        images, times = self.images, self.times
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images must be (N, H, W, 3) uint8, got {images.shape} {images.dtype}"
            )
        if times.shape != (len(images),) or times.dtype != np.float64:
            raise ValueError(
                f"times must be ({len(images)},) float64, got {times.shape} {times.dtype}"
            )
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError("times must be finite and strictly increasing")

    def __len__(self) -> int:
        return len(self.times)


class VideoReader:
    """Reader of one clip's picture, chunk by chunk.

    Iterate over it to get ``Frames``. Frames are as they are shown: pixels that are not square are
    made so, and rotation and mirroring that the file asks for are applied.
    Times count from the clip's start: the start of the file's earliest stream, so that sound and
    picture share one zero, or the span's start where the clip is cut out of a longer file.
    Damaged packets are skipped and reported. After the iteration ``problems`` says what is
    missing or was repaired, ``notes`` what is odd but harmless (``kind: sentence``),
    ``decoded_frames`` the number of frames, ``frame_size`` their (height, width) and
    ``pixel_ratio`` width over height of a stored pixel of the first.

    Args:
        path: the video file.
        settings: limits and threads.
        span: the part of the file that is the clip: frames from its start to before its end.

    Raises:
        NoVideoError: on iteration: the file has no moving picture.
        MediaError: on iteration: the file can't be opened (see ``open_media``), exceeds a limit,
            is encrypted, or not one frame can be decoded.
    """

    def __init__(
        self,
        path: Path,
        settings: DecodeSettings | None = None,
        span: Span = WHOLE_FILE,
    ) -> None:
        self.path = path
        self.settings = settings or DecodeSettings()
        self.span = span
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.decoded_frames = 0
        self.frame_size: tuple[int, int] | None = None
        self.pixel_ratio = SQUARE
        self._info: MediaInfo | None = None
        self._converter = VideoReformatter()

    @property
    def info(self) -> MediaInfo:
        """The file as its headers declare it; known as soon as the iteration has begun.

        Raises:
            RuntimeError: nothing was read yet.
        """
        if self._info is None:
            raise RuntimeError(f"{self.path} was not read yet; iterate over the reader first")
        return self._info

    def __iter__(self) -> Iterator[Frames]:
        """Decode from the beginning; each call starts anew."""
        self.problems, self.notes = [], []
        self.decoded_frames, self.frame_size = 0, None
        buffer = np.empty((0, 0, 0, 3), np.uint8)
        times: list[float] = []
        for image, seconds in self._images():
            if not times:  # a new buffer each time: the caller may keep the chunk before
                room = max(1, self.settings.chunk_bytes // image.nbytes)
                buffer = np.empty((room, *image.shape), np.uint8)
            buffer[len(times)] = image
            times.append(seconds)
            if len(times) == len(buffer):
                yield Frames(buffer, np.array(times))
                times = []
        if times:
            yield Frames(buffer[: len(times)], np.array(times))

    def _images(self) -> Iterator[tuple[np.ndarray, float]]:
        given = 0
        if self.span.begin > SEEK_FROM:
            try:
                for image in self._read(seek=True):
                    given += 1
                    yield image
                return
            except SeekMissedError:
                self.problems, self.decoded_frames = [], 0
        yield from islice(self._read(seek=False), given, None)

    def _read(self, *, seek: bool) -> Iterator[tuple[np.ndarray, float]]:
        """Yield upright RGB images of one size with their times in the clip."""
        start, end = self.span.begin, self.span.end
        with open_media(self.path, self.settings) as container:
            stream = video_stream(container)
            info = self._info = read_info(self.path, container)
            if stream is None:
                raise NoVideoError(f"{self.path} has no video stream")
            ratio = PixelRatio(stream)
            check_limits(info, self.settings, self.span)
            met = Counts(faults=Faults("picture", self.path), clock=Clock(_interval(info)))
            near = start + info.origin if seek else None
            frames = decoded_frames(container, stream, met.faults, near)
            for frame, seconds in timed(frames, met.clock, stream.time_base or 1, info.origin):
                if start and seconds <= start + TIME_TOLERANCE and frame.key_frame:
                    met.begin_anew()
                met.damaged += bool(frame.is_corrupt)
                if seconds < start - TIME_TOLERANCE:
                    met.before = seconds
                    continue
                if seek and not met.is_sure:
                    raise SeekMissedError
                if end is not None and seconds >= end - TIME_TOLERANCE:
                    break
                met.stopped = self._limit(seconds - start)
                if met.stopped:
                    break
                try:
                    image = self._rgb(frame, ratio.current(), seconds - start)
                except (FFmpegError, ValueError) as error:
                    met.faults.add(seconds - start, error)
                    continue
                if is_interlaced(frame, stream):
                    self._note(INTERLACED)
                self.decoded_frames += 1
                yield image, seconds - start
            if seek and not self.decoded_frames and not met.is_sure:
                raise SeekMissedError
            if not self.decoded_frames:
                met.stopped = met.stopped or met.nothing(end)
            if self.decoded_frames < stream.frames:
                met.shown_again = shown_again(stream)
            self._report(info, met)

    def _limit(self, seconds: float) -> str | None:
        """Say why decoding stops before a frame at ``seconds``, or None to go on."""
        settings = self.settings
        if self.decoded_frames >= settings.max_frames:
            return f"stopped after {settings.max_frames} frames (max_frames)"
        if seconds > settings.max_duration_seconds:
            return (
                f"stopped at a frame that claims to be at {seconds:.0f} s "
                f"(max_duration_seconds is {settings.max_duration_seconds:.0f})"
            )
        return None

    def _rgb(self, frame: av.VideoFrame, ratio: Fraction, seconds: float) -> np.ndarray:
        """Convert a frame to upright RGB as it is shown, of the size of the clip's first frame.

        Args:
            frame: as it was decoded.
            ratio: width over height of its pixels.
            seconds: its time in the clip.

        Raises:
            ValueError: the frame is larger than ``max_pixels``, as it is stored or shown.
        """
        stored = (frame.height, frame.width)
        shown = shown_size(*stored, ratio)
        matrix = display_matrix(frame)
        if self.frame_size is None:
            size, self.pixel_ratio = shown, ratio
            for note in describe_first(frame, ratio):
                self._note(note)
        else:  # a quarter turn: the stored frame lies on its side
            size = self.frame_size if matrix[0][0] else self.frame_size[::-1]
        for height, width in (stored, size):
            if height * width > self.settings.max_pixels:
                raise ValueError(f"a frame of {width}x{height} pixels (max_pixels)")
        if size != shown:
            as_before = shown_size(*stored, self.pixel_ratio)
            if shown != as_before:
                self._note(CHANGING_RATIO)
            if size not in (shown, as_before) and not any(
                "frame size changes" in problem for problem in self.problems
            ):
                self.problems.append(
                    f"the frame size changes at {seconds:.2f} s from {size[1]}x{size[0]} to "
                    f"{shown[1]}x{shown[0]}; frames are scaled to the first size"
                )
        image = upright(self._convert(frame, *size), matrix)
        self.frame_size = (image.shape[0], image.shape[1])
        return image

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _convert(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        # One converter for all frames: making one costs as much as converting a small frame.
        converted = self._converter.reformat(
            frame, width, height, format="rgb24", threads=self.settings.threads
        )
        return converted.to_ndarray()

    def _report(self, info: MediaInfo, met: Counts) -> None:
        """Turn what was counted into ``problems`` and ``notes``."""
        decoded, hidden = self.decoded_frames, met.faults.hidden
        cut_off = None
        if not met.stopped or not decoded:
            end = None if met.clock.last is None else met.clock.last + met.clock.interval
            cut_off = find_cut_off(info, self.settings, "picture", self.span, end)
        if not decoded:
            part = ""
            if not self.span.is_whole:
                stop = "its end" if self.span.end is None else f"{round(self.span.end, 3)} s"
                part = f" between {round(self.span.begin, 3)} s and {stop}"
            reasons = met.faults.problems() or [met.stopped or "no reason given"]
            reasons += [cut_off] if cut_off else []
            raise MediaError(f"{self.path}: no frame could be decoded{part} ({'; '.join(reasons)})")
        if cut_off:
            self.problems.append(cut_off)
        declared = info.video.declared_frames if info.video else None
        if declared and self.span.is_whole and not met.stopped:
            if decoded < declared - hidden - met.shown_again:
                self.problems.append(f"decoded {decoded} of {declared} declared frames")
            elif hidden:
                self._note(f"edit list: {hidden} of {declared} declared frames are hidden by it")
        if met.damaged:
            self.problems.append(f"damaged frames: {met.damaged}")
        self.problems += met.clock.problems() + met.faults.problems()
        if met.stopped:
            self.problems.append(met.stopped)


@dataclass
class Counts:
    """Counts of what one pass over a file met."""

    faults: Faults
    clock: Clock
    has_begun: bool = False  # with a key frame before the wanted part
    damaged: int = 0
    shown_again: int = 0
    before: float | None = None  # time of the last frame before the wanted part
    stopped: str | None = None

    @property
    def is_sure(self) -> bool:
        """Whether what comes after a seek is what decoding everything would yield."""
        repaired = self.clock.missing + self.clock.repeated + self.clock.restarts
        return self.has_begun and not repaired and not self.damaged and not self.faults.count

    def begin_anew(self) -> None:
        """Forget the damage so far: it lies before a key frame, and so before the wanted part."""
        self.has_begun, self.damaged = True, 0
        self.faults.forget()

    def nothing(self, end: float | None) -> str:
        """Say why no frame lies before ``end``, in seconds of the file."""
        last = self.clock.last
        if last is None:
            return "the file holds no frame"
        if end is None or last < end - TIME_TOLERANCE:
            return f"its last frame is at {last:.2f} s"
        if self.before is None:
            return f"its first frame is at {last:.2f} s"
        return f"its frames around are at {self.before:.2f} s and {last:.2f} s"


def _interval(info: MediaInfo) -> float:
    rate = info.video.frame_rate if info.video else None
    return 1.0 / (rate or 25.0)


def display_matrix(frame: av.VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the linear part of a frame's display matrix, rounded to quarter turns and mirrors.

    Row vectors: a stored pixel (x, y) is shown at (x, y) times the matrix, up to a shift. A matrix
    that isn't a quarter turn (with or without mirror) is taken as the identity.
    """
    # Not frame.side_data: the frame would keep it, and it the frame, until a garbage collection,
    # which a few hundred frames don't bring on. A string, as the stubs know no other key.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # a stub lacks it
    if not isinstance(data, SideData):
        return IDENTITY
    values = np.frombuffer(bytes(data), dtype="<i4")
    if values.size != 9:
        return IDENTITY
    linear = values.reshape(3, 3)[:2, :2].astype(np.float64)
    scale = np.abs(linear).max()
    if scale == 0:
        return IDENTITY
    (a, b), (c, d) = np.rint(linear / scale).astype(int).tolist()
    if abs(a * d - b * c) != 1 or abs(a) + abs(b) != 1:
        return IDENTITY
    return (a, b), (c, d)


def upright(image: np.ndarray, matrix: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """Rotate and mirror an image by its ``display_matrix``.

    Shapes:
        ``image``: (H, W, 3).
        result: (H, W, 3), or (W, H, 3) after a quarter turn; a view where that is enough.
    """
    (a, b), (c, d) = matrix
    if a == 0:  # x goes to y: transpose, then x is shown along c and y along b
        image = image.swapaxes(0, 1)
        return image[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]
    return image[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
