"""Train a face network on still images, so that a killed training goes on with the same result."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cache.codec import fields_to_json
from extractors.running.arithmetic import full_float32, other_generators
from extractors.weights.load import load_weights
from extractors.weights.tensors import weights_digest
from trainer.stills.augment import SEEDS_APART, draw_batch, epoch_order
from trainer.stills.classifier import (
    FaceClassifier,
    balance,
    finetune_optimiser,
    log_prior,
    normalise,
    predict_stills,
    score_stills,
    soft_cross_entropy,
)
from trainer.stills.images.stills import Stills
from trainer.stills.prepare import RANDOM, resolve, training_identity
from trainer.stills.settings import FinetuneSettings
from trainer.stills.settle import settle_norms
from trainer.training.optim import learning_rate_at, set_learning_rate
from trainer.training.state import Unfinished

# A kill costs at most this much work.
SAVE_EVERY_SECONDS = 60.0
PROGRESS_FIELDS = ("update", "loss_sum", "history", "scaler")


@dataclass(frozen=True)
class StillEpoch:
    """One epoch: its number from 1, input size, mean loss, and the validation images' score."""

    epoch: int
    image_size: int
    loss: float
    valid_accuracy: float
    valid_loss: float


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network.

    Attributes:
        classifier: in evaluation mode, with the averaged parameters where the settings ask for it.
        history: its epochs.
    """

    classifier: FaceClassifier
    history: tuple[StillEpoch, ...]


class TrainingState:
    """State of a fine-tuning that changes with each update, besides the optimiser.

    Args:
        module: the parameters that are trained.
        ema: decay per update of the averaged parameters; 0 averages nothing.

    Attributes:
        mean: the averaged parameters, and the averaged statistics of norms, by name.
        update: updates done.
        loss_sum: of the epoch so far.
        history: one row an epoch.
        scaler: the loss's scale, of half precision on a GPU.
    """

    def __init__(self, module: nn.Module, ema: float) -> None:
        self.module = module
        self.ema = ema
        self.update = 0
        self.loss_sum = 0.0
        self.history: list[dict[str, Any]] = []
        self.scaler: dict[str, Any] = {}
        self.mean = {name: value.detach().clone() for name, value in self._floats().items()}

    def progress(self) -> dict[str, Any]:
        """Return the numbers, as JSON that reads back to the same bits."""
        return {name: getattr(self, name) for name in PROGRESS_FIELDS}

    def restore(self, progress: Mapping[str, Any]) -> None:
        """Put back what ``progress`` returned."""
        for name in PROGRESS_FIELDS:
            setattr(self, name, progress[name])

    def average(self) -> None:
        """Take the present parameters into the mean; sooner while there are few of them."""
        decay = min(self.ema, self.update / (10 + self.update)) if self.ema else 0.0
        with torch.no_grad():
            for name, value in self._floats().items():
                self.mean[name].lerp_(value, 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the mean in the place of the parameters for a while."""
        kept = {name: value.detach().clone() for name, value in self._floats().items()}
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(kept)

    def keep_average(self) -> None:
        """Put the mean in the place of the parameters for good."""
        self._set(self.mean)

    def _floats(self) -> dict[str, Tensor]:
        """Parameters and the norms' statistics."""
        return {
            name: value
            for name, value in self.module.state_dict().items()
            if value.is_floating_point()
        }

    def _set(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._floats().items():
                value.copy_(values[name])


class DivergedError(ValueError):
    """A loss or a parameter is no longer finite."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A training was asked to stop; its state is saved. Carries the updates done, and all."""

    def __init__(self, update: int, total: int) -> None:
        super().__init__(f"stopped after update {update} of {total}")
        self.update, self.total = update, total


def finetune(
    train: Stills,
    valid: Stills,
    settings: FinetuneSettings,
    *,
    weights: Path | None = None,
    progress: Path | None = None,
    device: str | torch.device = "cpu",
    on_update: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[StillEpoch], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Finetuned:
    """Fine-tune a face network, or train it from scratch, with soft targets.

    Every draw of an update comes from generators seeded by the settings' seed and the update's
    number; what is on disk is the state after some update. A training that was killed at any
    moment therefore ends, on one machine with one number of threads, in the same bits; on a GPU,
    some of whose gradients are added up in no fixed order, up to rounding.

    Args:
        train: images to learn; those without a target are left out.
        valid: images that are scored after every epoch. Nothing is chosen by them.
        settings: all that decides the result.
        weights: where to start; None starts from random weights of the settings' seed.
        progress: file for the state of an unfinished training; None keeps none.
        device: where to compute.
        on_update: hears the number of updates done, of all, and the loss.
        on_epoch: hears of each epoch.
        stopped: asked after every update whether to save the state and stop.

    Raises:
        Stopped: ``stopped`` said so.
        ValueError: there is nothing to train on, the classes differ, or the network takes no
            images of that size.
        DivergedError: the loss, or a parameter at the end, is not finite.
        WeightsError: ``weights`` does not fit the network.
        StateError: ``progress`` is damaged.
        OtherTrainingError: ``progress`` is of another training.
        OSError: ``progress`` can't be written.

    Source:
        Both papers fine-tune face networks on still faces first (icmi19 section 2.1, deep-fusion
        section 3.1). Differs from them: vote distributions as targets, after Barsoum et al., ICMI
        2016, and the schedule, which they do not give.
    """
    train, settings = resolve(train, settings)
    if train.classes != valid.classes:
        raise ValueError(f"training has the classes {train.classes}, validation {valid.classes}")
    # PyTorch's own first values draw from the global generator, before ours replace them.
    with torch.random.fork_rng(devices=[]):
        classifier = FaceClassifier(
            settings.network, len(train.classes), settings.dropout, settings.seed
        )
    started_from = RANDOM
    if weights is not None:
        load_weights(classifier.network, weights)
        started_from = weights_digest(classifier.network)
        if settings.settle_norms:
            settle_norms(classifier, train, settings)
    classifier = classifier.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a stub lacks it
    updates_per_epoch = max(1, len(train) // settings.batch_size)
    total = updates_per_epoch * settings.epochs
    optimiser = finetune_optimiser(classifier, settings)
    state = TrainingState(classifier, settings.ema)
    identity = training_identity(train, settings, started_from)
    unfinished = Unfinished(progress, identity, classifier, optimiser, state.mean)
    if kept := unfinished.resume():
        state.restore(kept)
    class_weights = balance(train, settings).to(device)
    pull = (settings.logit_adjustment * log_prior(train)).to(device)
    dtype: torch.dtype = getattr(torch, settings.precision)
    device_type = torch.device(device).type
    # Half precision on a GPU loses small gradients unless the loss is scaled up.
    scaler = torch.amp.GradScaler(device_type, enabled=dtype is torch.float16)
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    saved = time.monotonic()
    classifier.train()
    while state.update < total:
        epoch, place = divmod(state.update, updates_per_epoch)
        if place == 0:
            state.loss_sum = 0.0
        order = epoch_order(len(train), settings.seed, epoch)
        chosen = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        images, targets = draw_batch(train, chosen, settings, epoch, state.update, device)
        rate = learning_rate_at(
            state.update, total, highest=settings.learning_rate, warmup=settings.warmup
        )
        set_learning_rate(optimiser, rate)
        images = normalise(classifier, images)
        with full_float32(device):
            with (
                torch.random.fork_rng(devices=other_generators(device)),
                torch.autocast(device_type, dtype, enabled=dtype is not torch.float32),
            ):
                # Dropout draws from the global generator: the same ones on resuming.
                torch.manual_seed(settings.seed * SEEDS_APART + state.update)
                logits = classifier(images).float()
            loss = soft_cross_entropy(logits + pull, targets, class_weights)
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # PyTorch's own
        scaler.step(optimiser)
        scaler.update()
        state.scaler = scaler.state_dict()
        state.update += 1
        state.loss_sum += float(loss.detach())
        if not math.isfinite(state.loss_sum):
            raise DivergedError(
                f"the loss of update {state.update} is not finite; lower learning_rate "
                f"({settings.learning_rate}) or use precision float32"
            )
        state.average()
        if on_update is not None:
            on_update(state.update, total, float(loss.detach()))
        if place + 1 == updates_per_epoch:
            with state.averaged():
                row = score_epoch(
                    classifier, valid, settings, epoch, state.loss_sum / updates_per_epoch, device
                )
            state.history.append(fields_to_json(row))
            if on_epoch is not None:
                on_epoch(row)
        if place + 1 == updates_per_epoch or time.monotonic() - saved > SAVE_EVERY_SECONDS:
            unfinished.keep(state.progress())
            saved = time.monotonic()
        if state.update < total and stopped is not None and stopped():
            unfinished.keep(state.progress())
            raise Stopped(state.update, total)
    state.keep_average()
    broken = [name for name, value in classifier.state_dict().items() if not finite(value)]
    if broken:
        raise DivergedError(
            f"{len(broken)} parameters, such as {broken[0]}, are not finite after the training; "
            f"lower learning_rate ({settings.learning_rate}) or use precision float32"
        )
    return Finetuned(classifier.eval(), tuple(StillEpoch(**row) for row in state.history))


def finite(values: Tensor) -> bool:
    """Whether all values are finite."""
    return bool(values.isfinite().all())


def score_epoch(
    classifier: FaceClassifier,
    valid: Stills,
    settings: FinetuneSettings,
    epoch: int,
    loss: float,
    device: str | torch.device,
) -> StillEpoch:
    """Score the validation images after one epoch, counted from 0, at that epoch's size."""
    tested = valid.testable()
    probabilities = predict_stills(
        classifier,
        tested,
        settings.size_at(epoch),
        grey=settings.grey,
        flip=False,
        device=device,
    )
    score = score_stills(probabilities, tested.labels)
    return StillEpoch(epoch + 1, settings.size_at(epoch), loss, score.accuracy, score.loss)
