"""Cuts of MP4, QuickTime and 3GP, whole and in fragments, with every distance of keyframes."""

from __future__ import annotations

import pytest

from tests.conformance.cuts import CUTS, check_cut, check_whole
from tests.conformance.making import Recipe, Studio, h264, hevc, plain, x264_like

FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov")
SHORT_FRAGMENTS = ("-movflags", "empty_moov+default_base_moof", "-frag_duration", "200000")
FILES = {
    "h264": Recipe(".mp4", h264()),
    "h264 of keyframes alone": Recipe(".mp4", h264(gop=1, b_frames=0)),
    "h264 with one keyframe": Recipe(".mp4", h264(gop=600)),
    "h264 without B-frames": Recipe(".mp4", h264(b_frames=0)),
    "h264 with open groups": Recipe(".mp4", h264("-x264-params", "open-gop=1")),
    "h264 with its index in front": Recipe(".mp4", h264(), also=("-movflags", "faststart")),
    "h264 in fragments": Recipe(".mp4", h264(), also=FRAGMENTS),
    "h264 in fragments across groups": Recipe(".mp4", h264(), also=SHORT_FRAGMENTS),
    "hevc": Recipe(".mp4", hevc()),
    "hevc with open groups": Recipe(".mp4", hevc("open-gop=1")),
    "mpeg4": Recipe(".mp4", x264_like("mpeg4", 12, 2, "-q:v", "3")),
    "av1": Recipe(".mp4", plain("libaom-av1", "-cpu-used", "8", "-g", "12", "-crf", "20")),
    "h264 in mov": Recipe(".mov", h264()),
    "prores in mov": Recipe(".mov", plain("prores_ks", pix_fmt="yuv422p10le")),
    "mjpeg in mov": Recipe(".mov", plain("mjpeg", "-q:v", "3", pix_fmt="yuvj420p")),
    "mpeg4 in 3gp": Recipe(".3gp", x264_like("mpeg4", 12, 0, "-q:v", "3")),
}
FILES_X_CUTS = [(file, cut) for file in FILES for cut in CUTS]


@pytest.mark.parametrize("file", FILES)
def test_a_whole_mp4_has_the_frames_that_went_in(studio: Studio, file: str) -> None:
    check_whole(studio, FILES[file])


@pytest.mark.parametrize(("file", "cut"), FILES_X_CUTS)
def test_a_cut_of_an_mp4_is_part_of_the_whole(studio: Studio, file: str, cut: str) -> None:
    check_cut(studio, FILES[file], cut)
