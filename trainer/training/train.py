"""Train heads on a corpus in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cache.codec import fields_to_json
from cache.digest import digest_array, digest_json
from cache.wording import number_of
from extractors.running.arithmetic import full_float32, other_generators
from trainer.data.batches import BatchMaker, ordered_batches
from trainer.data.corpus import UNLABELLED, Corpus, CorpusError
from trainer.data.normalisation import Normalisation, fit_normalisations, normalise
from trainer.data.votes import check_votes
from trainer.heads.head import Head, make_head
from trainer.heads.stack import why_not_stacked
from trainer.heads.stack_batches import StackedBatchMaker
from trainer.settings import TrainSettings
from trainer.training.classical import fit_head
from trainer.training.error import TrainingError
from trainer.training.identity import OtherTrainingError, digest_identity
from trainer.training.loss import class_weights, training_targets
from trainer.training.optim import mix_seed
from trainer.training.plain import PlainTraining
from trainer.training.stack import StackedTraining
from trainer.training.state import StateError, Unfinished
from trainer.training.trained import EpochRecord, TrainedHead, describe_trained

Clips = Sequence[int] | NDArray[np.int64]
# Hears the share of an epoch that is done, its seconds so far, and the number of heads in it.
OnUpdate = Callable[[float, float, int], None]
# A killed training loses at most this much work beside its last epoch.
PROGRESS_SECONDS = 5.0
EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Validation:
    """Loss and accuracy of a head on clips that it is not trained on."""

    loss: float
    accuracy: float


def train_head(
    corpus: Corpus,
    train_clips: Clips,
    settings: TrainSettings,
    *,
    seed: int | None = None,
    validation_clips: Clips = (),
    epochs: int | None = None,
    device: torch.device | str = "cpu",
    progress: Path | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_update: OnUpdate | None = None,
) -> TrainedHead:
    """Train one head.

    On a CPU the same corpus, clips, settings, seed and number of threads give the same bits,
    whether or not the training was interrupted.

    Args:
        corpus: the features and labels, and the votes for ``optim.targets=votes``.
        train_clips: indices of the clips to train on; the normalisation is fitted on them.
        settings: the head and its training.
        seed: of parameters, order and dropout; the settings' if None.
        validation_clips: clips to report on after each epoch; they never change the head.
        epochs: stop after so many of ``settings.optim.epochs``, along the same schedule.
        device: where to compute.
        progress: a file that keeps an unfinished training; a later call with the same arguments
            goes on from there. It stays when the training is finished.
        on_epoch: called after each epoch.
        on_update: called after each batch with the share of the epoch that is done, the seconds
            since it began, and the number of heads that are trained as one.

    Raises:
        CorpusError: no training clip, one without a label, or none with a step of a modality
            that the head uses.
        VotesError: ``optim.targets=votes`` and a training clip without votes.
        TrainingError: the loss is no longer finite; names the epoch.
        ValueError: settings that don't fit the corpus, or ``optim.stack=on`` of a head that
            can't be stacked.
    """

    def tell(_: int, record: EpochRecord) -> None:
        if on_epoch:
            on_epoch(record)

    (head,) = train_heads(
        corpus,
        train_clips,
        [settings],
        [settings.seed if seed is None else seed],
        validation_clips=validation_clips,
        epochs=epochs,
        device=device,
        progress=progress,
        on_epoch=tell,
        on_update=on_update,
    )
    return head


def train_heads(
    corpus: Corpus,
    train_clips: Clips,
    variants: Sequence[TrainSettings],
    seeds: Sequence[int],
    *,
    validation_clips: Clips = (),
    epochs: int | None = None,
    device: torch.device | str = "cpu",
    progress: Path | None = None,
    on_epoch: Callable[[int, EpochRecord], None] | None = None,
    on_update: OnUpdate | None = None,
) -> list[TrainedHead]:
    """Train several heads as one: each variant with each seed.

    A head is the one that ``train_head`` trains alone, up to rounding. On a CPU the same call
    gives the same bits, whether or not it was interrupted.

    Args:
        corpus: see ``train_head``, as for all arguments that are not here.
        train_clips: see there.
        variants: settings that differ in their attention alone.
        seeds: one head each, of every variant.
        validation_clips: see there.
        epochs: see there.
        device: see there.
        progress: see there; one file for all heads.
        on_epoch: called after each epoch for each head, with its place in the result.
        on_update: see there.

    Returns:
        The heads; the seeds of the first variant first.

    Raises:
        CorpusError, TrainingError: as ``train_head``.
        ValueError: as ``train_head``, or several heads that can't be trained as one; says why.
    """
    train = _check_clips(corpus, train_clips, "training")
    validation = _check_clips(corpus, validation_clips, "validation")
    settings = variants[0]
    corpus = corpus.laid_along(corpus.fit_templates(train, settings))
    if not settings.is_network:
        fitted = [fit_head(corpus, train, own, seed) for own, seed in product(variants, seeds)]
        for number, head in enumerate(fitted):
            if on_epoch:
                on_epoch(number, head.history[-1])
        return fitted
    if settings.optim.targets == "votes":
        check_votes(
            None if corpus.votes is None else corpus.votes[train],
            [corpus.clip_ids[i] for i in train],
        )
    normalisation = fit_normalisations(corpus, train, settings)
    pairs = list(product(variants, seeds))
    # The global generator drives initialisation and what is drawn for a head trained by itself;
    # the caller's is left as it was.
    with torch.random.fork_rng(devices=other_generators(device)), full_float32(device):
        training, maker = _begin(corpus, train, variants, seeds, normalisation, device)
        labels = torch.from_numpy(corpus.labels).to(device)
        stop = min(epochs or settings.optim.epochs, settings.optim.epochs)
        clips = train, validation
        identity = training_identity(corpus, clips, pairs, stop, kind=training.name)
        unfinished = Unfinished(progress, identity, training.module, training.optimiser)
        done = _resume(unfinished)
        history = [done[number :: len(pairs)] for number in range(len(pairs))]
        saved = time.monotonic()
        for epoch in range(len(history[0]) + 1, stop + 1):
            started = time.perf_counter()

            def tell(share: float, started: float = started) -> None:
                if on_update:
                    on_update(share, time.perf_counter() - started, len(pairs))

            records = training.epoch(epoch, tell)
            for number, record in enumerate(records):
                _check_finite(record, pairs[number][0])
                if len(validation):
                    found = validate(training.heads[number], maker, validation, labels)
                    records[number] = replace(
                        record, validation_loss=found.loss, validation_accuracy=found.accuracy
                    )
            # Heads trained as one share its time alike.
            seconds = (time.perf_counter() - started) / len(pairs)
            for past, record in zip(history, records, strict=True):
                past.append(replace(record, seconds=seconds))
            late = time.monotonic() - saved >= PROGRESS_SECONDS
            if progress and (late or epoch == stop):
                flat = [
                    fields_to_json(record) for row in zip(*history, strict=True) for record in row
                ]
                unfinished.keep({"history": flat})
                saved = time.monotonic()
            if on_epoch:
                for number, past in enumerate(history):
                    on_epoch(number, past[-1])
    return [
        describe_trained(
            corpus,
            train,
            own,
            seed,
            {name: value.detach().cpu().clone() for name, value in head.state_dict().items()},
            normalisation,
            tuple(past),
        )
        for (own, seed), head, past in zip(pairs, training.heads, history, strict=True)
    ]


def training_identity(
    corpus: Corpus,
    clips: Sequence[NDArray[np.int64]],
    heads: Sequence[tuple[TrainSettings, int]],
    stop: int,
    *,
    kind: str,
) -> str:
    """Digest everything that decides the bits of heads on one machine.

    Args:
        corpus: the features, by what was read of each clip, and the labels.
        clips: the training clips, and those that are reported on.
        heads: settings and seed of each head that is trained.
        stop: the epoch after which it stops.
        kind: "plain" or "stacked".
    """
    return digest_identity(
        {
            "heads": [[fields_to_json(settings), seed] for settings, seed in heads],
            "kind": kind,
            "stop": stop,
            "classes": list(corpus.classes),
            "clips": [[corpus.clip_ids[i] for i in part] for part in clips],
            "labels": [corpus.labels[part].tolist() for part in clips],
            **({} if corpus.votes is None else {"votes": digest_array(corpus.votes[clips[0]])}),
            **({} if corpus.speech is None else {"sentences": list(corpus.speech.sentences)}),
            "set_keys": dict(corpus.set_keys),
            "read": {key: digest_json(sums) for key, sums in corpus.checksums.items()},
            "steps": {name: digest_array(part.offsets) for name, part in corpus.sequences.items()},
        }
    )


def _resume(unfinished: Unfinished) -> list[EpochRecord]:
    """Return the epochs that are done, of several heads epoch by epoch.

    A head is trained in seconds: one whose progress is damaged or another's starts afresh.
    """
    try:
        progress = unfinished.resume() or {"history": []}
    except (StateError, OtherTrainingError, OSError):
        return []
    return [EpochRecord(**record) for record in progress["history"]]


def _begin(
    corpus: Corpus,
    train: NDArray[np.int64],
    variants: Sequence[TrainSettings],
    seeds: Sequence[int],
    normalisation: Mapping[str, Normalisation],
    device: torch.device | str,
) -> tuple[PlainTraining | StackedTraining, BatchMaker]:
    """Make the heads, what trains them, and the batches for validation.

    Args:
        corpus: the features and labels.
        train: the training clips.
        variants: settings that differ in their attention alone.
        seeds: one head each, of every variant.
        normalisation: modality -> what was fitted on the training clips.
        device: where to compute.

    Raises:
        ValueError: several heads that can't be trained as one, or one that ``optim.stack=on``
            asks to be and that can't; says why.
    """
    settings = variants[0]
    targets = training_targets(corpus, settings.optim.targets)[train]
    by_label = targets.ndim == 1
    counts = (
        np.bincount(targets, minlength=len(corpus.classes)) if by_label else targets.sum(axis=0)
    )
    weights = class_weights(settings.optim.class_weight, counts.astype(np.float64))
    reason = why_not_stacked(variants)
    several = len(variants) * len(seeds) > 1
    if not reason and settings.optim.stack == "off":
        reason = "optim.stack=off"
    if reason and (settings.optim.stack == "on" or several):
        raise ValueError(f"these heads can't be trained as one: {reason}")
    heads = [[_make(corpus, own, seed, device) for seed in seeds] for own in variants]
    maker = BatchMaker(normalise(corpus, normalisation, settings), device)
    if reason:
        one = PlainTraining(heads[0][0], maker, train, corpus, weights, settings, seeds[0])
        return one, maker
    packed = StackedBatchMaker(maker)
    return StackedTraining(heads, packed, train, corpus, weights, variants, seeds), maker


def _make(corpus: Corpus, settings: TrainSettings, seed: int, device: torch.device | str) -> Head:
    torch.manual_seed(mix_seed(seed, 0))
    return make_head(settings, corpus.shapes, len(corpus.classes)).to(device)


def _check_finite(record: EpochRecord, settings: TrainSettings) -> None:
    if not math.isfinite(record.loss):
        optim = settings.optim
        raise TrainingError(
            f"the loss became {record.loss} in epoch {record.epoch} of {optim.epochs}; lower "
            f"optim.learning_rate ({optim.learning_rate:g}) or set optim.grad_clip "
            f"({optim.grad_clip:g})"
        )


def choose_epochs(
    corpus: Corpus,
    train_clips: Clips,
    held_out: Clips,
    settings: TrainSettings,
    *,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_update: OnUpdate | None = None,
) -> int:
    """Choose the number of epochs on clips held out of the training clips.

    Args:
        corpus: the features and labels.
        train_clips: the training clips that are left.
        held_out: those that are held out; never clips that a run reports on.
        settings: the head and its training.
        seed: as in ``train_head``.
        device: as in ``train_head``.
        on_epoch: called after each epoch.
        on_update: as in ``train_head``.

    Returns:
        The epoch with the highest accuracy on ``held_out``, among equals that of lowest loss.

    Raises:
        CorpusError: as ``train_head``, or there is no held-out clip.
        TrainingError: as ``train_head``.
    """
    if not len(held_out):
        raise CorpusError("choosing the number of epochs needs at least one held-out clip")
    head = train_head(
        corpus,
        train_clips,
        settings,
        seed=seed,
        validation_clips=held_out,
        device=device,
        on_epoch=on_epoch,
        on_update=on_update,
    )

    def merit(record: EpochRecord) -> tuple[float, float]:
        return record.validation_accuracy or 0.0, -(record.validation_loss or 0.0)

    return max(head.history, key=merit).epoch


@torch.no_grad()
def validate(head: Head, maker: BatchMaker, clips: NDArray[np.int64], labels: Tensor) -> Validation:
    """Measure a head on clips that it is not trained on."""
    head.eval()
    loss, correct = 0.0, 0
    for batch in ordered_batches(maker.lengths, clips, EVALUATION_BATCH):
        logits = head(**maker.batch(batch)).logits
        truth = labels[torch.from_numpy(batch).to(labels.device)]
        loss += float(F.cross_entropy(logits, truth, reduction="sum"))
        correct += int((logits.argmax(dim=1) == truth).sum())
    return Validation(loss / len(clips), correct / len(clips))


def _check_clips(corpus: Corpus, clips: Clips, role: str) -> NDArray[np.int64]:
    """Return the clips' indices; every one must have a label, and training needs one."""
    indices = np.asarray(clips, np.int64)
    if role == "training" and not len(indices):
        raise CorpusError("training needs at least one clip")
    unlabelled = indices[corpus.labels[indices] == UNLABELLED]
    if len(unlabelled):
        raise CorpusError(
            f"{number_of(len(unlabelled), f'{role} clip')} without a label, "
            f"{corpus.clip_ids[unlabelled[0]]} first"
        )
    return indices
