"""FFmpeg's own tools as the reference: what ffprobe counts and stamps, and ffmpeg's pixels."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.making import LONGEST, call_ffmpeg


def ask_ffprobe(path: Path, *words: str) -> dict[str, Any]:
    """Ask ffprobe about a file; the answer as JSON.

    Raises:
        subprocess.CalledProcessError: ffprobe can't read it.
    """
    command = ["ffprobe", "-v", "quiet", "-threads", "1", "-of", "json", *words, str(path)]
    done = subprocess.run(command, capture_output=True, timeout=LONGEST, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def origin_of(path: Path) -> float:
    """Read the start of the earliest of a file's streams, in seconds."""
    streams = ask_ffprobe(path, "-show_entries", "stream=start_time")["streams"]
    return min(float(stream.get("start_time", 0.0)) for stream in streams)


def frame_times(path: Path) -> np.ndarray:
    """Read the time of every frame, in seconds from the file's origin.

    A frame without a stamp is nan, and so is one whose stamp doesn't rise: in program streams
    FFmpeg's demuxer gives some packets the stamps of those before them.
    """
    words = ("-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time")
    frames = ask_ffprobe(path, *words)["frames"]
    stamps = [frame.get("best_effort_timestamp_time", "nan") for frame in frames]
    times = np.array(stamps, np.float64) - origin_of(path)
    before = np.maximum.accumulate(np.concatenate([[-np.inf], np.nan_to_num(times, nan=-np.inf)]))
    times[times <= before[:-1]] = np.nan
    return times


def pixels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Decode every frame with ffmpeg, upright, scaled to (height, width) as avfuse scales.

    Returns:
        (N, height, width, 3), uint8, RGB.
    """
    height, width = size
    scale = f"scale={width}:{height}:flags=bilinear"
    words = ("-i", str(path), "-map", "0:v:0", "-vf", scale, "-fps_mode", "passthrough")
    data = call_ffmpeg(*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def shown_size(path: Path) -> tuple[int, int]:
    """Let ffmpeg scale the first frame to square pixels; the (height, width) it comes out with."""
    words = ("-i", str(path), "-map", "0:v:0", "-frames:v", "1", "-vf", "scale=iw*sar:ih")
    header = call_ffmpeg(*words, "-c:v", "ppm", "-f", "image2pipe", "-").split(maxsplit=3)
    return int(header[2]), int(header[1])
