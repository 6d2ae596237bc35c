"""Times of the picture: every rate, variable rates, late starts, packed frames, joined files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.making import Recipe, Studio, h264, plain, x264_like
from tests.conformance.reading import see
from tests.conformance.reference import frame_times, pixels
from tests.conformance.signals import HEIGHT, WIDTH, numbers_of

STAMPS = 0.0011  # seconds: containers such as Matroska keep whole milliseconds
RATES = ("25", "30000/1001", "24000/1001", "15", "60", "50", "12")
CONTAINERS = {
    "mp4": (".mp4", h264()),
    "mkv": (".mkv", h264()),
    "ts": (".ts", h264()),
    "mov": (".mov", h264()),
    "flv": (".flv", h264()),
    "avi": (".avi", x264_like("mpeg4", 12, 0, "-q:v", "3")),
    "avi with B-frames": (".avi", h264()),
}
# What of 60 frames is kept, as ffmpeg's select filter reads it, and in Python.
KEPT = {
    "every third": ("not(mod(n,3))", lambda n: n % 3 == 0),
    "none in the middle": ("lt(n,20)+gt(n,45)", lambda n: n < 20 or n > 45),
    "primes": (
        "+".join(f"eq(n,{n})" for n in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)),
        lambda n: n in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47),
    ),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_frames_of_any_rate_have_their_times(studio: Studio, container: str, rate: str) -> None:
    suffix, video = CONTAINERS[container]
    seen = see(studio.make(Recipe(suffix, video, rate=rate, frames=40)))
    assert seen.numbers == list(range(40))
    assert seen.times == pytest.approx(np.arange(40) / float(Fraction(rate)), abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "mov", "flv"])
def test_a_variable_rate_keeps_each_frame_s_time(studio: Studio, container: str, kept: str) -> None:
    words, is_kept = KEPT[kept]
    suffix, video = CONTAINERS[container]
    numbers = [n for n in range(60) if is_kept(n)]
    video = (*video, "-vf", f"select='{words}'")
    path = studio.make(Recipe(suffix, video, frames=len(numbers)))
    seen = see(path)
    assert seen.numbers == numbers
    # ffmpeg lets a file begin with its first frame or with 0, as the container asks.
    first = seen.times[0]
    assert seen.times - first == pytest.approx((np.array(numbers) - numbers[0]) / 25, abs=STAMPS)
    assert seen.times == pytest.approx(frame_times(path), abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("offset", ["7", "100", "20000"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "mov", "flv"])
def test_a_picture_alone_starts_at_0(studio: Studio, container: str, offset: str) -> None:
    suffix, video = CONTAINERS[container]
    words = ("-output_ts_offset", offset)
    seen = see(studio.make(Recipe(suffix, video, frames=20, also=words)))
    assert seen.numbers == list(range(20))
    assert seen.times == pytest.approx(np.arange(20) / 25, abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("b_frames", [1, 2, 3])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_avi_with_b_frames_has_even_times(studio: Studio, codec: str, b_frames: int) -> None:
    video = x264_like(codec, 12, b_frames, "-preset", "ultrafast", "-q:v", "3")
    seen = see(studio.make(Recipe(".avi", video)))
    assert seen.numbers == list(range(60))
    assert seen.times == pytest.approx(np.arange(60) / 25, abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("b_frames", [1, 2, 3])
def test_frames_that_xvid_packs_have_the_times_of_their_places(
    studio: Studio, b_frames: int
) -> None:
    video = plain("libxvid", "-bf", str(b_frames), "-g", "12", "-q:v", "3")
    path = studio.make(Recipe(".avi", video))
    seen = see(path)
    # Of two or three B-frames ffmpeg loses a frame and leaves a place empty at the first keyframe.
    assert seen.numbers == numbers_of(pixels(path, (HEIGHT, WIDTH)))
    places = np.delete(np.arange(59), [12] if b_frames > 1 else [])
    assert seen.times == pytest.approx(places / 25, abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("container", ["ts", "h264"])
def test_joined_files_go_on_where_the_first_one_ended(
    studio: Studio, container: str, tmp_path: Path
) -> None:
    part = studio.make(Recipe(f".{container}", h264())).read_bytes()
    path = tmp_path / f"joined.{container}"
    path.write_bytes(part + part)
    seen = see(path)
    assert numbers_of(seen.images) == [*range(60), *range(60)]
    assert seen.times == pytest.approx(np.arange(120) / 25, abs=STAMPS)
