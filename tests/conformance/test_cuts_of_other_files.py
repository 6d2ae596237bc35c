"""Cuts of Matroska, AVI, Flash, Ogg, ASF, MXF, NUT, IVF and GIF."""

from __future__ import annotations

import pytest

from tests.conformance.cuts import CUTS, check_cut, check_whole
from tests.conformance.making import Recipe, Studio, h264, hevc, plain, x264_like

EVERY_12 = ("-g", "12", "-q:v", "3")
VPX = ("-g", "12", "-b:v", "1M", "-deadline", "realtime", "-cpu-used", "8")
FILES = {
    "h264 in mkv": Recipe(".mkv", h264()),
    "h264 with one keyframe in mkv": Recipe(".mkv", h264(gop=600)),
    "h264 with open groups in mkv": Recipe(".mkv", h264("-x264-params", "open-gop=1")),
    "hevc in mkv": Recipe(".mkv", hevc()),
    "ffv1 in mkv": Recipe(".mkv", plain("ffv1", "-level", "3", "-g", "12")),
    "mpeg2 in mkv": Recipe(".mkv", x264_like("mpeg2video", 12, 2, "-q:v", "3")),
    "theora in mkv": Recipe(".mkv", plain("libtheora", "-g", "12", "-q:v", "8")),
    "vp8 in webm": Recipe(".webm", plain("libvpx", *VPX)),
    "vp8 with alternate references in webm": Recipe(
        ".webm", plain("libvpx", *VPX, "-auto-alt-ref", "1", "-lag-in-frames", "10")
    ),
    "vp9 in webm": Recipe(".webm", plain("libvpx-vp9", *VPX)),
    "mpeg4 in avi": Recipe(".avi", plain("mpeg4", *EVERY_12)),
    "mpeg4 with B-frames in avi": Recipe(".avi", x264_like("mpeg4", 12, 2, "-q:v", "3")),
    "h264 with B-frames in avi": Recipe(".avi", h264()),
    "h264 without B-frames in avi": Recipe(".avi", h264(b_frames=0)),
    "msmpeg4 in avi": Recipe(".avi", plain("msmpeg4", *EVERY_12)),
    "mjpeg in avi": Recipe(".avi", plain("mjpeg", "-q:v", "3", pix_fmt="yuvj420p")),
    "huffyuv in avi": Recipe(".avi", plain("huffyuv", pix_fmt="yuv422p")),
    "h264 in flv": Recipe(".flv", h264()),
    "sorenson in flv": Recipe(".flv", plain("flv", *EVERY_12)),
    "theora in ogv": Recipe(".ogv", plain("libtheora", "-g", "12", "-q:v", "8")),
    "wmv2 in wmv": Recipe(".wmv", plain("wmv2", *EVERY_12)),
    "msmpeg4 in asf": Recipe(".asf", plain("msmpeg4", *EVERY_12)),
    "mpeg2 in mxf": Recipe(".mxf", x264_like("mpeg2video", 12, 2, "-q:v", "3")),
    "h264 in nut": Recipe(".nut", h264()),
    "vp8 in ivf": Recipe(".ivf", plain("libvpx", *VPX)),
    "gif": Recipe(".gif", plain("gif", pix_fmt="rgb8")),
}
FILES_X_CUTS = [(file, cut) for file in FILES for cut in CUTS]


@pytest.mark.parametrize("file", FILES)
def test_a_whole_file_has_the_frames_that_went_in(studio: Studio, file: str) -> None:
    check_whole(studio, FILES[file])


@pytest.mark.parametrize(("file", "cut"), FILES_X_CUTS)
def test_a_cut_of_a_file_is_part_of_the_whole(studio: Studio, file: str, cut: str) -> None:
    check_cut(studio, FILES[file], cut)
