"""Pixels that are not square: frames come in the shape that they are shown in."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from cache.manifest.span import Span
from pipeline.media.aspect import shown_size
from pipeline.media.frames import DecodeSettings, MediaError, VideoReader, probe
from tests.pipeline.ratios import join, quarters, write_ratio
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, read_all, write_video

CHANGES = (
    "ratio changes: the shape of the pixels changes within the file; every frame is scaled to the "
    "size that the first is shown in"
)


@pytest.mark.parametrize(
    ("stored", "ratio", "shown"),
    [
        ((576, 720), "64/45", (576, 1024)),
        ((576, 720), "16/15", (576, 768)),
        ((480, 720), "8/9", (480, 640)),
        ((480, 720), "32/27", (480, 853)),  # 853.3
        ((240, 320), "4/3", (240, 426)),  # 426.7: FFmpeg rounds down
        ((1080, 1440), "4/3", (1080, 1920)),
        ((288, 720), "1/2", (288, 360)),
        ((7, 1), "1/3", (7, 1)),  # never without a column
        # Changes that nobody sees; as found in films cut to even sizes.
        ((404, 720), "359/360", (404, 720)),
        ((480, 856), "17186/17221", (480, 856)),
        ((5, 13), "51/50", (5, 13)),  # 13.26
        ((5, 13), "49/50", (5, 13)),  # 12.74
        # The sane range ends at four to one.
        ((5, 12), "4", (5, 48)),
        ((5, 12), "1/4", (5, 3)),
        ((5, 12), "41/10", (5, 12)),
        ((5, 12), "10/41", (5, 12)),
        ((5, 12), "-1", (5, 12)),
    ],
)
def test_the_width_is_stretched_by_a_ratio_that_can_be_and_can_be_seen(
    stored: tuple[int, int], ratio: str, shown: tuple[int, int]
) -> None:
    assert shown_size(*stored, Fraction(ratio)) == shown


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize(("ratio", "width"), [("2", 128), ("1/2", 32)])
def test_pixels_are_made_square_before_a_quarter_turn(
    tmp_path: Path, turns: int, ratio: str, width: int
) -> None:
    path = write_ratio(tmp_path / "a.mp4", ratio, [quarters()] * 3, turns=turns)
    wide = np.repeat(quarters(), 2, axis=1) if width == 128 else quarters()[:, ::2]
    expected = np.rot90(wide, turns)
    reader = VideoReader(path)
    frames = read_all(reader)
    assert frames.images.shape[1:] == expected.shape
    assert reader.frame_size == expected.shape[:2]
    assert np.abs(frames.images[1].astype(int) - expected).mean() < 3
    assert reader.notes == [f"anamorphic: pixels are not square: shown {width}x48"]
    assert reader.problems == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.ts", "a.mpg", "a.avi"])
def test_every_container_and_codec_that_says_a_ratio_is_heard(tmp_path: Path, name: str) -> None:
    # MPEG-2 states the ratio of the whole frame, 16:9 here, so that these pixels are 4:3.
    path = write_ratio(tmp_path / name, "4/3", [quarters()] * 5)
    header = probe(path).video
    assert header is not None
    assert (header.stored_size, header.frame_size) == ((48, 64), (48, 85))
    reader = VideoReader(path)
    assert read_all(reader).images.shape == (5, 48, 85, 3)
    assert reader.pixel_ratio == Fraction(4, 3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
@pytest.mark.parametrize(("aspect", "width"), [("16:9", 85), ("4:3", 64), ("1:1", 48)])
def test_the_container_s_ratio_goes_before_the_codec_s(
    tmp_path: Path, aspect: str, width: int
) -> None:
    coded = write_ratio(tmp_path / "a.mp4", "2", [quarters()] * 5)
    path = tmp_path / "a.mkv"
    words = ["ffmpeg", "-v", "error", "-i", coded, "-c", "copy", "-aspect", aspect, path]
    subprocess.run(words, check=True)
    assert read_all(VideoReader(path)).images.shape == (5, 48, width, 3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuvj420p"])
def test_square_pixels_give_the_bytes_of_a_plain_conversion(tmp_path: Path, pix_fmt: str) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (7, HEIGHT, WIDTH, 3), np.uint8)
    path = write_video(tmp_path / "a.mkv", list(noise), pix_fmt=pix_fmt)
    plain = VideoReformatter()
    with av.open(str(path)) as container:
        expected = [
            plain.reformat(frame, WIDTH, HEIGHT, format="rgb24", threads=1).to_ndarray()
            for frame in container.decode(video=0)
        ]
    assert read_all(VideoReader(path)).images.tobytes() == np.array(expected).tobytes()


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_ratio_that_changes_within_a_file_is_noted_and_the_first_frame_rules(
    tmp_path: Path, suffix: str
) -> None:
    wide, narrow = ("4/3", "1") if suffix == ".mpg" else ("2", "1/2")
    path = join(tmp_path / f"a{suffix}", (wide, [quarters()] * 40), (narrow, [quarters()] * 40))
    width = int(64 * Fraction(wide))
    reader = VideoReader(path)
    frames = read_all(reader)
    assert frames.images.shape == (80, 48, width, 3)
    expected = quarters()[:, np.arange(width) * 64 // width]
    assert np.abs(frames.images[[3, 77]].astype(int) - expected).mean() < 4
    assert reader.notes == [f"anamorphic: pixels are not square: shown {width}x48", CHANGES]
    assert not [problem for problem in reader.problems if "frame size" in problem]
    # Cut behind the change, the clip's own first frame rules.
    cut = VideoReader(path, None, Span(2.4))
    assert read_all(cut).images.shape[1:3] == (48, int(64 * Fraction(narrow)))
    assert CHANGES not in cut.notes


def test_another_size_of_the_same_shape_as_shown_is_told_as_before(tmp_path: Path) -> None:
    parts = [
        ("2", [quarters()] * 40),
        ("1", [np.repeat(quarters(), 2, axis=1)] * 40),
        ("1", [np.repeat(quarters(), 3, axis=0)] * 40),
    ]
    for last, told in ((2, False), (3, True)):
        path = join(tmp_path / f"until-{last}.ts", *parts[:last])
        reader = VideoReader(path)
        frames = read_all(reader)
        assert frames.images.shape[1:] == (48, 128, 3)
        wide = np.repeat(quarters(), 2, axis=1)
        assert np.abs(frames.images[-3].astype(int) - wide).mean() < 4
        assert any("the frame size changes at" in one for one in reader.problems) == told


@pytest.mark.parametrize("ratio", ["20", "1/20", "307/7"])
def test_a_ridiculous_ratio_is_ignored_with_a_note(tmp_path: Path, ratio: str) -> None:
    path = write_ratio(tmp_path / "a.mp4", ratio, [grey_frame(number) for number in range(3)])
    reader = VideoReader(path)
    assert read_all(reader).images.shape == (3, HEIGHT, WIDTH, 3)
    said = str(Fraction(ratio)).replace("/", ":")
    said = said if ":" in said else f"{said}:1"
    assert reader.notes == [f"ratio ignored: pixels are said to be {said}, and are taken as square"]


def test_the_limit_of_pixels_holds_for_the_shown_size(tmp_path: Path) -> None:
    path = write_ratio(tmp_path / "a.mp4", "3", [grey_frame(number) for number in range(3)])
    exact, below = (DecodeSettings(max_pixels=HEIGHT * (WIDTH * 3 - less)) for less in (0, 1))
    assert read_all(VideoReader(path, exact)).images.shape == (3, HEIGHT, WIDTH * 3, 3)
    with pytest.raises(MediaError, match=rf"has frames of {WIDTH * 3}x{HEIGHT} pixels; at most"):
        read_all(VideoReader(path, below))


def test_the_limit_of_pixels_holds_for_the_stored_size(tmp_path: Path) -> None:
    path = write_ratio(tmp_path / "a.mp4", "1/2", [grey_frame(number) for number in range(3)])
    below = DecodeSettings(max_pixels=HEIGHT * WIDTH - 1)
    with pytest.raises(MediaError, match=rf"has frames of {WIDTH}x{HEIGHT} pixels; at most"):
        read_all(VideoReader(path, below))


def test_a_later_ratio_makes_no_frame_larger(tmp_path: Path) -> None:
    path = join(tmp_path / "a.ts", ("1", [quarters()] * 40), ("4", [quarters()] * 40))
    reader = VideoReader(path, DecodeSettings(max_pixels=48 * 64))
    assert read_all(reader).images.shape == (80, 48, 64, 3)
    assert reader.notes == [CHANGES]


def test_the_limit_of_pixels_holds_for_a_size_that_no_header_tells(tmp_path: Path) -> None:
    path = join(tmp_path / "a.ts", ("1", [quarters()] * 40), ("4", [quarters()] * 40))
    reader = VideoReader(path, DecodeSettings(max_pixels=48 * 64), Span(2.4))
    with pytest.raises(MediaError, match=r"a frame of 256x48 pixels \(max_pixels\)"):
        read_all(reader)
