"""Film of an answer: the video again with box, label and curves drawn in, and its own sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

from cache.commit import make_folder, whole_file
from cache.progress import Progress
from pipeline.faces.tracks import SEEN, BoxSource
from pipeline.inspect.colours import BLACK, PALETTE, WHITE
from pipeline.inspect.drawing import outline
from pipeline.inspect.text import write
from pipeline.media.frames import TIME_TOLERANCE, MediaError, VideoReader
from pipeline.predict.band import Band, Course
from pipeline.predict.soundtrack import Soundtrack

LEAST_WIDTH = 480  # of the band's text; a smaller picture stands in its middle
UNIT_WIDTH = 960  # from twice that on all that is drawn is twice as large
LATEST_SECONDS = 1.0  # by which sound is written ahead of the picture
CHUNK_BYTES = 16_000_000
# Ticks of a second: whole numbers of them are the frames of all usual rates. MPEG-4 counts fewer.
CODECS = {
    # Its mbtree, which spares bits on what isn't copied later, differs from run to run.
    "libx264": (
        120_000,
        {
            **{"crf": "20", "preset": "veryfast", "bf": "0", "threads": "2"},
            "x264-params": "mbtree=0",
        },
    ),
    "mpeg4": (60_000, {"qmin": "2", "qmax": "5", "threads": "1"}),
}
BOX = PALETTE[0]


def write_film(
    path: Path,
    course: Course,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write a film of a video's answer; a few frames are held at a time.

    Every frame is there at its own time, upright and in square pixels. The box of the face is
    dashed where it was only followed; there is none where no face is.

    Args:
        path: the film, MP4; replaced if it is there.
        course: the answer, and the video's file.
        progress: called with the number of frames done and of all, where that is known.

    Returns:
        What is missing, for a user: sound that can't be kept.

    Raises:
        MediaError: the video can't be read, or decodes to other frames than when its faces were
            found.
        OSError: the film can't be written.
    """
    least = min(course.limits.chunk_bytes, CHUNK_BYTES)
    reader = VideoReader(course.video, replace(course.limits, chunk_bytes=least))
    with whole_file(path) as temporary:
        try:
            return _write(temporary, course, reader, progress)
        except FFmpegError as error:
            raise MediaError(f"{path} can't be encoded: {error}") from error


def _write(
    path: Path,
    course: Course,
    reader: VideoReader,
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    chunks = iter(reader)
    chunk = next(chunks, None)
    if chunk is None:
        raise MediaError(f"{course.video} has no frames")
    height, width = chunk.images.shape[1:3]
    canvas = Canvas(course, height, width)
    container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
    with container:
        stream, ticks = _add_picture(container, canvas.size)
        sound = Soundtrack(course.video, container, reader.info.origin, reader.settings)
        try:
            container.start_encoding()
            done = 0
            while chunk is not None:
                check_times(course, done, chunk.times)
                for image, seconds in zip(chunk.images, chunk.times.tolist(), strict=True):
                    frame = av.VideoFrame.from_ndarray(canvas.draw(image, done, seconds))
                    frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
                    sound.write_until(seconds + LATEST_SECONDS)
                    container.mux(stream.encode(frame))
                    done += 1
                if progress:
                    progress(done, max(done, _count(course)))
                chunk = next(chunks, None)
            container.mux(stream.encode(None))
            sound.write_until(float("inf"))
        finally:
            sound.close()
    return sound.problems


def _add_picture(
    container: av.container.OutputContainer, size: tuple[int, int]
) -> tuple[VideoStream, int]:
    """Add the stream of the picture; return it, and how many ticks a second has."""
    codec = next(codec for codec in CODECS if codec in av.codecs_available)
    ticks, options = CODECS[codec]
    stream = cast(VideoStream, container.add_stream(codec, options=options))
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, ticks)
    return stream, ticks


def check_times(course: Course, start: int, times: np.ndarray) -> None:
    """Check that frames are those in which the faces were found.

    Raises:
        MediaError: they aren't.
    """
    if course.faces is None:
        return
    known = course.faces.times[start : start + len(times)]
    if len(known) < len(times) or np.abs(times - known).max() > TIME_TOLERANCE:
        raise MediaError(
            f"{course.video} decodes to other frames than when its faces were found, near frame "
            f"{start}"
        )


def _count(course: Course) -> int:
    return len(course.faces.times) if course.faces is not None else 0


def write_films(
    films: Mapping[Path, Path], courses: Mapping[Path, Course], *, progress: Progress
) -> dict[Path, str]:
    """Write the film of each video that has a course.

    Args:
        films: video to its film; the folder of the films may be new.
        courses: video to its course.
        progress: shows the frames.

    Returns:
        Video to the reason why it has no film, or what its film lacks.

    Raises:
        OSError: a film can't be written.
    """
    lacking = {}
    for video, film in films.items():
        if video not in courses:
            continue
        make_folder(film.parent)
        try:
            problems = write_film(film, courses[video], progress=progress.show)
        except MediaError as error:
            lacking[video] = f"no film: {error}"
            continue
        if problems:
            lacking[video] = "; ".join(problems)
    return lacking


class Canvas:
    """Picture of a film: the frame with its box above the band.

    Args:
        course: the answer.
        height: of the video's frames in pixels.
        width: of the video's frames in pixels.
    """

    def __init__(self, course: Course, height: int, width: int) -> None:
        self.course = course
        self.unit = max(1, width // UNIT_WIDTH)
        wide = max(width, LEAST_WIDTH)
        self._top = height + height % 2
        self._left = (wide - width) // 2
        self._band = Band(course, wide + wide % 2, self.unit)
        self.size = (self._top + self._band.height, wide + wide % 2)

    def draw(self, image: np.ndarray, frame: int, seconds: float) -> np.ndarray:
        """Return the picture of a frame: (height, width, 3), uint8, RGB, even sides.

        Args:
            image: the frame, upright.
            frame: its number.
            seconds: its time.
        """
        picture = np.full((*self.size, 3), BLACK, np.uint8)
        place = picture[: image.shape[0], self._left : self._left + image.shape[1]]
        place[:] = image
        faces = self.course.faces
        if faces is not None and faces.rung[frame] != BoxSource.WHOLE:
            self._draw_box(place, faces.box[frame], BoxSource(int(faces.rung[frame])), seconds)
        picture[self._top :] = self._band.at(seconds)
        return picture

    def _draw_box(
        self, place: np.ndarray, box: np.ndarray, source: BoxSource, seconds: float
    ) -> None:
        """Draw a box and the likeliest class over it, in place."""
        thick, corners = 2 * self.unit, box.reshape(2, 2).astype(np.float64)
        small = np.ascontiguousarray(place)
        outline(small, corners, WHITE, 3 * thick, dashed=source not in SEEN)
        outline(small, corners, BOX, thick, dashed=source not in SEEN)
        now = self.course.at(seconds)
        if now is not None:
            text, size = f"{self.course.classes[int(now.argmax())]} {now.max():.0%}", 13 * self.unit
            picture = Image.fromarray(small)
            draw = ImageDraw.Draw(picture)
            wide = min(round(0.75 * size * len(text)), place.shape[1])
            left = min(max(float(box[0]), 0), place.shape[1] - wide)
            top = min(max(float(box[1]) - 1.5 * size, 0), place.shape[0] - 1.4 * size)
            draw.rectangle((left, top, left + wide, top + 1.35 * size), fill=BOX)
            room = wide - size // 2
            write(
                draw, (left + size // 4, top), text, room=room, colour=WHITE, bold=True, size=size
            )
            small = np.asarray(picture)
        place[:] = small
