"""Alignment of takes along a template of what they say, by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MOST_SKIPPED = 3  # steps of a template that a take may leap at once
SKIP_COST = 1.0
LOOSE_ENDS = 4  # steps of a template within which a take may begin and end
ROUNDS = 2
MOST_TAKES = 199  # that a template is made of
# Pairs of a take's step and a template's that are in memory at once, at some 20 bytes each.
MOST_CELLS = 1 << 23
_FAR = 1e9


class Alignment(NamedTuple):
    """Places of the steps of N takes along a template of S steps.

    Args:
        places: (T,) of each take: the step of the template that each of its steps lies at.
        costs: (N,) mean distance of a step from its place, leaps included.
    """

    places: list[NDArray[np.int64]]
    costs: NDArray[np.float64]


def align(template: Array, takes: Sequence[Array]) -> Alignment:
    """Lay takes along a template: places never go back, and their distance is the least.

    A take begins and ends within ``LOOSE_ENDS`` steps of the template's ends. Each step stays at
    the place of the one before or goes on by up to ``MOST_SKIPPED``, at ``SKIP_COST`` for each step
    that is leapt over.

    Args:
        template: (S, D).
        takes: (T, D) each, T at least 1.

    Source:
        Sakoe, Chiba, "Dynamic programming algorithm optimization for spoken word recognition",
        IEEE TASSP 1978. Differs from it: the template's steps may be leapt over at a cost, no
        band limits the path, and its ends are loose.
    """
    places: list[NDArray[np.int64]] = []
    costs: list[NDArray[np.float64]] = []
    longest = max((len(take) for take in takes), default=1)
    count = max(1, MOST_CELLS // (longest * len(template)))
    for start in range(0, len(takes), count):
        found = _align_batch(template, takes[start : start + count])
        places += found.places
        costs.append(found.costs)
    return Alignment(places, np.concatenate([np.zeros(0), *costs]))


def _align_batch(template: Array, takes: Sequence[Array]) -> Alignment:
    lengths = np.array([len(take) for take in takes])
    count, longest, size = len(takes), int(lengths.max()), len(template)
    ends = min(LOOSE_ENDS, size)
    padded = np.zeros((count, longest, template.shape[1]), np.float32)
    for row, take in enumerate(takes):
        padded[row, : len(take)] = take
    squares = (padded**2).sum(axis=2)[..., None] + (template**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares - 2 * padded @ template.T, 0.0))
    total = np.full((count, size), _FAR, np.float32)
    total[:, :ends] = distance[:, 0, :ends]
    back = np.zeros((count, longest, size), np.int8)
    final = total.copy()
    for step in range(1, longest):
        best, leaps = total.copy(), np.zeros((count, size), np.int8)
        for leap in range(1, min(MOST_SKIPPED, size - 1) + 1):
            reached = np.full_like(total, _FAR)
            reached[:, leap:] = total[:, :-leap] + SKIP_COST * (leap - 1)
            better = reached < best
            best[better], leaps[better] = reached[better], leap
        total, back[:, step] = best + distance[:, step], leaps
        ended = lengths == step + 1
        final[ended] = total[ended]
    rows = np.arange(count)
    place = size - ends + final[:, -ends:].argmin(axis=1)
    costs = final[rows, place] / lengths
    places = np.zeros((count, longest), np.int64)
    for step in range(longest - 1, -1, -1):
        inside = step < lengths
        places[inside, step] = place[inside]
        place = np.where(inside, place - back[rows, step, place], place)
    own = [row[:length] for row, length in zip(places, lengths, strict=True)]
    return Alignment(own, costs.astype(np.float64))


def make_template(takes: Sequence[Array]) -> Array:
    """Make the template of one sentence: a take of usual length, then means of aligned takes.

    Args:
        takes: (T, D) each, at least one; of more than ``MOST_TAKES`` so many are drawn, always the
            same.
    """
    chosen = np.random.default_rng(0).permutation(len(takes))[:MOST_TAKES]
    takes = sorted((takes[i] for i in chosen), key=len)
    template = takes[len(takes) * 2 // 5]
    for _ in range(ROUNDS):
        total, count = np.zeros(template.shape), np.zeros(len(template))
        for row, take in zip(align(template, takes).places, takes, strict=True):
            np.add.at(total, row, take)
            np.add.at(count, row, 1)
        mean = total / np.maximum(count, 1)[:, None]
        template = np.where(count[:, None] > 0, mean, template).astype(np.float32)
    return template
