"""Oddities of a picture that harm no decoding, as notes: ``kind: sentence``."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from av import VideoFrame
from av.video.reformatter import ColorTrc
from av.video.stream import VideoStream

from pipeline.media.aspect import is_believable, shown_size

INTERLACED = (
    "interlaced: frames are marked as interlaced, each of two moments; they are read as they are, "
    "not deinterlaced"
)
CHANGING_RATIO = (
    "ratio changes: the shape of the pixels changes within the file; every frame is scaled to the "
    "size that the first is shown in"
)
UNTAGGED_HD = (
    "untagged hd: no colour matrix is stated, so that BT.601 is used, as ffmpeg does; if it was "
    "made as BT.709, as most HD is, colours are up to 14 levels off"
)
HDR = {
    ColorTrc.SMPTE2084: "hdr: brightness is coded as PQ and is read without tone mapping",
    ColorTrc.ARIB_STD_B67: "hdr: brightness is coded as HLG and is read without tone mapping",
}
UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
FIELD_ORDERS = (2, 3, 4, 5)  # AV_FIELD_TT to AV_FIELD_BT
HD_SIZE = (720, 1280)  # (height, width); either makes it HD


def is_interlaced(frame: VideoFrame, stream: VideoStream) -> bool:
    """Return whether a frame, or its stream's header, is marked as interlaced."""
    order = getattr(stream.codec_context, "field_order", 0)  # PyAV 18.0 has none
    return frame.interlaced_frame or order in FIELD_ORDERS


def describe_first(frame: VideoFrame, ratio: Fraction) -> Iterator[str]:
    """Yield the notes that a clip's first frame gives rise to.

    Args:
        frame: as it was decoded.
        ratio: width over height of its pixels.
    """
    stored = (frame.height, frame.width)
    shown = shown_size(*stored, ratio)
    if not is_believable(ratio):
        said = f"{ratio.numerator}:{ratio.denominator}"
        yield f"ratio ignored: pixels are said to be {said}, and are taken as square"
    elif shown != stored:
        yield f"anamorphic: pixels are not square: shown {shown[1]}x{shown[0]}"
    if frame.color_trc in HDR:
        yield HDR[ColorTrc(frame.color_trc)]
    is_hd = frame.height >= HD_SIZE[0] or frame.width >= HD_SIZE[1]
    coloured = not frame.format.is_rgb and len(frame.format.components) >= 3
    if is_hd and coloured and frame.colorspace == UNSPECIFIED:
        yield UNTAGGED_HD
