"""Small videos and sounds written for tests, whose every frame and sample is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.media.frames import Frames, VideoReader

WIDTH, HEIGHT = 94, 62  # no square, no multiple of 8, even as yuv420p asks


def grey_frame(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame that carries its number in its grey level: 20 + 10 n."""
    return np.full((height, width, 3), 20 + 10 * number, np.uint8)


def number_of(image: np.ndarray) -> int:
    """Read the number that ``grey_frame`` wrote."""
    return round((float(image.mean()) - 20) / 10)


def read_all(reader: VideoReader) -> Frames:
    """The frames of all chunks together."""
    chunks = list(reader)
    return Frames(
        np.concatenate([chunk.images for chunk in chunks]),
        np.concatenate([chunk.times for chunk in chunks]),
    )


def numbers_of(frames: Frames) -> list[int]:
    return [number_of(image) for image in frames.images]


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    rate: int = 25,
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    key_every: int = 12,
    prepare: Callable[[av.VideoStream], None] | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
    sound_codec: str | None = None,
    sound_start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write images, and sound of (channels, n) float32, into one file.

    ``pts`` are in units of 1 / (1000 ``rate``) seconds.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"g": str(key_every)})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000 * rate)
        if prepare:
            prepare(stream)
        track = None
        if sound is not None:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
            own = sound_codec or ("flac" if path.suffix == ".mkv" else "aac")
            track = container.add_stream(own, rate=sound_rate)
            track.layout = layout
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number * 1000 if pts is None else pts[number]
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            write_sound(container, track, sound, sound_rate, sound_start)
    return path


def write_sound(
    container: av.container.OutputContainer,
    track: av.AudioStream,
    sound: np.ndarray,
    rate: int,
    start: float = 0.0,
) -> None:
    """Encode (channels, n) float32 into an open file."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
    resampler = av.AudioResampler(format=track.format.name, layout=layout, rate=rate)
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout
    )
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = round(start * rate)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(track.encode(piece))
    container.mux(track.encode(None))


def write_wav(path: Path, sound: np.ndarray, rate: int) -> Path:
    """Write (channels, n) float32 as 32-bit float WAV, any number of channels."""
    channels = len(sound)
    data = np.ascontiguousarray(sound.T, "<f4").tobytes()
    block = 4 * channels
    header = (
        b"RIFF"
        + (36 + len(data)).to_bytes(4, "little")
        + b"WAVEfmt "
        + (16).to_bytes(4, "little")
        + (3).to_bytes(2, "little")
        + channels.to_bytes(2, "little")
        + rate.to_bytes(4, "little")
        + (rate * block).to_bytes(4, "little")
        + block.to_bytes(2, "little")
        + (32).to_bytes(2, "little")
        + b"data"
        + len(data).to_bytes(4, "little")
    )
    path.write_bytes(header + data)
    return path
