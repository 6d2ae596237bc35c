"""AVI stores no presentation times: with B-frames they follow from the order of decoding."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cache.span import Span
from pipeline.media.frames import VideoReader
from tests.pipeline.videos import grey_frame, number_of, numbers_of, read_all, write_video

LENGTH = 60


def write_avi(path: Path, codec: str) -> Path:
    """Write numbered frames, with two B-frames between others; an AVI counts in frames."""

    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.max_b_frames = 2
        stream.codec_context.bit_rate = 4_000_000

    return write_video(
        path,
        [grey_frame(i % 20) for i in range(LENGTH)],
        pts=range(LENGTH),
        codec=codec,
        prepare=prepare,
    )


def is_reordered(path: Path) -> bool:
    with av.open(str(path)) as container:
        return any(frame.pict_type == 3 for frame in container.decode(video=0))


def test_the_frames_of_h264_with_b_frames_are_a_25th_apart(faults: Path) -> None:
    reader = VideoReader(faults / "avi-b-frames" / "h264.avi")
    times = np.concatenate([chunk.times for chunk in reader])
    assert times * 25 == pytest.approx(np.arange(60))
    assert reader.problems == []


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_every_frame_has_the_time_it_was_written_for(tmp_path: Path, codec: str) -> None:
    path = write_avi(tmp_path / "a.avi", codec)
    assert is_reordered(path)
    reader = VideoReader(path)
    frames = read_all(reader)
    assert numbers_of(frames) == [i % 20 for i in range(LENGTH)]
    assert frames.times * 25 == pytest.approx(np.arange(LENGTH))
    assert reader.problems == []


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_cut_is_placed_where_the_whole_has_it(tmp_path: Path, codec: str) -> None:
    path = write_avi(tmp_path / "a.avi", codec)
    for first in (28, 37, 48, 55):
        frames = read_all(VideoReader(path, None, Span(first / 25, (first + 5) / 25)))
        assert numbers_of(frames) == [(first + i) % 20 for i in range(5)]
        assert frames.times * 25 == pytest.approx(np.arange(5))


def test_made_up_pts_of_another_container_give_way_to_the_dts(tmp_path: Path) -> None:
    source = write_avi(tmp_path / "a.avi", "libx264")
    path = tmp_path / "copied.mp4"  # as `ffmpeg -i a.avi -c copy copied.mp4` writes it
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = writing.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.size:
                packet.pts, packet.stream = packet.dts, stream
                writing.mux(packet)
    reader = VideoReader(path)
    frames = read_all(reader)
    assert [number_of(image) for image in frames.images] == [i % 20 for i in range(LENGTH)]
    assert frames.times * 25 == pytest.approx(np.arange(LENGTH))
    assert reader.problems == []
    cut = read_all(VideoReader(path, None, Span(37 / 25, 42 / 25)))
    assert numbers_of(cut) == [(37 + i) % 20 for i in range(5)]
