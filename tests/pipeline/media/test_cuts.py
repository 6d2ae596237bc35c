"""Cuts yield what the whole file has there, in every container and whatever its clock does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.frames import Frames, MediaError, VideoReader
from pipeline.media.packets import decoded_frames
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, read_all, write_video

LENGTH = 70
# Between frames, on a frame's time, in the first second, over the end, of one frame.
SPANS = [(1.0, 1.5), (1.48, 1.52), (2.011, 2.345), (2.6, None), (2.5, 99.0), (1.9, 1.94), (0.3, 2)]
TEXTURE = np.random.default_rng(0).integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
CODECS = {
    "a.mp4": "libx264",
    "b.mp4": "libx265",
    "a.mov": "mpeg4",
    "a.mkv": "libx264",
    "b.mkv": "libx265",
    "a.webm": "libvpx",
    "b.webm": "libvpx-vp9",
    "a.avi": "libx264",
    "b.avi": "mpeg4",
    "a.ts": "libx264",
    "b.ts": "mpeg2video",
    "a.m2ts": "libx265",
    "a.mpg": "mpeg2video",
    "a.vob": "mpeg2video",
    "a.flv": "libx264",
    "b.flv": "flv",
    "a.wmv": "wmv2",
    "a.nut": "libx264",
    "a.mxf": "mpeg2video",
    "b.mxf": "libx264",
    "a.ogv": "libvpx",
    "a.ivf": "libvpx",
    "a.h264": "libx264",
    "a.hevc": "libx265",
    "a.m4v": "mpeg4",
}


def write(path: Path, codec: str = "libx264", *, options: str = "", key_every: int = 12) -> Path:
    """Write textured frames that grow lighter, at 25 a second, with two B-frames between others."""

    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.bit_rate = 2_000_000
        if codec in ("mpeg4", "mpeg2video", "libx264"):
            stream.codec_context.max_b_frames = 2
        if options:
            stream.codec_context.options = {f"{codec[3:]}-params": options}

    return write_video(
        path,
        [TEXTURE + np.uint8(2 * i) for i in range(LENGTH)],
        pts=range(LENGTH),
        codec=codec,
        key_every=key_every,
        prepare=prepare,
    )


def damage(path: Path, place: float) -> Path:
    """Overwrite 40 bytes at a part of a file's length."""
    data = bytearray(path.read_bytes())
    at = round(place * len(data))
    data[at : at + 40] = np.random.default_rng(1).integers(0, 256, 40, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def check_cuts(path: Path, spans: Sequence[tuple[float, float | None]] = SPANS) -> Frames:
    """Compare cuts with the whole, which is returned."""
    whole = read_all(VideoReader(path))
    for start, end in spans:
        wanted = whole.times >= start - 1e-6
        if end is not None:
            wanted &= whole.times < end - 1e-6
        cut = read_all(VideoReader(path, None, Span(start, end)))
        assert cut.times + start == pytest.approx(whole.times[wanted]), (start, end)
        assert (cut.images == whole.images[wanted]).all(), (start, end)
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("name", CODECS)
def test_a_cut_is_the_same_part_of_the_whole(tmp_path: Path, name: str) -> None:
    whole = check_cuts(write(tmp_path / name, CODECS[name]))
    assert len(whole) == LENGTH
    assert np.diff(whole.times) == pytest.approx(1 / 25, abs=0.0011)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", "open-gop=1:bframes=3:b-adapt=0"),
        ("libx264", "intra-refresh=1"),
        ("libx265", "open-gop=1:bframes=4:log-level=none"),
    ],
)
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_the_first_frames_of_a_cut_have_their_references(
    tmp_path: Path, suffix: str, codec: str, options: str
) -> None:
    spans = [(i / 25, (i + 3) / 25) for i in range(34, 64, 3)]
    check_cuts(write(tmp_path / f"a.{suffix}", codec, options=options), spans)


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mpg"])
def test_a_cut_of_joined_files_is_in_the_time_of_the_whole(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    one = write(tmp_path / f"1.{suffix}", codec)
    other = write(tmp_path / f"2.{suffix}", codec, key_every=9)
    path = tmp_path / f"both.{suffix}"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    whole = check_cuts(path, [(1.0, 1.5), (2.7, 2.9), (3.8, 4.3), (5.0, None)])
    assert len(whole) == 2 * LENGTH


def test_a_cut_far_behind_its_keyframe_is_read_without_holding_all_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.media.packets.MAX_HELD_BYTES", 2000)
    check_cuts(write(tmp_path / "a.ts", key_every=60))


def test_a_cut_of_a_clock_that_runs_over_is_in_the_time_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"  # 33 bits at 90 kHz run over 1.7 s after its start
    source = write(tmp_path / "a.mp4")
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = writing.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = round(95_442 / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = stream
                writing.mux(packet)
    whole = check_cuts(path)
    assert whole.times == pytest.approx(np.arange(LENGTH) / 25)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi"])
def test_a_cut_of_a_damaged_file_is_the_same_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", "mpeg4" if suffix == "avi" else "libx264")
    check_cuts(damage(path, 0.5), [(2.0, 2.3), (2.4, None)])


def test_damage_before_the_keyframe_of_a_cut_is_none_of_it(tmp_path: Path) -> None:
    path = damage(write(tmp_path / "a.mp4", "mpeg4"), 0.25)
    whole, cut = VideoReader(path), VideoReader(path, None, Span(2.2, 2.6))
    read_all(whole)
    read_all(cut)
    assert whole.problems
    assert cut.problems == []


def test_damage_before_a_keyframe_is_forgotten_where_all_is_decoded(tmp_path: Path) -> None:
    path = damage(write(tmp_path / "a.mp4", "mpeg4"), 0.1)
    whole, cut = VideoReader(path), VideoReader(path, None, Span(0.96, 1.4))
    read_all(whole)
    assert len(read_all(cut)) == 11
    assert whole.problems
    assert cut.problems == []


@pytest.mark.parametrize("left_out", [0, 1, LENGTH])
def test_frames_behind_a_seek_are_taken_only_from_a_keyframe_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    passes: list[float | None] = []

    def decoded(*args: Any) -> Iterator[Any]:
        passes.append(args[3])
        return islice(decoded_frames(*args), 0 if args[3] is None else left_out, None)

    monkeypatch.setattr("pipeline.media.frames.decoded_frames", decoded)
    cut = read_all(VideoReader(write(tmp_path / "a.mp4"), None, Span(1.6, 1.8)))
    assert len(cut) == 5
    assert passes == [1.6, None][: 1 + bool(left_out)]


@pytest.mark.parametrize(
    ("span", "why"),
    [
        (Span(1.6 + 0.01, 1.6 + 0.02), r"its frames around are at 1\.60 s and 1\.64 s"),
        (Span(3.0, 4.0), r"its last frame is at 2\.76 s"),
        (Span(3.0, None), r"its last frame is at 2\.76 s"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.h264"])
def test_a_cut_without_a_frame_says_where_frames_are(
    tmp_path: Path, name: str, span: Span, why: str
) -> None:
    path = write(tmp_path / name)
    with pytest.raises(MediaError, match=why):
        read_all(VideoReader(path, None, span))


def test_a_cut_before_the_first_frame_says_where_it_is(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [grey_frame(i) for i in range(5)],
        pts=[3000 * 25 + 1000 * i for i in range(5)],
        sound=np.zeros((1, 80_000), np.float32),
    )
    with pytest.raises(MediaError, match=r"its first frame is at 3\.0\d s"):
        read_all(VideoReader(path, None, Span(1.5, 2.0)))


def test_a_cut_behind_damage_in_its_middle_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4")
    whole = read_all(VideoReader(path))
    read = VideoReader._read

    def doubts(self: VideoReader, *, seek: bool) -> object:
        for number, image in enumerate(read(self, seek=seek)):
            if seek and number == 3:
                from pipeline.media.container import SeekMissedError

                raise SeekMissedError
            yield image

    monkeypatch.setattr(VideoReader, "_read", doubts)
    reader = VideoReader(path, None, Span(1.6, 2.0))
    cut = read_all(reader)
    assert (cut.images == whole.images[40:50]).all()
    assert reader.decoded_frames == 10
