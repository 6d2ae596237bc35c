"""AVI stores no presentation times: with B-frames they follow from the order of decoding."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cache.manifest.span import Span
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


def test_an_avi_that_counts_in_half_frames_lacks_none(tmp_path: Path) -> None:
    """FFmpeg copies H.264 into AVI so: its stamps are 0, 2, 4 ..., and it declares 120 frames."""
    source, path = write_avi(tmp_path / "a.avi", "libx264"), tmp_path / "halves.avi"
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = writing.add_stream_from_template(reading.streams.video[0])
        stream.time_base = Fraction(1, 50)
        for number, packet in enumerate(reading.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = 2 * number
                packet.time_base, packet.duration, packet.stream = Fraction(1, 50), 2, stream
                writing.mux(packet)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 2 * LENGTH
    reader = VideoReader(path)
    assert read_all(reader).times * 25 == pytest.approx(np.arange(LENGTH))
    assert reader.problems == []


def test_an_avi_written_into_a_pipe_declares_no_count(tmp_path: Path) -> None:
    """FFmpeg can't go back to fill it in and leaves 2**30."""
    path = write_avi(tmp_path / "a.avi", "mpeg4")
    data = path.read_bytes()
    counted = LENGTH.to_bytes(4, "little")
    header, rest = data[:400], data[400:]
    assert header.count(counted) >= 2
    path.write_bytes(header.replace(counted, (1 << 30).to_bytes(4, "little")) + rest)
    reader = VideoReader(path)
    assert len(read_all(reader)) == LENGTH
    assert reader.info.declared_frames is None


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
