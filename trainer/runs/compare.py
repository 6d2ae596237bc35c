"""Paired comparison of two runs on the same clips: test, interval and differing clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from cache.codec import JsonFields
from trainer.runs.by_speaker import (
    PairedBySpeaker,
    compare_by_speaker,
    explain_absence,
    measure_by_speaker,
)
from trainer.runs.metrics import wilson_interval
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    agree_on_speakers,
    check_same,
)


@dataclass(frozen=True)
class Difference(JsonFields):
    """A clip that the two runs predict differently."""

    clip: str
    label: str
    a: str
    b: str


@dataclass(frozen=True)
class Intervals(JsonFields):
    """95 % intervals of the accuracy of one run.

    Args:
        wilson: Wilson's, which takes clips as independent.
        by_speaker: from speakers drawn again; None where that can't be said.
    """

    wilson: tuple[float, float]
    by_speaker: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of run b with run a.

    Args:
        n: clips in both.
        both_right: clips that both predict rightly.
        only_a: clips that only run a predicts rightly.
        only_b: clips that only run b predicts rightly.
        both_wrong: clips that neither predicts rightly.
        difference: accuracy of b less accuracy of a.
        interval: 95 % interval of the difference, for pairs.
        p_value: McNemar's exact test, two-sided.
        clips: the clips that they predict differently, sorted by id.
        left_out: clips that only one run has, with ``common``: (only a, only b).
        by_speaker: the same with speakers for clips; None where that can't be said.
        not_by_speaker: why it can't; empty where it can.
        intervals: of the accuracies of a and b.
    """

    n: int
    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    difference: float
    interval: tuple[float, float]
    p_value: float
    clips: tuple[Difference, ...]
    left_out: tuple[int, int]
    by_speaker: PairedBySpeaker | None
    not_by_speaker: str
    intervals: tuple[Intervals, Intervals]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON, with the accuracy of both runs."""
        return {
            "n": self.n,
            "left_out": {"only_a": self.left_out[0], "only_b": self.left_out[1]},
            "accuracy_a": (self.both_right + self.only_a) / self.n,
            "accuracy_b": (self.both_right + self.only_b) / self.n,
            "intervals_a": self.intervals[0].to_json(),
            "intervals_b": self.intervals[1].to_json(),
            "both_right": self.both_right,
            "only_a_right": self.only_a,
            "only_b_right": self.only_b,
            "both_wrong": self.both_wrong,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "by_speaker": self.by_speaker and self.by_speaker.to_json(),
            "not_by_speaker": self.not_by_speaker,
            "differing_clips": [clip.to_json() for clip in self.clips],
        }


def compare_predictions(
    a: Predictions,
    b: Predictions,
    *,
    names: tuple[str, str] = ("run a", "run b"),
    common: bool = False,
) -> Comparison:
    """Compare two runs clip by clip.

    Args:
        a: predictions of the first run.
        b: predictions of the second.
        names: how messages call them.
        common: compare on the clips that both have, instead of refusing runs that differ.

    Returns:
        The counts, the test, the interval of the difference and the clips that differ.

    Raises:
        PredictionsError: other classes or labels; other clips, unless ``common``; no clip.
    """
    sizes = len(a.clips), len(b.clips)
    if common:
        shared = set(a.clips) & set(b.clips)
        inside = [[clip in shared for clip in table.clips] for table in (a, b)]
        a, b = a.select(inside[0].__getitem__), b.select(inside[1].__getitem__)
    check_same(a, b, names=names)
    n = len(a.clips)
    if n == 0:
        raise PredictionsError(f"{names[0]} and {names[1]} have no clip in common")
    rows = list(zip(a.clips, a.labels, a.predictions, b.predictions, strict=True))
    both_right = sum(label == x == y for _, label, x, y in rows)
    only_a = sum(label == x != y for _, label, x, y in rows)
    only_b = sum(label == y != x for _, label, x, y in rows)
    both_wrong = n - both_right - only_a - only_b
    speakers = agree_on_speakers([a.speakers, b.speakers])
    return Comparison(
        n=n,
        both_right=both_right,
        only_a=only_a,
        only_b=only_b,
        both_wrong=both_wrong,
        difference=(only_b - only_a) / n,
        interval=paired_interval(both_right, only_b, only_a, both_wrong),
        p_value=mcnemar(only_a, only_b),
        clips=tuple(Difference(*row) for row in rows if row[2] != row[3]),
        left_out=(sizes[0] - n, sizes[1] - n),
        by_speaker=compare_by_speaker(a.correct, b.correct, speakers),
        not_by_speaker=explain_absence(speakers),
        intervals=(_intervals(a.correct, speakers), _intervals(b.correct, speakers)),
    )


def _intervals(correct: Sequence[bool], speakers: Sequence[str | None]) -> Intervals:
    by_speaker = measure_by_speaker(correct, speakers)
    return Intervals(
        wilson=wilson_interval(sum(correct), len(correct)) or (0.0, 1.0),
        by_speaker=by_speaker.interval if by_speaker else None,
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Compute McNemar's exact p value: of pairs at least as uneven, were both runs equally good.

    Source:
        McNemar, "Note on the sampling error of the difference between correlated proportions or
        percentages", 1947. Differs from it: the binomial itself, not its normal approximation.
    """
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def paired_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """Compute the 95 % interval of a difference of two shares of the same clips.

    Each share's Wilson interval is widened or narrowed by how much the two go together. Unlike
    the normal interval it has width where no pair is discordant, and stays within [-1, 1].

    Args:
        both: pairs in which both are right.
        first: pairs in which only the first is right.
        second: pairs in which only the second is right.
        neither: pairs in which neither is right.

    Returns:
        Interval of the first share less the second.

    Source:
        Newcombe, "Improved confidence intervals for the difference between binomial proportions
        based on paired data", Statistics in Medicine 17, 1998, method 10. Written out here
        because statsmodels 0.15.0, the last release, has no interval for pairs.
    """
    n = both + first + second + neither
    share_1, share_2 = (both + first) / n, (both + second) / n
    low_1, high_1 = wilson_interval(both + first, n) or (0.0, 1.0)
    low_2, high_2 = wilson_interval(both + second, n) or (0.0, 1.0)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = float(both * neither - first * second)
    if product > 0:
        product = max(product - n / 2, 0.0)
    phi = product / math.sqrt(margins) if margins else 0.0
    below = _distance(share_1 - low_1, high_2 - share_2, phi)
    above = _distance(high_1 - share_1, share_2 - low_2, phi)
    difference = share_1 - share_2
    return difference - below, difference + above


def _distance(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))
