"""Images of every kind become RGB or grey squares; what can't be read is named."""

from __future__ import annotations

import errno
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.stills.images.image_files import (
    ImageError,
    ImageFile,
    Reading,
    cut,
    open_rgb,
    read_image,
    read_images,
)
from trainer.stills.images.parts import StillsError
from trainer.stills.settings import DataSettings

MAX = 10_000_000
# Levels of the four quarters: left to right, then down.
QUARTERS = np.array([[10, 80], [150, 220]], np.uint8)


def quarters(size: int = 8) -> np.ndarray:
    return np.kron(QUARTERS, np.ones((size // 2, size // 2), np.uint8))


def saved(path: Path, image: Image.Image, **options: object) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(open_rgb(path, MAX))


def corners(pixels: np.ndarray) -> list[list[int]]:
    return pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()


GREY = [[10] * 3, [80] * 3, [150] * 3, [220] * 3]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "webp", "pgm"])
def test_a_grey_image_has_its_level_three_times(suffix: str, tmp_path: Path) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    pixels = saved(tmp_path / f"a.{suffix}", Image.fromarray(quarters()), **options)
    assert corners(pixels) == GREY
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_cut_off(suffix: str, tmp_path: Path) -> None:
    deep = quarters().astype(np.uint16) * 257
    pixels = saved(tmp_path / f"deep.{suffix}", Image.fromarray(deep))
    assert corners(pixels) == GREY


def test_an_image_of_32_bit_integers_is_taken_as_16_bits() -> None:
    from trainer.stills.images.image_files import to_rgb

    values = np.array([[0, 257 * 100], [65535, 70000]], np.int32)
    assert np.asarray(to_rgb(Image.fromarray(values)))[..., 0].tolist() == [[0, 100], [255, 255]]


def test_transparent_pixels_become_black_whatever_lies_below(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[:2, :, 3], rgba[2:, :, 3] = 0, 255
    assert (
        corners(saved(tmp_path / "a.png", Image.fromarray(rgba))) == [[0] * 3] * 2 + [[200] * 3] * 2
    )
    grey = rgba[..., 2:]
    pixels = saved(
        tmp_path / "b.png",
        Image.merge("LA", [Image.fromarray(band) for band in np.moveaxis(grey, 2, 0)]),
    )
    assert corners(pixels)[0] == [0] * 3
    palette = Image.fromarray(quarters()).convert("P")
    pixels = saved(tmp_path / "c.png", palette, transparency=palette.getpixel((0, 0)))
    assert corners(pixels)[0] == [0] * 3
    assert corners(pixels)[3] == [220] * 3


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert saved(tmp_path / "a.png", image).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    image = Image.fromarray(quarters() > 100)
    assert corners(saved(tmp_path / "a.png", image))[1:3] == [[0] * 3, [255] * 3]


def test_cmyk_becomes_the_colour_that_it_prints(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    pixels = saved(tmp_path / "a.jpg", cyan, quality=100)
    assert np.abs(pixels[4, 4].astype(int) - [0, 255, 255]).max() <= 3
    black = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    assert saved(tmp_path / "b.tif", black)[4, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (1, [10, 80, 150, 220]),
        (2, [80, 10, 220, 150]),  # mirrored
        (3, [220, 150, 80, 10]),  # half a turn
        (6, [150, 10, 220, 80]),  # to be turned clockwise
        (8, [80, 220, 10, 150]),
    ],
)
def test_an_image_is_turned_as_its_exif_says(tag: int, expected: list[int], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    pixels = saved(tmp_path / "a.png", Image.fromarray(quarters()), exif=exif)
    assert [level for level, *_ in corners(pixels)] == expected


def test_shrinking_does_not_alias_and_grey_is_luma(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "a.png")
    file = ImageFile("a", tmp_path / "a.png", 0)
    pixels, _ = read_image(file, Reading(DataSettings(), 5, grey=True))
    assert pixels.shape == (5, 5)
    assert np.abs(pixels.astype(int) - 127).max() < 15
    Image.new("RGB", (6, 6), (255, 0, 0)).save(tmp_path / "a.png")
    assert set(read_image(file, Reading(DataSettings(), 5, grey=True))[0].ravel()) == {76}
    assert read_image(file, Reading(DataSettings(), 5, grey=False))[0].shape == (5, 5, 3)


def test_a_box_is_cut_as_a_square_around_it_and_black_beyond_the_edge() -> None:
    image = Image.new("RGB", (20, 10), (255, 255, 255))
    # 4 wide and 6 high around (10, 5): the square of 6.
    assert cut(image, (8, 2, 12, 8), 0.0).size == (6, 6)
    assert cut(image, (8, 2, 12, 8), 0.5).size == (9, 9)
    edge = np.asarray(cut(image, (-4, 2, 4, 10), 0.0))[..., 0]
    assert edge.shape == (8, 8)
    assert edge[:, :4].max() == 0
    assert edge[:, 4:].min() == 255


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 9),
        (9, 5, 5, 9),
        (30, 0, 40, 5),
        (0, -9, 5, 0),
        (0, 0, 1e9, 1e9),
        (float("nan"), 0, 5, 5),
    ],
)
def test_a_box_that_lies_nowhere_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ImageError, match=r"its face box .* does not lie in its 20 x 10 pixels"):
        cut(Image.new("RGB", (20, 10)), box, 0.0)


