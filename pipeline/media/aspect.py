"""Sample aspect ratio: the shape of a file's pixels, and the size that its frames are shown in."""

from __future__ import annotations

from fractions import Fraction

from av.video.stream import VideoStream

SQUARE = Fraction(1)
WIDEST = 4  # half of a PAL frame's lines and columns, shown 16:9, has 2.9; beyond is nonsense
# Encoders round a frame's size to even numbers and write what is left into the ratio (359:360).
# To resample such a picture would blur it, for a difference that nobody sees.
NEARLY_SQUARE = 0.01


class PixelRatio:
    """Sample aspect ratio of a stream's frames, by the rule of FFmpeg's programs.

    The container's ratio goes before the codec's (``av_guess_sample_aspect_ratio``); only a codec's
    may change within a file. PyAV doesn't say a frame's own, so that the decoder's stands for it:
    where it changes, it may be ahead by the few frames that the decoder holds back.

    Args:
        stream: of which nothing was decoded yet.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context
        stated = stream.sample_aspect_ratio
        self._container = stated if stated != self._codec.sample_aspect_ratio else None

    def current(self) -> Fraction:
        """Return width over height of a pixel of the frame decoded last; 1 where unknown."""
        return self._container or self._codec.sample_aspect_ratio or SQUARE


def is_believable(ratio: Fraction) -> bool:
    """Return whether pixels can have a ratio: 1:4 to 4:1."""
    return 1 / WIDEST <= float(ratio) <= WIDEST


def is_square(ratio: Fraction) -> bool:
    """Return whether pixels of a ratio are shown as they are stored."""
    return abs(float(ratio) - 1) < NEARLY_SQUARE or not is_believable(ratio)


def shown_size(height: int, width: int, ratio: Fraction) -> tuple[int, int]:
    """Return the (height, width) in which a stored frame is shown, before any quarter turn.

    As FFmpeg's ``scale=iw*sar:ih``: the width changes, rounded down. It stays where the ratio is
    within 1 % of square, isn't believable, or changes the width by less than half a pixel.
    """
    exact = width * float(ratio)
    if is_square(ratio) or round(exact) == width:
        return height, width
    return height, max(1, int(exact))
