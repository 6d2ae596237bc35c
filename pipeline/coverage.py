"""How much of a clip has a face, and how it was had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.rungs import Rung


@dataclass(frozen=True)
class Coverage:
    """Frames per rung of the ladder, and the longest time without a face.

    Args:
        rungs: name of the rung -> number of frames, for rungs that occur.
        longest_gap_seconds: from the first frame of the longest stretch without a face to the first
            frame with one again; to the last frame at the end of the clip.
    """

    rungs: dict[str, int]
    longest_gap_seconds: float

    @property
    def num_frames(self) -> int:
        """All frames of the clip."""
        return sum(self.rungs.values())

    @property
    def num_with_face(self) -> int:
        """Frames in which the face was had in any way."""
        return self.num_frames - self.rungs.get(Rung.WHOLE.name, 0)


def measure_coverage(rung: np.ndarray, times: np.ndarray) -> Coverage:
    """Count the rungs of a clip.

    Shapes (T frames):
        ``rung``: (T,), ``Rung``.
        ``times``: (T,), seconds, increasing.

    Raises:
        ValueError: the lengths differ.
    """
    if len(rung) != len(times):
        raise ValueError(f"rung and times must be of one length, got {len(rung)} and {len(times)}")
    counts = {kind.name: int((rung == kind).sum()) for kind in Rung}
    longest = 0.0
    start: float | None = None
    for kind, seconds in zip(rung, times, strict=True):
        if kind == Rung.WHOLE and start is None:
            start = float(seconds)
        if start is not None:
            longest = max(longest, float(seconds) - start)
        if kind != Rung.WHOLE:
            start = None
    return Coverage({name: count for name, count in counts.items() if count}, longest)
