"""Worth of an answer: how often the network or run that gave it was right where that is known.

Nothing here loads PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.codec import JsonFields
from extractors.weights.class_names import SEVEN, name_class, name_classes
from extractors.weights.facts import WeightFacts, plain

SELDOM = 0.4  # a class of a lower recall is seldom found
PULLED = 1.5  # "neutral" for so many times as many as there are is worth a word
FEW = 100  # so few answers are counted, not given as a share
NEUTRAL, SPEAKERS = "neutral", "speakers"


@dataclass(frozen=True)
class Measured(JsonFields):
    """Answers that were held against labels.

    Args:
        on: what was answered about.
        n: how many.
        right: how many of them rightly.
        interval: 95 % interval of the share; None where nobody stated one.
        drawn: what the interval takes as drawn by chance: each for itself, or ``speakers``.
        neutral_answered: how many were called neutral; None where that is unknown.
        neutral_labelled: how many of them are.
    """

    on: str
    n: int
    right: int
    interval: tuple[float, float] | None = None
    drawn: str = "each"
    neutral_answered: int | None = None
    neutral_labelled: int | None = None


@dataclass(frozen=True)
class Worth(JsonFields):
    """Worth of an answer.

    Args:
        measured: on what, the nearest to its training first; empty where nothing is known.
        seldom_found: classes with a recall below ``SELDOM`` on the first of them.
    """

    measured: tuple[Measured, ...] = ()
    seldom_found: tuple[str, ...] = ()


def worth_of_weights(facts: WeightFacts, *, film: bool) -> Worth:
    """Read from a weight file's facts what its network is worth.

    Args:
        facts: their ``metrics`` are of still photographs, and under ``film`` of clips.
        film: whether clips were answered; else still pictures alone.
    """
    metrics, measured = facts.metrics, []
    if facts.accuracy and (n := int(metrics.get("num_images", 0))):
        right = round(metrics["accuracy"] * n)
        on = f"still photographs ({plain(str(metrics.get('split', '')))})"
        neutral = _count_neutral(metrics.get("confusion"), facts.classes)
        measured.append(Measured(on, n, right, _pair(metrics.get("interval")), "each", *neutral))
    if film and (clips := metrics.get("film")):
        measured.append(
            Measured(
                "clips of film and television",
                clips["clips"],
                clips["right"],
                _pair(clips.get("interval")),
                neutral_answered=clips.get("neutral_answered"),
                neutral_labelled=clips.get("neutral_labelled"),
            )
        )
    return Worth(tuple(measured), find_seldom(metrics.get("recall", {})))


def worth_of_clips(
    figures: Mapping[str, Any], classes: Sequence[str], interval: Sequence[float] | None, drawn: str
) -> Worth:
    """Read from a run's figures what its heads are worth.

    Args:
        figures: of the clips that it was tested on: ``n``, ``correct``, ``confusion``, ``recall``.
        classes: of the run, in the order of the confusions.
        interval: that of the accuracy.
        drawn: see ``Measured``.
    """
    if not figures["n"]:
        return Worth()
    neutral = _count_neutral(figures["confusion"], classes)
    measured = Measured(
        "clips that its heads were tested on",
        figures["n"],
        figures["correct"],
        _pair(interval),
        drawn,
        *neutral,
    )
    return Worth((measured,), find_seldom(figures["recall"], classes))


def find_seldom(
    recall: Mapping[str, float | None], classes: Sequence[str] = SEVEN
) -> tuple[str, ...]:
    """Name the classes that are seldom found, of those that an answer can be."""
    named = {name_class(name): share for name, share in recall.items()}
    shares = ((name, named.get(name_class(name))) for name in classes)
    return tuple(name for name, share in shares if share is not None and share < SELDOM)


def describe_worth(worth: Worth) -> tuple[str, ...]:
    """Say in a sentence for each measurement what an answer is worth."""
    return tuple(
        _describe(one, worth.seldom_found if number == 0 else ())
        for number, one in enumerate(worth.measured)
    )


def _describe(one: Measured, seldom: Sequence[str]) -> str:
    share = f"{one.right / one.n:.0%}".replace("%", " %")
    if one.interval:
        by = " by speaker" * (one.drawn == SPEAKERS)
        share += f" [{100 * one.interval[0]:.0f}, {100 * one.interval[1]:.0f}{by}]"
    text = f"Right on {share} of {one.n:,} {one.on}"
    if one.n < FEW:
        text = f"Right on {one.right} of {one.n} {one.on}, {share}"
    answered, labelled = one.neutral_answered, one.neutral_labelled
    if answered and labelled is not None and answered >= PULLED * labelled:
        text += f"; neutral for {answered:,} where {labelled:,} are"
    if seldom:
        text += f"; seldom finds {', '.join(seldom)}"
    return f"{text}."


def _count_neutral(
    confusion: Sequence[Sequence[int]] | None, classes: Sequence[str]
) -> tuple[int | None, int | None]:
    """Count what was called neutral, and what is, in rows of labels and columns of answers."""
    names = name_classes(tuple(classes))
    if not confusion or NEUTRAL not in names:
        return None, None
    place = names.index(NEUTRAL)
    return sum(row[place] for row in confusion), sum(confusion[place])


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return (interval[0], interval[1]) if interval else None
