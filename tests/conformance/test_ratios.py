"""The picture as it is shown: sample aspect ratios, alone and with quarter turns and mirrors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.making import Recipe, Studio, h264, x264_like
from tests.conformance.reading import see
from tests.conformance.reference import pixels, shown_size
from tests.conformance.signals import HEIGHT, WIDTH

RATIOS = ("64:45", "16:11", "8:9", "4:3", "2:1", "1:2", "0:1", "1:1")
MPEG4 = x264_like("mpeg4", 12, 0, "-q:v", "3")
FILES = {
    "mpeg2 in ps": (".mpg", x264_like("mpeg2video", 12, 2, "-q:v", "3")),
    "h264 in mp4": (".mp4", h264()),
    "h264 in mkv": (".mkv", h264()),
    "mpeg4 in avi": (".avi", MPEG4),
    "h264 in ts": (".ts", h264()),
}
# Stored pixel (x, y) to shown pixel, as the matrix of an MP4's track header has it.
TURNS = {
    "upright": (1, 0, 0, 1),
    "turned by 90": (0, 1, -1, 0),
    "turned by 180": (-1, 0, 0, -1),
    "turned by 270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed and turned": (0, -1, -1, 0),
}
# Levels of 255 in the mean, where a picture is scaled: FFmpeg's scalers differ between versions in
# the last bit, and before a quarter turn from behind it at the edges of the blocks. Else it is 0.
ALIKE = 1.0


def ratio_recipe(suffix: str, video: tuple[str, ...], ratio: str) -> Recipe:
    return Recipe(suffix, (*video, "-vf", f"setsar={ratio.replace(':', '/')}"), frames=6)


def check_shown(path: Path, wanted: Fraction) -> None:
    """Compare size and pixels with what ffmpeg shows; ``wanted`` is width over height."""
    seen = see(path)
    height, width = seen.images.shape[1:3]
    # One side is kept, and the other is rounded: by half a pixel, or to an even number.
    assert abs(width - float(height * wanted)) <= max(1.0, float(wanted))
    shown = pixels(path, (height, width))
    assert len(seen.images) == len(shown)
    difference = np.abs(seen.images.astype(int) - shown).mean(axis=(1, 2, 3))
    assert difference.max() <= (0 if {height, width} == {HEIGHT, WIDTH} else ALIKE)
    assert seen.problems == ()


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("file", FILES)
def test_a_picture_has_the_shape_that_it_is_shown_in(studio: Studio, file: str, ratio: str) -> None:
    path = studio.make(ratio_recipe(*FILES[file], ratio))
    shown_height, shown_width = shown_size(path)
    check_shown(path, Fraction(shown_width, shown_height))
    if not file.startswith("mpeg2") and ratio != "0:1":  # MPEG-2 has four ratios of its own
        assert abs(shown_width - WIDTH * Fraction(*map(int, ratio.split(":")))) < 1


@pytest.mark.parametrize("ratio", ["1:1", "16:11", "1:2"])
@pytest.mark.parametrize("turn", TURNS)
def test_a_picture_is_stretched_before_it_is_turned(
    studio: Studio, turn: str, ratio: str, tmp_path: Path
) -> None:
    path = tmp_path / "turned.mp4"
    path.write_bytes(
        with_matrix(studio.make(ratio_recipe(".mp4", h264(), ratio)).read_bytes(), TURNS[turn])
    )
    shape = Fraction(WIDTH, HEIGHT) * Fraction(*map(int, ratio.split(":")))
    check_shown(path, 1 / shape if TURNS[turn][0] == 0 else shape)


def with_matrix(mp4: bytes, turn: tuple[int, int, int, int]) -> bytes:
    """Write another matrix into an MP4's only track header: its nine numbers end at byte 84."""
    at = mp4.index(b"tkhd") + 4 + 40
    a, b, c, d = (number << 16 for number in turn)
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4")
    return mp4[:at] + matrix.tobytes() + mp4[at + 36 :]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("container_ratio", ["2:1", "1:1", "8:9"])
def test_the_container_s_ratio_goes_before_the_codec_s(
    studio: Studio, suffix: str, container_ratio: str
) -> None:
    inner = studio.make(ratio_recipe(".mp4", h264(), "16:11"))
    shape = Fraction(WIDTH, HEIGHT) * Fraction(*map(int, container_ratio.split(":")))
    words = ("-i", str(inner), "-c", "copy", "-aspect", f"{shape.numerator}:{shape.denominator}")
    path = studio.run(*words, suffix=suffix)
    shown_height, shown_width = shown_size(path)
    check_shown(path, Fraction(shown_width, shown_height))


@pytest.mark.parametrize("then", ["16:11", "1:2"])
@pytest.mark.parametrize("file", ["h264 in ts", "mpeg2 in ps"])
def test_a_ratio_that_changes_keeps_the_first_shape_and_is_noted(
    studio: Studio, file: str, then: str, tmp_path: Path
) -> None:
    suffix, video = FILES[file]
    parts = [studio.make(ratio_recipe(suffix, video, ratio)) for ratio in ("1:1", then)]
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    seen = see(path)
    assert seen.images.shape[1:3] == (HEIGHT, WIDTH)
    assert seen.numbers == [*range(6), *range(6)]
    assert any("ratio" in note for note in seen.notes)
