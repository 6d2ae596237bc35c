"""Which frames of a clip a contact sheet shows: some evenly, and those where something happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.faces.choice import FaceArrays
from pipeline.faces.rungs import Rung
from pipeline.faces.tracks import TrackArrays

# What can happen in a frame, the most telling first; where room is short the last give way.
BEGINS, SWITCHES, LOST_OR_FOUND, RUNG_CHANGES = range(4)


@dataclass(frozen=True)
class Sample:
    """A frame to show: its number, and what happens in it, for a user; often nothing."""

    frame: int
    why: tuple[str, ...] = ()


def choose_samples(faces: FaceArrays, tracks: TrackArrays, most: int) -> list[Sample]:
    """Choose frames of a clip, in order: half of them evenly, then those where something happens.

    A track begins, the chosen face is another, is lost or found, or is had by another rung. What
    room is left goes to the middles of the longest stretches without a frame.

    Args:
        faces: the chosen face of every frame.
        tracks: all faces.
        most: number of frames at most.

    Raises:
        ValueError: ``most`` is below 2.
    """
    if most < 2:
        raise ValueError(f"a row shows at least 2 frames, got {most}")
    num = len(faces.times)
    happens = _find_events(faces, tracks)
    chosen = _evenly(range(num), max(2, (most + 1) // 2))
    for kind in range(4):
        frames = [frame for frame, (kinds, _) in sorted(happens.items()) if min(kinds) == kind]
        if kind == RUNG_CHANGES:  # a rung that flickers must not fill the row with one moment
            frames = _apart(frames, chosen, num // (4 * most))
        new = [frame for frame in frames if frame not in chosen]
        chosen |= _evenly(new, most - len(chosen))
    while len(chosen) < min(most, num):
        known = sorted(chosen)
        gap, start = max((b - a, -a) for a, b in pairwise(known))
        chosen.add(gap // 2 - start)
    return [Sample(f, happens[f][1] if f in happens else ()) for f in sorted(chosen)]


def _evenly(frames: Iterable[int], most: int) -> set[int]:
    """Pick at most some, the first and the last among them."""
    frames = list(frames)
    if len(frames) <= most:
        return set(frames)
    at = np.linspace(0, len(frames) - 1, most).round().astype(int)
    return {frames[position] for position in at}


def _apart(frames: Iterable[int], known: set[int], near: int) -> list[int]:
    """Leave out frames that are nearer than that to a known one or to one before them."""
    kept: list[int] = []
    for frame in frames:
        if all(abs(frame - other) > near for other in (*known, *kept)):
            kept.append(frame)
    return kept


def _find_events(
    faces: FaceArrays, tracks: TrackArrays
) -> dict[int, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return what happens in which frame, as kinds and in words; the first frame is no event."""
    found: dict[int, list[tuple[int, str]]] = {}
    for number in np.unique(tracks.number):
        frame = int(tracks.frame[tracks.number == number].min())
        found.setdefault(frame, []).append((BEGINS, f"track {number} begins"))
    track, rung = faces.track, faces.rung
    changes = np.flatnonzero((np.diff(track) != 0) | (np.diff(rung) != 0)) + 1
    for frame in changes.tolist():
        before, now = Rung(int(rung[frame - 1])), Rung(int(rung[frame]))
        if now == Rung.WHOLE or before == Rung.WHOLE:
            event = (LOST_OR_FOUND, "lost" if now == Rung.WHOLE else "found")
        elif track[frame - 1] != track[frame]:
            event = (SWITCHES, f"{track[frame - 1]} gives way to {track[frame]}")
        else:
            event = (RUNG_CHANGES, f"was {before.name.lower()}")
        found.setdefault(frame, []).append(event)
    return {
        frame: (tuple(kind for kind, _ in events), tuple(text for _, text in events))
        for frame, events in found.items()
        if frame > 0
    }