def write_huge_png(path: Path, side: int) -> None:
    """A PNG that claims many pixels and holds none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_each_unreadable_image_says_why(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(quarters(64)).save(good)
    cases = {
        "empty.jpg": (b"", "no image of a known format"),
        "text.jpg": (b"hello", "no image of a known format"),
        "cut.png": (good.read_bytes()[:90], r"\w+Error"),
        "page.jpg": (b"<html>", "no image of a known format"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "no image of a known"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=reason):
            open_rgb(tmp_path / name, MAX)
    write_huge_png(tmp_path / "bomb.png", 4000)
    with pytest.raises(ImageError, match="it has 4000 x 4000 pixels, more than 10000000"):
        open_rgb(tmp_path / "bomb.png", MAX)
    write_huge_png(tmp_path / "bomb.png", 20000)
    with pytest.raises(ImageError, match=r"DecompressionBombError|it has 20000"):
        open_rgb(tmp_path / "bomb.png", MAX)
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match="floating-point numbers; expected 8 or 16 bits"):
        open_rgb(tmp_path / "float.tif", MAX)
    with pytest.raises(OSError, match="nowhere"):
        open_rgb(tmp_path / "nowhere.png", MAX)


def make_files(folder: Path, count: int, broken: tuple[int, ...]) -> list[ImageFile]:
    files = []
    for number in range(count):
        path = folder / f"{number:03}.png"
        Image.new("L", (4, 4), number).save(path)
        if number in broken:
            path.write_bytes(path.read_bytes()[:20])
        files.append(ImageFile(path.name, path, 0))
    return files


def test_one_unreadable_image_is_named_skipped_and_counted(tmp_path: Path) -> None:
    files = make_files(tmp_path, 100, broken=(37,))
    heard: list[tuple[int, int]] = []

    def hear(done: int, total: int) -> None:
        heard.append((done, total))

    read = read_images(files, Reading(DataSettings(), 4, grey=True, hear=hear))
    assert [image.name for image in read.unreadable] == ["037.png"]
    # The others stay in order, each beside its own place.
    assert read.images[:, 0, 0].tolist() == read.kept.tolist()
    assert read.kept.tolist() == [n for n in range(100) if n != 37]
    assert heard[-1] == (100, 100)


def test_too_many_unreadable_images_stop_before_the_training(tmp_path: Path) -> None:
    files = make_files(tmp_path, 100, broken=(3, 37))
    with pytest.raises(StillsError, match=r"2 of 100 images .* more than 1.00% .*003.png, 037.png"):
        read_images(files, Reading(DataSettings(), 4, grey=True))
    allowed = Reading(DataSettings(max_unreadable=0.02), 4, grey=True)
    assert len(read_images(files, allowed).images) == 98


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "x")]
)
def test_an_image_that_this_machine_cannot_read_now_is_not_left_out(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was, of a hundred one without a word, and another network came out."""
    files = make_files(tmp_path, 100, broken=())
    real = Image.open

    def fail_once(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(Image, "open", real)
        raise error

    monkeypatch.setattr(Image, "open", fail_once)
    with pytest.raises(StillsError, match=r"\.png can't be read now: .*; end other programs or"):
        read_images(files, Reading(DataSettings(), 4, grey=True))


def test_an_aligner_cuts_the_face_out_and_images_without_one_stay_whole(tmp_path: Path) -> None:
    files = make_files(tmp_path, 5, broken=())

    def align(image: np.ndarray) -> np.ndarray | None:
        level = int(image[0, 0, 0])
        return None if level == 2 else np.full((4, 4, 3), 100 + level, np.uint8)

    read = read_images(files, Reading(DataSettings(), 4, grey=True, align=align))
    assert read.images[:, 0, 0].tolist() == [100, 101, 2, 103, 104]
    assert read.without_face == 1


def test_no_images_are_no_error() -> None:
    assert read_images([], Reading(DataSettings(), 4, grey=False)).images.shape == (0, 4, 4, 3)
