"""Count a clip's frames with a face, by the source of the box."""

from __future__ import annotations

import numpy as np

from cache.entries.coverage import Coverage
from pipeline.faces.rungs import Rung


def measure_coverage(rung: np.ndarray, times: np.ndarray) -> Coverage:
    """Count the rungs of a clip; the gap is given to the millisecond.

    Shapes (T frames):
        ``rung``: (T,), ``Rung``.
        ``times``: (T,), seconds, increasing.

    Raises:
        ValueError: the lengths differ.
    """
    if len(rung) != len(times):
        raise ValueError(f"rung and times must be of one length, got {len(rung)} and {len(times)}")
    counts = {kind.name.lower(): int((rung == kind).sum()) for kind in Rung}
    longest = 0.0
    start: float | None = None
    for kind, seconds in zip(rung, times, strict=True):
        if kind == Rung.WHOLE and start is None:
            start = float(seconds)
        if start is not None:
            longest = max(longest, float(seconds) - start)
        if kind != Rung.WHOLE:
            start = None
    return Coverage({name: count for name, count in counts.items() if count}, round(longest, 3))
