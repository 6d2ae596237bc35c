"""Frames of generated videos: their order, times, colours, cuts and orientation."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.container import open_media
from pipeline.media.frames import DecodeSettings, Frames, MediaError, VideoReader
from tests.pipeline.videos import (
    HEIGHT,
    WIDTH,
    grey_frame,
    number_of,
    numbers_of,
    read_all,
    write_video,
)


def test_every_frame_comes_once_in_order_with_its_time(video: Path) -> None:
    reader = VideoReader(video)
    frames = read_all(reader)
    assert numbers_of(frames) == list(range(23))
    assert frames.times == pytest.approx(np.arange(23) / 25)
    assert frames.images.shape == (23, HEIGHT, WIDTH, 3)
    assert reader.decoded_frames == reader.info.declared_frames == 23
    assert reader.frame_size == (HEIGHT, WIDTH)
    assert reader.problems == []


def test_a_reader_can_be_read_twice(video: Path) -> None:
    reader = VideoReader(video)
    assert numbers_of(read_all(reader)) == numbers_of(read_all(reader))
    assert reader.decoded_frames == 23


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[...] = (200, 100, 30)
    path = write_video(tmp_path / "a.mp4", [image] * 3, pix_fmt="yuv444p")
    assert read_all(VideoReader(path)).images.mean((0, 1, 2)) == pytest.approx(
        [200, 100, 30], abs=4
    )


def test_chunks_are_bounded_in_bytes_and_hold_at_least_a_frame(video: Path) -> None:
    frame = HEIGHT * WIDTH * 3
    sizes = [len(chunk) for chunk in VideoReader(video, DecodeSettings(chunk_bytes=5 * frame + 7))]
    assert sizes == [5, 5, 5, 5, 3]
    assert [len(chunk) for chunk in VideoReader(video, DecodeSettings(chunk_bytes=1))] == [1] * 23


def test_a_chunk_stays_as_it_was_when_the_next_is_read(video: Path) -> None:
    chunks = list(VideoReader(video, DecodeSettings(chunk_bytes=HEIGHT * WIDTH * 3)))
    assert [number_of(chunk.images[0]) for chunk in chunks] == list(range(23))


@pytest.mark.parametrize("key_every", [1, 5, 100])
@pytest.mark.parametrize("rate", [10, 25])
def test_a_cut_is_exact_wherever_key_frames_are(tmp_path: Path, rate: int, key_every: int) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        [grey_frame(i % 20) for i in range(60)],
        rate=rate,
        key_every=key_every,
    )
    frames = read_all(VideoReader(path, None, Span(31 / rate, 37 / rate)))
    assert numbers_of(frames) == [i % 20 for i in range(31, 37)]
    assert frames.times == pytest.approx(np.arange(6) / rate)


def test_an_open_cut_reaches_the_end(video: Path) -> None:
    assert numbers_of(read_all(VideoReader(video, None, Span(0.8)))) == [20, 21, 22]
    assert numbers_of(read_all(VideoReader(video, None, Span(None, 0.1)))) == [0, 1, 2]


def test_a_cut_behind_the_end_says_so(video: Path) -> None:
    with pytest.raises(MediaError, match=r"no frame could be decoded between 5\.0 s and 6\.0 s"):
        read_all(VideoReader(video, None, Span(5.0, 6.0)))


def test_a_cut_that_ends_before_it_starts_is_refused(video: Path) -> None:
    with pytest.raises(MediaError, match=r"end_seconds 1\.0 is not after start_seconds 2\.0"):
        read_all(VideoReader(video, None, Span(2.0, 1.0)))


def test_a_seek_that_lands_too_late_is_made_good(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.media.frames.SEEK_FROM", 0.1)
    path = write_video(video.with_name("b.mkv"), [grey_frame(i) for i in range(23)], key_every=7)
    seek = av.container.InputContainer.seek

    class Late:
        """Passes everything on, but seeks 10 frames too far."""

        def __init__(self, container: av.container.InputContainer) -> None:
            self._container = container

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def __enter__(self) -> Late:
            return self

        def __exit__(self, *error: object) -> None:
            self._container.close()

        def seek(self, offset: int, **how: object) -> None:
            seek(self._container, offset + 400, **how)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr("pipeline.media.frames.open_media", lambda *args: Late(open_media(*args)))
    assert numbers_of(read_all(VideoReader(path, None, Span(0.32, 0.44)))) == [8, 9, 10]


def test_times_count_from_the_earliest_stream(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [grey_frame(i) for i in range(5)],
        pts=[2000 * 25 + 1000 * i for i in range(5)],
        sound=np.zeros((1, 16_000), np.float32),
        sound_start=0.5,
    )
    assert read_all(VideoReader(path)).times == pytest.approx(1.5 + np.arange(5) / 25, abs=0.002)


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 1000, 5000, 5500, 20_000]
    path = write_video(tmp_path / "a.mp4", [grey_frame(i) for i in range(5)], pts=pts)
    assert read_all(VideoReader(path)).times == pytest.approx(np.array(pts) / 25_000, abs=1e-4)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirroring_are_applied(tmp_path: Path, turns: int, mirrored: bool) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 40
    image[:24, 32:] = 90
    image[24:, :32] = 140
    image[24:, 32:] = 190

    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(90 * turns, hflip=mirrored)  # counterclockwise, then mirrored

    path = write_video(tmp_path / "a.mp4", [image] * 3, prepare=turn)
    expected = np.rot90(image, turns)
    if mirrored:
        expected = expected[:, ::-1]
    frames = read_all(VideoReader(path))
    assert frames.images.shape[1:] == expected.shape
    assert np.abs(frames.images[1].astype(int) - expected).mean() < 3


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    one = write_video(tmp_path / "1.ts", [grey_frame(i % 20) for i in range(40)])
    other = write_video(tmp_path / "2.ts", [grey_frame(i, 100, 120) for i in range(7)])
    path = tmp_path / "both.ts"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    reader = VideoReader(path)
    frames = read_all(reader)
    assert frames.images.shape[1:] == (HEIGHT, WIDTH, 3)
    assert numbers_of(frames) == [*range(20), *range(20), *range(7)]
    assert frames.times == pytest.approx(np.arange(47) / 25)
    assert reader.problems == [
        f"the frame size changes at 1.60 s from {WIDTH}x{HEIGHT} to 120x100; "
        "frames are scaled to the first size",
        "jumps back of the clock, with later times shifted: 1",
    ]


def test_the_information_is_known_only_once_reading_began(video: Path) -> None:
    with pytest.raises(RuntimeError, match="was not read yet; iterate over the reader first"):
        _ = VideoReader(video).info


GOOD = np.zeros((2, 3, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "times", "problem"),
    [
        (GOOD[..., :2], [0.0, 1.0], r"images must be \(N, H, W, 3\) uint8, got \(2, 3, 5, 2\)"),
        (GOOD.astype(np.float32), [0.0, 1.0], "images must be .* got .* float32"),
        (GOOD, [0.0], r"times must be \(2,\) float64, got \(1,\)"),
        (GOOD, [0.0, 0.0], "strictly increasing"),
        (GOOD, [0.0, np.nan], "finite"),
    ],
)
def test_frames_check_themselves(images: np.ndarray, times: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Frames(images, np.array(times))
