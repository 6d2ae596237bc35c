"""Cuts of a file, and the one comparison that all of them must pass."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.container import MediaError
from tests.conformance.making import Recipe, Studio
from tests.conformance.reading import Seen, see
from tests.conformance.reference import frame_times, pixels
from tests.conformance.signals import HEIGHT, WIDTH

# Of 60 frames at 25 frames/s; a keyframe is every 12 frames (0.48 s), so that the last one is at
# 1.92 s. Frames are at 0.04 s k.
CUTS = {
    "from the start": Span(0.0, 0.3),
    "in the middle": Span(1.09, 1.53),
    "from a frame to a frame": Span(1.2, 1.6),
    "behind the last keyframe": Span(2.09, 2.23),
    "to behind the end": Span(1.81, 9.0),
    "to the end": Span(1.5, None),
    "of one frame": Span(1.79, 1.81),
    "between two frames": Span(1.81, 1.83),
}
RAW = (".h264", ".hevc", ".m4v", ".m2v", ".mjpeg")
# An AVI has no times of frames, and ffprobe takes those of a decoder that doesn't reorder.
STAMPED_WRONG = (".avi",)
STAMPS = 0.0011  # seconds: containers such as Matroska keep whole milliseconds


@cache
def see_whole(path: Path) -> Seen:
    """Read a file whole, once for all of its cuts."""
    return see(path)


def check_whole(studio: Studio, recipe: Recipe) -> None:
    """Compare a whole file with the numbers that went in, and FFmpeg's pixels, count and times."""
    path = studio.make(recipe)
    whole, stamps = see_whole(path), frame_times(path)
    assert whole.numbers == list(range(recipe.frames))
    assert np.array_equal(whole.images, pixels(path, (HEIGHT, WIDTH)))
    # A raw stream's zero is anyone's: some parsers count the decoder's delay.
    zero = whole.times[0] if recipe.suffix in RAW else 0.0
    assert whole.times - zero == pytest.approx(np.arange(recipe.frames) / 25, abs=STAMPS)
    if np.isnan(stamps).any():  # as avfuse says, they are placed after the one before
        assert all("frames without a time" in problem for problem in whole.problems)
        return
    assert whole.problems == ()
    if recipe.suffix not in STAMPED_WRONG:
        assert whole.times == pytest.approx(stamps, abs=STAMPS)


def check_cut(studio: Studio, recipe: Recipe, cut: str) -> None:
    """Compare a cut with what the whole file has there: times, numbers and pixels."""
    path, span = studio.make(recipe), CUTS[cut]
    whole = see_whole(path)
    inside = whole.times >= span.begin - 1e-6
    if span.end is not None:
        inside &= whole.times < span.end - 1e-6
    if not inside.any():
        with pytest.raises(MediaError, match=rf"between {span.start} s and {span.end}"):
            see(path, span)
        return
    part = see(path, span)
    assert part.numbers == [n for n, taken in enumerate(inside) if taken]
    assert part.times == pytest.approx(whole.times[inside] - span.begin, abs=1e-6)
    assert np.array_equal(part.images, whole.images[inside])
    if not whole.problems:
        assert part.problems == ()
