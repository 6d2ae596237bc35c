"""Train a head on a corpus in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.augment import augment
from trainer.batches import BatchMaker, ordered_batches, plan_batches
from trainer.corpus import UNLABELLED, Corpus, CorpusError
from trainer.heads import Head, make_head
from trainer.loss import class_weights, head_loss
from trainer.normalisation import fit_normalisations, normalise
from trainer.optim import learning_rate_at, make_optimiser, set_learning_rate
from trainer.prior import prior_weights
from trainer.progress import load_progress, save_progress, training_identity
from trainer.settings import TrainSettings
from trainer.trained import EpochRecord, TrainedHead

Clips = Sequence[int] | NDArray[np.int64]

# A killed training loses at most this much work beside its last epoch.
PROGRESS_SECONDS = 5.0
EVALUATION_BATCH = 64


class TrainingError(ValueError):
    """A training that can't go on; says in which epoch and what to change."""


@dataclass(frozen=True)
class Validation:
    """How a head does on clips that it is not trained on."""

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
) -> TrainedHead:
    """Train one head.

    On a CPU the same corpus, clips, settings, seed and number of threads give the same bits,
    whether or not the training was interrupted.

    Args:
        corpus: the features and labels.
        train_clips: indices of the clips to train on; the normalisation is fitted on them.
        settings: the head and its training.
        seed: of parameters, order and dropout; the settings' if None.
        validation_clips: clips to report on after each epoch; they never change the head.
        epochs: stop after so many of ``settings.optim.epochs``, along the same schedule.
        device: where to compute.
        progress: a file that keeps an unfinished training; a later call with the same arguments
            goes on from there. It stays when the training is finished.
        on_epoch: called after each epoch.

    Raises:
        CorpusError: no training clip, one without a label, or none with a step of a modality
            that the head uses.
        TrainingError: the loss is no longer finite; names the epoch.
        ValueError: settings that don't fit the corpus.
    """
    seed = settings.seed if seed is None else seed
    train = _check_clips(corpus, train_clips, "training")
    validation = _check_clips(corpus, validation_clips, "validation")
    normalisation = fit_normalisations(corpus, train, settings)
    maker = BatchMaker(normalise(corpus, normalisation, settings), device)
    labels = torch.from_numpy(corpus.labels).to(device)
    weights = class_weights(settings.optim.class_weight, corpus.labels[train], len(corpus.classes))
    prior = prior_weights(settings.prior, corpus.classes, corpus.labels[train])
    # The global generator drives initialisation and dropout; the caller's is left as it was.
    with torch.random.fork_rng(devices=_devices(device)):
        torch.manual_seed(_seed(seed, 0))
        head = make_head(settings, corpus.shapes, len(corpus.classes)).to(device)
        optimiser = make_optimiser(head, settings.optim)
        stop = min(epochs or settings.optim.epochs, settings.optim.epochs)
        identity = training_identity(corpus, (train, validation), settings, seed, stop)
        history = list(load_progress(progress, identity, head, optimiser) if progress else ())
        saved = time.monotonic()
        for epoch in range(len(history) + 1, stop + 1):
            torch.manual_seed(_seed(seed, epoch))
            started = time.perf_counter()
            plan = plan_batches(maker.lengths, train, settings.optim.batch_size, seed=(seed, epoch))
            record = _train_epoch(
                head, optimiser, maker, plan, labels, weights.to(device), settings, epoch
            )
            if len(validation):
                found = validate(head, maker, validation, labels)
                record = replace(
                    record, validation_loss=found.loss, validation_accuracy=found.accuracy
                )
            record = replace(record, seconds=time.perf_counter() - started)
            history.append(record)
            late = time.monotonic() - saved >= PROGRESS_SECONDS
            if progress and (late or epoch == stop):
                save_progress(progress, identity, head, optimiser, history)
                saved = time.monotonic()
            if on_epoch:
                on_epoch(record)
    return TrainedHead(
        settings=settings,
        classes=corpus.classes,
        shapes={name: corpus.shapes[name] for name in settings.modalities},
        state={name: value.detach().cpu().clone() for name, value in head.state_dict().items()},
        normalisation=normalisation,
        prior=prior,
        seed=seed,
        features=dict(corpus.features),
        set_keys=dict(corpus.set_keys),
        untrained=corpus.untrained,
        history=tuple(history),
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


def _train_epoch(
    head: Head,
    optimiser: torch.optim.Optimizer,
    maker: BatchMaker,
    plan: Sequence[NDArray[np.int64]],
    labels: Tensor,
    weights: Tensor,
    settings: TrainSettings,
    epoch: int,
) -> EpochRecord:
    """Update the head on every batch of an epoch."""
    head.train()
    optim = settings.optim
    loss_sum = torch.zeros((), dtype=torch.float64, device=labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    rate = 0.0
    for number, clips in enumerate(plan):
        update = (epoch - 1) * len(plan) + number
        rate = learning_rate_at(update, optim.epochs * len(plan), optim)
        set_learning_rate(optimiser, rate)
        truth = labels[torch.from_numpy(clips).to(labels.device)]
        batch, partner, share = augment(
            maker.batch(clips), settings.augment, spectrogram=settings.audio.encoder != "none"
        )
        output = head(**batch)
        loss = head_loss(output, truth, weights, optim.label_smoothing)
        if share < 1.0:
            other = head_loss(output, truth[partner], weights, optim.label_smoothing)
            loss = share * loss + (1.0 - share) * other
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        if optim.grad_clip:
            torch.nn.utils.clip_grad_norm_(head.parameters(), optim.grad_clip)
        optimiser.step()
        loss_sum += loss.detach() * len(clips)
        correct += (output.logits.argmax(dim=1) == truth).sum()
    count = sum(map(len, plan))
    mean = float(loss_sum) / count
    if not math.isfinite(mean):
        raise TrainingError(
            f"the loss became {mean} in epoch {epoch} of {optim.epochs}; lower "
            f"optim.learning_rate ({optim.learning_rate:g}) or set optim.grad_clip "
            f"({optim.grad_clip:g})"
        )
    return EpochRecord(epoch, mean, int(correct) / count, rate, 0.0)


def _check_clips(corpus: Corpus, clips: Clips, role: str) -> NDArray[np.int64]:
    """Return the clips' indices; every one must have a label, and training needs one."""
    indices = np.asarray(clips, np.int64)
    if role == "training" and not len(indices):
        raise CorpusError("training needs at least one clip")
    unlabelled = indices[corpus.labels[indices] == UNLABELLED]
    if len(unlabelled):
        raise CorpusError(
            f"{len(unlabelled)} {role} clips have no label, {corpus.clip_ids[unlabelled[0]]} first"
        )
    return indices


def _seed(*numbers: int) -> int:
    """Mix numbers into one seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _devices(device: torch.device | str) -> list[torch.device]:
    """Devices whose generators a training uses beside the CPU's."""
    device = torch.device(device)
    return [] if device.type == "cpu" else [device]
