"""Still pictures: told from videos, and made videos of one frame that hold the same pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.manifest.clip import Clip
from pipeline.media.frames import VideoReader
from pipeline.predict.picture import Picture, film_picture, film_pictures, is_picture
from tests.pipeline.videos import grey_frame, write_video

HEIGHT, WIDTH = 23, 37
RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def filmed(path: Path, folder: Path, max_pixels: int = 10_000) -> tuple[np.ndarray, Picture]:
    """The one frame of a picture's video."""
    picture = film_picture(path, folder / "p.nut", max_pixels)
    assert picture.video is not None, picture.why
    reader = VideoReader(picture.video)
    (frames,) = reader
    assert (len(frames), reader.problems, frames.times.tolist()) == (1, [], [0.0])
    return frames.images[0], picture


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm", "webp"])
def test_the_frame_has_the_pictures_pixels(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{kind}"
    Image.fromarray(PIXELS).save(path, lossless=True)  # which WebP alone looks at
    assert is_picture(path)
    frame, picture = filmed(path, tmp_path)
    np.testing.assert_array_equal(frame, PIXELS)
    assert picture.why == ()


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_picture_is_turned_as_its_camera_was_held(turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn  # Orientation, EXIF 2.3: the side that the first row and column show
    Image.fromarray(PIXELS).save(tmp_path / "p.png", exif=exif)
    shown = {1: PIXELS, 3: PIXELS[::-1, ::-1], 6: np.rot90(PIXELS, -1), 8: np.rot90(PIXELS)}
    np.testing.assert_array_equal(filmed(tmp_path / "p.png", tmp_path)[0], shown[turn])


def test_pixels_of_any_kind_become_rgb(tmp_path: Path) -> None:
    grey = PIXELS[:, :, 0]
    alpha = np.dstack([PIXELS, np.where(grey > 127, 255, 0)]).astype(np.uint8)
    cases = {
        "grey.png": (Image.fromarray(grey), np.dstack([grey] * 3)),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 257), np.dstack([grey] * 3)),
        "alpha.png": (Image.fromarray(alpha), PIXELS * (alpha[..., 3:] == 255)),
        "bits.png": (Image.fromarray(grey > 127), np.dstack([np.where(grey > 127, 255, 0)] * 3)),
        "palette.png": (Image.fromarray(grey).convert("P"), np.dstack([grey] * 3)),
        "print.tiff": (
            Image.merge("CMYK", [Image.fromarray(255 - c) for c in (*PIXELS.T, 0 * grey.T + 255)]),
            PIXELS.swapaxes(0, 1),
        ),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        np.testing.assert_array_equal(filmed(tmp_path / name, tmp_path)[0], expected, name)
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    frame, _ = filmed(tmp_path / "print.jpg", tmp_path)
    assert np.abs(frame.astype(int) - PIXELS).mean() < 20  # subsampled colours of noise


@pytest.mark.parametrize("kind", ["png", "webp", "avif", "tiff"])
def test_of_an_animation_the_first_picture_is_taken_and_that_is_said(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    frames = [Image.fromarray(grey_frame(n, HEIGHT, WIDTH)) for n in (3, 9, 15)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert is_picture(path)
    frame, picture = filmed(path, tmp_path)
    assert picture.why == ("only the first of its 3 pictures was looked at",)
    assert abs(frame.astype(int) - grey_frame(3, HEIGHT, WIDTH)).max() <= 3


def test_a_large_picture_is_scaled_down_and_a_huge_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (200, 100), (10, 60, 110)).save(tmp_path / "p.png")
    frame, _ = filmed(tmp_path / "p.png", tmp_path, max_pixels=5000)
    assert frame.shape == (50, 100, 3)
    assert (frame == (10, 60, 110)).all()
    monkeypatch.setattr("pipeline.predict.picture.MAX_PIXELS", 19_999)
    refused = film_picture(tmp_path / "p.png", tmp_path / "r.nut", 5000)
    assert refused.video is None
    assert refused.why[0].endswith("it has 200 x 100 pixels, more than 19999")
    assert not (tmp_path / "r.nut").exists()


def test_pictures_leave_the_disk_before_they_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["0.png", "1.png", "2.mp4", "3.png", "4.jpg", "5.png"]
    for name in names:
        Image.fromarray(PIXELS).save(tmp_path / name, "PNG")
    write_video(tmp_path / "2.mp4", [grey_frame(1)])
    (tmp_path / "4.jpg").write_bytes(b"\xff\xd8\xff and no more")
    monkeypatch.setattr("pipeline.predict.picture.BATCH_BYTES", PIXELS.nbytes * 3 // 2)
    clips = [Clip(name[0], tmp_path / name) for name in names]
    (tmp_path / "made").mkdir()
    batches = []
    for batch, pictures in film_pictures(clips, tmp_path / "made", 10_000):
        there = sorted(path.stem for path in (tmp_path / "made").iterdir())
        batches.append(([clip.id for clip in batch], list(pictures), there))
        assert all(clip.path.is_file() for clip in batch)
    assert batches == [
        (["0", "1"], ["0", "1"], ["0", "1"]),
        (["2", "3", "5"], ["3", "4", "5"], ["3", "5"]),
        ([], [], []),
    ]


def test_a_damaged_picture_says_so(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "p.jpg")
    whole = (tmp_path / "p.jpg").read_bytes()
    for size in (len(whole) // 2, 30):
        (tmp_path / "p.jpg").write_bytes(whole[:size])
        assert is_picture(tmp_path / "p.jpg")
        picture = film_picture(tmp_path / "p.jpg", tmp_path / "p.nut", 5000)
        assert picture.video is None
        assert picture.why[0].startswith(f"{tmp_path / 'p.jpg'} is a picture that can't be read: ")


def test_what_is_no_picture_is_left_to_the_decoder(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG")
    (tmp_path / "a.mjpeg").write_bytes(stream.getvalue() * 30)
    frames = [Image.fromarray(grey_frame(n)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    write_video(tmp_path / "a.mp4", [grey_frame(1)])
    (tmp_path / "a.txt").write_text("GIF8 and no picture")
    (tmp_path / "bad.gif").write_bytes(b"GIF89a and no picture")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    found = {path.name: is_picture(path) for path in (*tmp_path.iterdir(), tmp_path / "gone.jpg")}
    assert [name for name, picture in found.items() if picture] == ["still.gif"]
    assert not is_picture(tmp_path)
