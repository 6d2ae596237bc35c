"""Nested predictions: those of training clips, by heads that saw neither them nor the tested clips.

What is chosen or fitted on them, such as the weights of an ensemble or the best row of a sweep,
never looks at the clips that a run reports on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from cache.manifest.clip import Clip
from trainer.data.folds import SplitError, group_clips
from trainer.data.splits import Fold
from trainer.runs.head_trainer import HeadTrainer, train_fold
from trainer.runs.predictions import Predictions, mean_predictions, pool_predictions

# Inner folds of the training clips, where the run has no others that could be held out in turn.
NUM_INNER = 5
BY_CLIP_WARNING = (
    "nested predictions: the inner folds are by clip, as too few speakers of the training clips "
    "are known; what is fitted on them may lean towards heads that know speakers"
)


@dataclass(frozen=True)
class InnerFold:
    """Heads of nested predictions, and whom they speak for.

    Args:
        fold: their training clips, and the clips that they predict.
        speaks: place of an outer fold to the ids of its training clips that these heads predict.
    """

    fold: Fold
    speaks: dict[int, frozenset[str]]


def plan_inner(folds: Sequence[Fold]) -> list[InnerFold]:
    """Divide the training clips of every outer fold once more.

    With three folds or more every pair is held out together: its heads speak for the clips of
    either in the choice of the other, K (K - 1) / 2 times. With fewer, the training clips of each
    fold are divided into ``NUM_INNER`` folds by speaker, or by clip where too few are known.

    Args:
        folds: the outer folds, each with test clips.

    Raises:
        SplitError: an inner fold would be trained on one class alone.
    """
    found = list(_pairs(folds) if len(folds) > 2 else _inside(folds))
    for inner in found:
        labels = {clip.label for clip in inner.fold.train}
        if len(labels) < 2:
            raise SplitError(
                f"nested predictions: {inner.fold.name} leaves "
                f"{'only the label ' + repr(min(map(str, labels))) if labels else 'no clip'} to "
                "train on; use folds of more clips, or leave --nested out"
            )
    return found


def _pairs(folds: Sequence[Fold]) -> Iterator[InnerFold]:
    for (a, one), (b, other) in combinations(enumerate(folds), 2):
        held = {clip.id for clip in (*one.test, *other.test)}
        fold = Fold(
            number=None,
            split=None,
            train=tuple(clip for clip in one.train if clip.id not in held),
            test=tuple(sorted((*one.test, *other.test), key=lambda clip: clip.id)),
            inner=f"{one.number}-{other.number}",
        )
        yield InnerFold(fold, {a: _ids(other.test), b: _ids(one.test)})


def _inside(folds: Sequence[Fold]) -> Iterator[InnerFold]:
    for place, outer in enumerate(folds):
        groups = group_clips(outer.train, _inner_spec(outer), seed=0)
        for number, held in groups.items():
            others = tuple(c for other in groups if other != number for c in groups[other])
            name = f"{number}" if outer.number is None else f"{outer.number}-{number}"
            fold = Fold(number=None, split=None, train=others, test=tuple(held), inner=name)
            yield InnerFold(fold, {place: _ids(held)})


def _inner_spec(outer: Fold) -> str:
    speakers = {clip.speaker for clip in outer.train}
    if {None, ""} & speakers or len(speakers) < 2:
        return f"clip:{min(NUM_INNER, len(outer.train))}"
    return f"speaker:{min(NUM_INNER, len(speakers))}"


def is_by_clip(folds: Sequence[Fold]) -> bool:
    """Whether the inner folds of any outer fold are by clip, for want of speakers."""
    return len(folds) <= 2 and any(_inner_spec(fold).startswith("clip") for fold in folds)


def _ids(clips: Sequence[Clip]) -> frozenset[str]:
    return frozenset(clip.id for clip in clips)


def train_nested(
    trainers: Sequence[HeadTrainer], folds: Sequence[Fold], inner: Sequence[InnerFold]
) -> list[list[Predictions]]:
    """Train the heads of nested predictions, and predict the training clips of every outer fold.

    Args:
        trainers: one a run, all of one corpus, with ``NESTED_HEADS`` as their folder.
        folds: the outer folds.
        inner: what ``plan_inner`` made of them.

    Returns:
        For each run a table per outer fold, whose column ``fold`` is the number of that fold. The
        probabilities are the mean over the seeds. Clips of a class that heads had no training clip
        of are left out: no weight or row would get them right.
    """
    parts: list[list[list[Predictions]]] = [[[] for _ in folds] for _ in trainers]
    for one in inner:
        for of_run, seeds in zip(parts, train_fold(trainers, one.fold), strict=True):
            table = mean_predictions(list(seeds.values()))
            known = {clip.label for clip in one.fold.train}
            for place, clips in one.speaks.items():
                spoken = [
                    clip in clips and label in known
                    for clip, label in zip(table.clips, table.labels, strict=True)
                ]
                own = table.select(spoken.__getitem__)
                of_run[place].append(replace(own, folds=(folds[place].number,) * len(own.clips)))
    return [[pool_predictions(of_fold) for of_fold in of_run] for of_run in parts]
