"""Empty packets say that the frame before is shown longer; they don't end the picture."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.frames import VideoReader
from tests.pipeline.videos import grey_frame, numbers_of, read_all, write_video


def test_the_frames_behind_an_empty_packet_of_theora_are_read(faults: Path) -> None:
    reader = VideoReader(faults / "empty-packet" / "g.ogv")
    times = np.concatenate([chunk.times for chunk in reader])
    assert len(times) == 287  # ffprobe -count_frames
    assert times[:3] * 24_000 / 1001 == pytest.approx([0, 2, 3])  # the second is an empty packet
    assert reader.problems == []


def test_the_frames_behind_an_empty_packet_that_was_put_in_are_read(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is absent; it writes Theora, which PyAV can't")
    source = write_video(tmp_path / "a.mkv", [grey_frame(i) for i in range(7)])
    path = tmp_path / "a.ogv"
    words = ["-i", str(source), "-c:v", "libtheora", "-q:v", "10", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *words], check=True, timeout=60)
    path.write_bytes(_with_empty_packets(path.read_bytes()))
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    assert 0 in sizes[:-1]  # the last is the end of the stream
    reader = VideoReader(path)
    assert numbers_of(read_all(reader)) == list(range(7))
    assert reader.problems == []


def test_frames_that_an_avi_shows_again_are_no_loss(tmp_path: Path) -> None:
    shown = [0, 3, 4, 7, 8, 11]  # the AVI writer fills the gaps with chunks of no bytes
    path = write_video(
        tmp_path / "a.avi",
        [grey_frame(i) for i in shown],
        pts=shown,
        codec="mpeg4",
        prepare=lambda stream: setattr(stream.codec_context, "time_base", Fraction(1, 25)),
    )
    reader = VideoReader(path)
    frames = read_all(reader)
    assert numbers_of(frames) == shown
    assert frames.times * 25 == pytest.approx(shown)
    assert reader.info.declared_frames == 12
    assert reader.problems == []


def _with_empty_packets(ogg: bytes) -> bytes:
    """Put an empty packet behind the first one of every page that holds frames."""
    pages = [b"OggS" + page for page in ogg.split(b"OggS")[1:]]
    return b"".join(pages[:2] + [_lengthened(page) for page in pages[2:]])


def _lengthened(page: bytes) -> bytes:
    lengths, data = page[27 : 27 + page[26]], page[27 + page[26] :]
    first = next(i for i, length in enumerate(lengths) if length < 255) + 1
    longer = bytearray(page[:26]) + bytes([len(lengths) + 1])
    longer += lengths[:first] + b"\0" + lengths[first:] + data
    longer[22:26] = bytes(4)
    longer[22:26] = _crc(bytes(longer)).to_bytes(4, "little")
    return bytes(longer)


def _crc(data: bytes) -> int:
    """Return the checksum of Ogg: CRC-32 of 0x04C11DB7, most significant bit first, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc
