"""Cuts of transport and program streams, raw streams and other files without an index."""

from __future__ import annotations

import pytest

from tests.conformance.cuts import CUTS, check_cut, check_whole
from tests.conformance.making import Recipe, Studio, h264, hevc, plain, x264_like

MPEG2 = x264_like("mpeg2video", 12, 2, "-q:v", "3")
FILES = {
    "h264 in ts": Recipe(".ts", h264()),
    "h264 in m2ts": Recipe(".m2ts", h264()),
    "hevc in ts": Recipe(".ts", hevc()),
    "mpeg2 in ts": Recipe(".ts", MPEG2),
    "mpeg2 in ps": Recipe(".mpg", MPEG2),
    "mpeg1 in ps": Recipe(".mpg", x264_like("mpeg1video", 12, 2, "-q:v", "3")),
    "h264 in ps": Recipe(".mpg", h264()),
    "raw h264": Recipe(".h264", h264()),
    "raw hevc": Recipe(".hevc", hevc()),
    "raw mpeg4": Recipe(".m4v", x264_like("mpeg4", 12, 0, "-q:v", "3")),
    "raw mpeg2": Recipe(".m2v", MPEG2),
    "raw mjpeg": Recipe(".mjpeg", plain("mjpeg", "-q:v", "3", pix_fmt="yuvj420p")),
    "raw frames in y4m": Recipe(".y4m", plain("wrapped_avframe")),
}
FILES_X_CUTS = [(file, cut) for file in FILES for cut in CUTS]


@pytest.mark.parametrize("file", FILES)
def test_a_whole_stream_has_the_frames_that_went_in(studio: Studio, file: str) -> None:
    check_whole(studio, FILES[file])


@pytest.mark.parametrize(("file", "cut"), FILES_X_CUTS)
def test_a_cut_of_a_stream_is_part_of_the_whole(studio: Studio, file: str, cut: str) -> None:
    check_cut(studio, FILES[file], cut)
