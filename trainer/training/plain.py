"""Train one head by itself: batches padded to their longest clip, any head and augmentation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.augment import augment
from trainer.data.batches import BatchMaker, plan_batches
from trainer.data.corpus import Corpus
from trainer.heads.head import Head
from trainer.settings import TrainSettings
from trainer.training.loss import head_loss, training_targets
from trainer.training.optim import learning_rate_at, make_optimiser, mix_seed, set_learning_rate
from trainer.training.trained import EpochRecord


class PlainTraining:
    """One head on its way.

    Args:
        head: the head, on its device.
        maker: the batches.
        clips: the training clips.
        corpus: the labels and votes.
        class_weights: (C,) of the loss.
        settings: of the training.
        seed: of order, augmentation and dropout.

    Attributes:
        module, optimiser: what is kept when the training is interrupted.
        heads: the head, alone in a list.
    """

    name = "plain"

    def __init__(
        self,
        head: Head,
        maker: BatchMaker,
        clips: NDArray[np.int64],
        corpus: Corpus,
        class_weights: Tensor,
        settings: TrainSettings,
        seed: int,
    ) -> None:
        self.module = head
        self.heads = [head]
        self.optimiser = make_optimiser(
            head,
            settings.optim.optimiser,
            learning_rate=settings.optim.learning_rate,
            weight_decay=settings.optim.weight_decay,
        )
        self.maker = maker
        self.clips = clips
        self.labels = torch.from_numpy(corpus.labels).to(maker.device)
        targets = training_targets(corpus, settings.optim.targets)
        self.targets = torch.from_numpy(targets).to(maker.device)
        self.class_weights = class_weights.to(maker.device)
        self.settings = settings
        self.seed = seed

    def epoch(self, epoch: int, on_update: Callable[[float], None]) -> list[EpochRecord]:
        """Update the head on every batch of an epoch; the global generator is seeded for it.

        Args:
            epoch: its number, from 1.
            on_update: called after each batch with the share of the epoch's steps that is done.
        """
        torch.manual_seed(mix_seed(self.seed, epoch))
        optim = self.settings.optim
        plan = plan_batches(
            self.maker.lengths, self.clips, optim.batch_size, seed=(self.seed, epoch)
        )
        self.module.train()
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.maker.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.maker.device)
        rate, steps = 0.0, 0
        all_steps = int(self.maker.lengths[self.clips].sum())
        for number, clips in enumerate(plan):
            update = (epoch - 1) * len(plan) + number
            rate = learning_rate_at(
                update,
                optim.epochs * len(plan),
                highest=optim.learning_rate,
                warmup=optim.warmup,
                schedule=optim.schedule,
            )
            set_learning_rate(self.optimiser, rate)
            loss, hits = self._update(clips)
            loss_sum += loss * len(clips)
            correct += hits
            steps += int(self.maker.lengths[clips].sum())
            on_update(steps / max(1, all_steps))
        count = len(self.clips)
        return [EpochRecord(epoch, float(loss_sum) / count, int(correct) / count, rate, 0.0)]

    def _update(self, clips: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Update the head on one batch; return its loss and how many clips were right."""
        optim = self.settings.optim
        rows = torch.from_numpy(clips).to(self.labels.device)
        truth, targets = self.labels[rows], self.targets[rows]
        batch, partner, share = augment(
            self.maker.batch(clips),
            self.settings.augment,
            spectrogram=self.settings.audio.encoder != "none",
        )
        output = self.module(**batch)
        loss = head_loss(output, targets, self.class_weights, optim.label_smoothing)
        if share < 1.0:
            other = head_loss(output, targets[partner], self.class_weights, optim.label_smoothing)
            loss = share * loss + (1.0 - share) * other
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        if optim.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), optim.grad_clip)
        self.optimiser.step()
        return loss.detach(), (output.logits.argmax(dim=1) == truth).sum()
