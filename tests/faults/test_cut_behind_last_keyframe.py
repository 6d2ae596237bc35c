"""A cut yields what the whole file has there, wherever its last keyframe is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.frames import VideoReader
from tests.pipeline.videos import grey_frame, numbers_of, read_all, write_video


def test_the_frames_from_4_to_4_and_a_half_seconds_are_read(faults: Path) -> None:
    path = faults / "cut-behind-last-keyframe" / "gop.m2ts"
    whole = read_all(VideoReader(path))
    wanted = (whole.times >= 4.0) & (whole.times < 4.5)
    cut = read_all(VideoReader(path, None, Span(4.0, 4.5)))
    assert len(cut) == wanted.sum() == 12
    assert cut.times + 4.0 == pytest.approx(whole.times[wanted])
    assert (cut.images == whole.images[wanted]).all()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.ts", "libx264"),
        ("a.m2ts", "mpeg2video"),
        ("a.mpg", "mpeg2video"),
        ("b.ts", "libx265"),
        ("a.h264", "libx264"),
        ("a.mkv", "libx264"),
        ("a.mp4", "libx264"),
        ("a.flv", "flv"),
        ("a.wmv", "wmv2"),
        ("a.mjpeg", "mjpeg"),
    ],
)
def test_a_cut_behind_the_only_keyframe_is_read(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(
        tmp_path / name,
        [grey_frame(i % 20) for i in range(60)],
        pts=range(60),
        codec=codec,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        key_every=300,
        prepare=lambda stream: setattr(stream.codec_context, "time_base", Fraction(1, 25)),
    )
    times = read_all(VideoReader(path)).times
    cut = read_all(VideoReader(path, None, Span(times[50], times[55])))
    assert numbers_of(cut) == [i % 20 for i in range(50, 55)]
    assert cut.times == pytest.approx(np.arange(5) / 25, abs=0.001)
