"""Files made by Debian's ffmpeg from the known picture and sound; each is made once."""

from __future__ import annotations

import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.signals import HEIGHT, WIDTH, known_sound, numbered_frame

LONGEST = 60  # seconds that ffmpeg may take for one file
MOST_FRAMES = 256


@dataclass(frozen=True)
class Recipe:
    """A file to be made.

    Args:
        suffix: of the file; chooses the container.
        video: ffmpeg's arguments for the picture; empty: none.
        audio: ffmpeg's arguments for the sound; empty: none.
        frames: number of frames.
        rate: frames a second, as ffmpeg reads it.
        seconds: of sound.
        before_video: arguments before the picture's input, such as ``-itsoffset``.
        before_audio: the same for the sound.
        layout: gains of the channels, each a multiple of the known sound.
        sound_rate: in Hz.
        also: arguments for the file as a whole.
    """

    suffix: str
    video: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    frames: int = 60
    rate: str = "25"
    seconds: float = 2.4
    before_video: tuple[str, ...] = ()
    before_audio: tuple[str, ...] = ()
    layout: tuple[float, ...] = (1.0,)
    sound_rate: int = 48_000
    also: tuple[str, ...] = ()


class Studio:
    """Maker of files, which keeps those it has made.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[object, Path] = {}

    def make(self, recipe: Recipe) -> Path:
        """Make a recipe's file with ffmpeg.

        Raises:
            ValueError: ffmpeg refuses.
        """
        if recipe not in self._made:
            words: list[str] = []
            if recipe.video:
                size = f"{WIDTH}x{HEIGHT}"
                words += [*recipe.before_video, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size]
                words += ["-framerate", recipe.rate, "-i", str(self.picture())]
            if recipe.audio:
                words += [*recipe.before_audio, "-i", str(self.sound(recipe))]
            if recipe.video:
                words += [
                    "-map",
                    "0:v",
                    "-fps_mode",
                    "passthrough",
                    "-frames:v",
                    str(recipe.frames),
                    *recipe.video,
                ]
            if recipe.audio:
                words += ["-map", f"{1 if recipe.video else 0}:a", *recipe.audio]
            self._made[recipe] = self.run(*words, *recipe.also, suffix=recipe.suffix)
        return self._made[recipe]

    def run(self, *words: str, suffix: str) -> Path:
        """Call ffmpeg with arguments of its own for a new file with a suffix.

        Raises:
            ValueError: ffmpeg refuses.
        """
        path = self.folder / f"{len(list(self.folder.iterdir()))}{suffix}"
        bitexact = ("-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact")
        call_ffmpeg(*words, *bitexact, str(path))
        return path

    def picture(self) -> Path:
        """Give the known picture as raw RGB."""
        path = self.folder / "picture.rgb"
        if not path.exists():
            path.write_bytes(b"".join(numbered_frame(n).tobytes() for n in range(MOST_FRAMES)))
        return path

    def sound(self, recipe: Recipe) -> Path:
        """Give a recipe's sound as WAV: 16 bits, a channel for each gain of its layout."""
        path = self.folder / f"{recipe.sound_rate}-{recipe.seconds}-{recipe.layout}.wav"
        if not path.exists():
            count = round(recipe.seconds * recipe.sound_rate)
            sound = known_sound(recipe.sound_rate)[:count, None] * np.array(recipe.layout)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(len(recipe.layout))
                file.setsampwidth(2)
                file.setframerate(recipe.sound_rate)
                file.writeframes(np.rint(sound * 32_767).astype("<i2").tobytes())
        return path


def call_ffmpeg(*words: str) -> bytes:
    """Run ffmpeg and return what it writes.

    Raises:
        ValueError: it refuses; the message is its own.
    """
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *words]
    done = subprocess.run(command, capture_output=True, timeout=LONGEST, check=False)
    if b"Unknown encoder" in done.stderr:
        pytest.skip(f"this ffmpeg was built without it: {done.stderr.decode().strip()}")
    if done.returncode:
        raise ValueError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def first_bytes(path: Path, share: float, folder: Path) -> Path:
    """Write the first bytes of a file, as a download that broke off leaves it."""
    cut = folder / f"{share:g}-{path.name}"
    data = path.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    return cut


def h264(*more: str, gop: int = 12, b_frames: int = 2) -> tuple[str, ...]:
    """Return arguments for H.264 with exactly the keyframes and B-frames that are asked for."""
    return (*x264_like("libx264", gop, b_frames), "-preset", "ultrafast", *more)


def hevc(*parameters: str) -> tuple[str, ...]:
    """Return arguments for HEVC with a keyframe every 12 frames and B-frames between."""
    also = "pools=1:log-level=none:bframes=2:b-adapt=0:keyint=12:min-keyint=12:scenecut=0"
    words = ("-preset", "ultrafast", "-x265-params", ":".join([also, *parameters]))
    return plain("libx265", *words)


def x264_like(codec: str, gop: int, b_frames: int, *more: str) -> tuple[str, ...]:
    """Return arguments for a codec with a keyframe every ``gop`` frames and B-frames between."""
    quality = ("-sc_threshold", "0", "-g", str(gop), "-bf", str(b_frames), "-pix_fmt", "yuv420p")
    strategy = ("-b_strategy", "0") if b_frames else ()
    return ("-c:v", codec, *quality, *strategy, *more)


def plain(codec: str, *more: str, pix_fmt: str = "yuv420p") -> tuple[str, ...]:
    """Return arguments for a codec without B-frames, in good quality."""
    return ("-c:v", codec, "-pix_fmt", pix_fmt, *more)
