"""Notes on a picture, and the colours that each kind of file is read in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.frames import VideoReader
from tests.pipeline.videos import grey_frame, read_all, write_video

BT709, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 1, 5, 6, 7, 9  # AVColorSpace
PQ, HLG, LIKE_709 = 16, 18, 1  # AVColorTransferCharacteristic
FULL = 2  # AVCOL_RANGE_JPEG
# Share of red and of blue in brightness: ITU-R BT.601, BT.709, BT.2020; SMPTE 240M.
SHARES = {
    None: (0.299, 0.114),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    BT709: (0.2126, 0.0722),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}


def tagged(**tags: int) -> Callable[[av.VideoStream], None]:
    def prepare(stream: av.VideoStream) -> None:
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)

    return prepare


def notes_of(path: Path) -> list[str]:
    reader = VideoReader(path)
    read_all(reader)
    assert reader.problems == []
    return [note.split(":")[0] for note in reader.notes]


@pytest.mark.parametrize(
    ("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG"), (LIKE_709, ""), (None, "")]
)
def test_hdr_is_noted(tmp_path: Path, transfer: int | None, name: str) -> None:
    tags = tagged(colorspace=BT2020, **({"color_trc": transfer} if transfer else {}))
    images = [grey_frame(number) for number in range(3)]
    path = write_video(tmp_path / "a.mp4", images, prepare=tags)
    reader = VideoReader(path)
    read_all(reader)
    expected = f"hdr: brightness is coded as {name} and is read without tone mapping"
    assert reader.notes == ([expected] if name else [])


@pytest.mark.parametrize(
    ("size", "pix_fmt", "space", "noted"),
    [
        ((720, 64), "yuv420p", None, True),
        ((64, 1280), "yuv420p", None, True),  # a film's wide picture
        ((718, 1278), "yuv420p", None, False),
        ((720, 64), "yuv420p", BT709, False),
        ((720, 64), "yuv420p", SMPTE170M, False),
        ((720, 64), "yuvj420p", None, True),
        ((720, 64), "gray", None, False),
        ((720, 64), "rgb24", None, False),
    ],
)
def test_hd_without_a_colour_matrix_is_noted(
    tmp_path: Path, size: tuple[int, int], pix_fmt: str, space: int | None, noted: bool
) -> None:
    codec = "png" if pix_fmt in ("gray", "rgb24") else "libx264"
    tags = tagged(colorspace=space) if space else None
    images = [grey_frame(number, *size) for number in range(2)]
    path = write_video(tmp_path / "a.mov", images, codec=codec, pix_fmt=pix_fmt, prepare=tags)
    assert notes_of(path) == (["untagged hd"] if noted else [])


def test_an_interlaced_picture_is_noted_and_read_as_it_is(tmp_path: Path) -> None:
    images = [grey_frame(number, 64, 64) for number in range(9)]

    def interlaced(stream: av.VideoStream) -> None:
        stream.options = {"x264-params": "tff=1", "g": "12"}

    path = write_video(tmp_path / "a.mp4", images, prepare=interlaced)
    reader = VideoReader(path)
    frames = read_all(reader)
    assert reader.notes == [
        "interlaced: frames are marked as interlaced, each of two moments; they are read as they "
        "are, not deinterlaced"
    ]
    assert len(frames) == 9


@pytest.mark.parametrize(("order", "noted"), [(0, False), (1, False), (2, True), (5, True)])
def test_a_header_that_says_interlaced_is_believed(tmp_path: Path, order: int, noted: bool) -> None:
    if not hasattr(av.CodecContext.create("mjpeg", "r"), "field_order"):
        pytest.skip("this PyAV tells no order of fields")
    images = [grey_frame(number) for number in range(3)]
    tags = tagged(field_order=order, color_range=FULL)
    path = write_video(tmp_path / "a.mkv", images, codec="mjpeg", pix_fmt="yuvj420p", prepare=tags)
    assert notes_of(path) == (["interlaced"] if noted else [])


@pytest.mark.parametrize("space", SHARES)
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_read_by_the_matrix_that_is_stated_else_by_bt601(
    tmp_path: Path, space: int | None, full: bool
) -> None:
    red_share, blue_share = SHARES[space]
    colours = np.array([[235, 20, 30], [10, 200, 60], [40, 50, 220], [180, 180, 180]])
    rgb = colours / 255
    luma = rgb @ [red_share, 1 - red_share - blue_share, blue_share]
    blue = (rgb[:, 2] - luma) / (2 - 2 * blue_share)
    red = (rgb[:, 0] - luma) / (2 - 2 * red_share)
    planes = np.stack([luma, blue, red])
    scale, offset = ((255, 255, 255), (0, 128, 128)) if full else ((219, 224, 224), (16, 128, 128))
    coded = np.rint(planes * np.array(scale)[:, None] + np.array(offset)[:, None])
    # Four columns of 16 pixels, a colour each, in full resolution of all planes.
    yuv = np.repeat(coded.astype(np.uint8), 16, axis=1)[:, None, :].repeat(48, axis=1)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv444p"
        stream.codec_context.color_range = FULL if full else 1
        if space:
            stream.codec_context.colorspace = space
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(yuv), format="yuv444p")
            frame.colorspace, frame.color_range = space or 2, FULL if full else 1
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (image, *_) = read_all(VideoReader(path)).images
    assert np.abs(image[20, 8::16].astype(int) - colours).max() <= 2
