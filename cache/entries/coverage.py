"""Coverage: the frames of a clip, and of a corpus, that have a face, by how it was found.

Stage one states it in the headers of the entries that it makes from faces; ``cache status`` and the
metrics of a run read it from there, without opening one entry with HDF5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.codec import JsonFields, read_field
from cache.digest import JSON
from cache.wording import number_of

FACT = "coverage"  # the name of the fact in an entry's header
WHOLE = "whole"  # the source of a frame without a face
# Sources by which a detector itself, or the user, accepted the face in that very frame. In the
# other frames with a face it was followed there from one of these.
SEEN = frozenset({"detect", "contrast", "tilt", "second", "given"})


class _Frames:
    """Figures that follow from the frames by source, of a clip or of a corpus."""

    rungs: Mapping[str, int]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return sum(self.rungs.values())

    @property
    def num_with_face(self) -> int:
        """Frames with a face, however it was found."""
        return self.num_frames - self.rungs.get(WHOLE, 0)

    @property
    def num_seen(self) -> int:
        """Frames in which a detector itself accepted the face; see ``SEEN``."""
        return sum(self.rungs.get(name, 0) for name in SEEN)

    @property
    def num_followed(self) -> int:
        """Frames whose face was followed there from others; an unknown source counts here."""
        return self.num_with_face - self.num_seen

    def count_frames(self) -> dict[str, int]:
        """Count all frames, those with a face, and of these the seen and the followed ones."""
        return {
            "frames": self.num_frames,
            "frames_with_face": self.num_with_face,
            "frames_seen": self.num_seen,
            "frames_followed": self.num_followed,
        }

    def describe_sources(self) -> str:
        """Say in how many frames the face was seen and followed, and by which sources."""
        found = sorted(self.rungs.keys() - {WHOLE}, key=lambda name: (-self.rungs[name], name))
        parts = (
            ("seen", self.num_seen, [name for name in found if name in SEEN]),
            ("followed", self.num_followed, [name for name in found if name not in SEEN]),
        )
        return ", ".join(
            f"{verb} in {number:,} ({', '.join(f'{name} {self.rungs[name]:,}' for name in names)})"
            if number
            else f"{verb} in none"
            for verb, number, names in parts
        )


@dataclass(frozen=True)
class Coverage(_Frames, JsonFields):
    """Frames by the source of their face box, and the longest time without a face.

    Args:
        rungs: source -> number of frames, for sources that occur; ``whole``: no face. Entries and
            reports store it under this name.
        longest_gap_seconds: from the first frame of the longest stretch without a face to the first
            frame with one again; to the last frame at the end of the clip.
        upright: frames whose face is cropped upright, because its landmarks don't agree with its
            box; 0 in entries that were made before such crops were.
    """

    rungs: Mapping[str, int]
    longest_gap_seconds: float
    upright: int = 0

    def __post_init__(self) -> None:
        if min([self.longest_gap_seconds, self.upright, *self.rungs.values()]) < 0:
            raise ValueError("coverage states a negative number")


@dataclass(frozen=True)
class CorpusCoverage(_Frames):
    """The coverage of all clips together.

    Args:
        clips: number of clips.
        rungs: source -> frames of all clips.
        longest_gap_seconds: of the clip with the longest stretch without a face.
        longest_gap_clip: that clip; None where every frame has a face.
        without_face: clips that have frames, and a face in none.
        upright: frames of all clips whose face is cropped upright; see ``Coverage``.
    """

    clips: int
    rungs: Mapping[str, int]
    longest_gap_seconds: float
    longest_gap_clip: str | None
    without_face: tuple[str, ...]
    upright: int = 0

    def to_json(self) -> dict[str, JSON]:
        """Return the fields, and what follows from them, ready for JSON."""
        return {
            "clips": self.clips,
            **self.count_frames(),
            "rungs": dict(self.rungs),
            "longest_gap_seconds": self.longest_gap_seconds,
            "longest_gap_clip": self.longest_gap_clip,
            "clips_without_face": list(self.without_face),
            "upright": self.upright,
        }


def read_coverage(facts: Mapping[str, Any]) -> Coverage | None:
    """Return the coverage that an entry states among its facts; None if it isn't made from faces.

    Raises:
        TypeError, ValueError: it states none that can be.
    """
    return read_field(facts, FACT, Coverage) if FACT in facts else None


def add_coverage(clips: Mapping[str, Coverage]) -> CorpusCoverage:
    """Add up the coverage of clips.

    Args:
        clips: clip id -> coverage.
    """
    sources: Counter[str] = Counter()
    for coverage in clips.values():
        sources.update(coverage.rungs)
    gaps = {clip: coverage.longest_gap_seconds for clip, coverage in clips.items()}
    longest = max(gaps, key=lambda clip: gaps[clip], default=None)
    gap = gaps[longest] if longest is not None else 0.0
    return CorpusCoverage(
        clips=len(clips),
        rungs=dict(sources),
        longest_gap_seconds=gap,
        longest_gap_clip=longest if gap > 0 else None,
        without_face=tuple(
            sorted(clip for clip, one in clips.items() if one.num_frames and not one.num_with_face)
        ),
        upright=sum(coverage.upright for coverage in clips.values()),
    )


def describe_coverage(corpus: CorpusCoverage) -> str:
    """Say a corpus's coverage in one line; empty where there are no frames."""
    if not corpus.num_frames:
        return ""
    line = (
        f"{corpus.num_with_face:,} of {corpus.num_frames:,} frames with a face "
        f"({corpus.num_with_face / corpus.num_frames:.1%})"
    )
    if corpus.num_with_face:
        line += f": {corpus.describe_sources()}"
    if corpus.upright:
        line += f"; {corpus.upright:,} cropped upright (their landmarks don't agree with the box)"
    if corpus.longest_gap_clip is not None:
        line += f"; longest gap {corpus.longest_gap_seconds:.2f} s, in {corpus.longest_gap_clip}"
    if corpus.without_face:
        line += f"; {number_of(len(corpus.without_face), 'clip')} without any face"
    return line
