"""Refusals of a run's settings and clips, before any head is trained or file written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trainer.data.corpus import Corpus
from trainer.data.folds import inner_split
from trainer.data.normalisation import check_modalities
from trainer.data.splits import Fold
from trainer.data.votes import check_votes
from trainer.heads.head import check_shapes, try_plugins
from trainer.heads.stack import why_not_stacked
from trainer.settings import TrainSettings, inner_share
from trainer.training.loss import prior_weights
from trainer.training.temperature import HELD_OUT


def check_head(
    settings: TrainSettings, shapes: Mapping[str, tuple[int, ...]], classes: Sequence[str]
) -> None:
    """Refuse settings with which no head can be trained on such features.

    Args:
        settings: of the head and its training.
        shapes: modality -> shape of one step's features.
        classes: names of the classes.

    Raises:
        ValueError: see ``check_shapes``, ``try_plugins`` and ``prior_weights``; or
            ``optim.stack=on`` of a head that can't be stacked.
    """
    check_shapes(settings, shapes)
    try_plugins(settings, shapes)
    prior_weights(settings.prior, classes, np.arange(len(classes)))
    if settings.optim.stack == "on" and (reason := why_not_stacked([settings])):
        raise ValueError(f"optim.stack=on, but these heads can't be trained as one: {reason}")


def check_fold(corpus: Corpus, fold: Fold, settings: TrainSettings, seeds: Sequence[int]) -> None:
    """Refuse training clips of a fold that no head can be trained on.

    Args:
        corpus: the features.
        fold: the fold, without clips that have no features.
        settings: of the heads and their training.
        seeds: of the heads.

    Raises:
        CorpusError: no training clip has a modality that the head uses.
        VotesError: ``optim.targets=votes``, and a training clip has none.
        SplitError: the clips can't be divided as ``selection`` or ``calibrate`` asks.
    """
    train = corpus.indices([clip.id for clip in fold.train])
    check_modalities(corpus, train, settings)
    if corpus.votes is not None:
        check_votes(corpus.votes[train], [clip.id for clip in fold.train])
    if (share := inner_share(settings.selection)) is not None:
        for seed in seeds:
            inner_split(fold.train, share, seed=seed)
    if settings.calibrate == "temperature":
        inner_split(fold.train, HELD_OUT, seed=settings.seed)
