"""Copies: clips to report on whose content is trained on under another clip id."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from cache.entries.entry import EntryHeader
from cache.manifest.clip import Clip

MOST_SHOWN = 5


def find_copies(
    parts: Iterable[tuple[Sequence[Clip], Sequence[Clip]]], contents: Mapping[str, str]
) -> dict[str, str]:
    """Find test clips that overlap a training clip of the same file or of the same content.

    Clips that are parts of one film and share no moment are no copies.

    Args:
        parts: training and test clips of each fold.
        contents: clip id to the digest of its file's content; clips without one are compared by
            their path alone.

    Returns:
        Test clip to the training clip that it is a copy of, sorted.
    """
    found: dict[str, str] = {}
    for train, test in parts:
        for key in (lambda clip: str(clip.path), lambda clip: contents.get(clip.id, "")):
            found |= _overlaps(train, test, key)
    return dict(sorted(found.items()))


def _overlaps(
    train: Sequence[Clip], test: Sequence[Clip], key: Callable[[Clip], str]
) -> dict[str, str]:
    """Find test clips that share a moment with a training clip of the same key; "" is none."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in train:
        groups[key(clip)].append(clip)
    groups.pop("", None)
    # The training clip that ends last, of those that start before a time.
    latest: dict[str, tuple[list[float], list[Clip]]] = {}
    for name in {key(clip) for clip in test} & groups.keys():
        ordered = sorted(groups[name], key=lambda clip: clip.span.begin)
        starts = [clip.span.begin for clip in ordered]
        latest[name] = starts, list(accumulate(ordered, _later))
    found = {}
    for clip in test:
        starts, ends_last = latest.get(key(clip), ([], []))
        if before := bisect_left(starts, _end(clip)):
            other = ends_last[before - 1]
            if _end(other) > clip.span.begin:
                found[clip.id] = other.id
    return found


def _end(clip: Clip) -> float:
    return math.inf if clip.span.end is None else clip.span.end


def _later(one: Clip, other: Clip) -> Clip:
    return max(one, other, key=_end)


def describe_copies(copies: Mapping[str, str]) -> str:
    """Name some copies, each with the training clip that it is one of."""
    shown = [f"{test} (of {train})" for test, train in copies.items()][:MOST_SHOWN]
    return ", ".join(shown) + (", ..." if len(copies) > MOST_SHOWN else "")


def read_contents(headers: Iterable[Mapping[str, EntryHeader]]) -> dict[str, str]:
    """Return the digest of each clip's file, as entries of extracted sets state it.

    Args:
        headers: of some sets, by clip; none of an imported set, whose source is its table.
    """
    return {clip: header.source.sha256 for found in headers for clip, header in found.items()}
