"""Train a stack of heads as one, each as its seed has it trained alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import plan_batches
from trainer.data.corpus import Corpus
from trainer.heads.head import Head
from trainer.heads.stack import StackedHeads
from trainer.heads.stack_batches import StackedBatch, StackedBatchMaker
from trainer.settings import TrainSettings
from trainer.training.loss import class_targets, training_targets
from trainer.training.optim import learning_rate_at, make_optimiser, mix_seed, set_learning_rate
from trainer.training.trained import EpochRecord

# As torch.nn.utils.clip_grad_norm_ has it.
CLIP_EPS = 1e-6


class StackedTraining:
    """A stack of V variants x S seeds on its way.

    Each head has its seed's initial parameters, order of batches, dropout and learning rate, and
    its gradient is clipped by its own norm; its numbers differ from those of ``PlainTraining`` by
    rounding alone.

    Args:
        heads: (V)(S) heads, on their device; they become views of the stack.
        maker: the batches.
        clips: the training clips.
        corpus: the labels and votes.
        class_weights: (C,) of the loss.
        variants: (V) settings.
        seeds: (S) seeds, of order and dropout.

    Attributes:
        module, optimiser: what is kept when the training is interrupted.
        heads: the heads, the seeds of the first variant first.
    """

    name = "stacked"

    def __init__(
        self,
        heads: Sequence[Sequence[Head]],
        maker: StackedBatchMaker,
        clips: NDArray[np.int64],
        corpus: Corpus,
        class_weights: Tensor,
        variants: Sequence[TrainSettings],
        seeds: Sequence[int],
    ) -> None:
        self.heads = [head for row in heads for head in row]
        self.module = StackedHeads(variants, heads)
        self.optim = variants[0].optim
        self.optimiser = make_optimiser(
            self.module,
            self.optim.optimiser,
            learning_rate=self.optim.learning_rate,
            weight_decay=self.optim.weight_decay,
            stack_axes=2,
        )
        self.maker = maker
        self.clips = clips
        self.labels = torch.from_numpy(corpus.labels).to(maker.device)
        weights = class_weights.to(maker.device)
        rows = class_targets(weights, self.optim.label_smoothing)
        targets = torch.from_numpy(training_targets(corpus, self.optim.targets)).to(maker.device)
        # Of each clip: what its log probabilities are multiplied by, and what it weighs. Votes are
        # shares of clips of each class.
        by_label = targets.ndim == 1
        self.targets = rows[targets] if by_label else targets @ rows
        self.clip_weights = weights[targets] if by_label else targets @ weights
        self.seeds = list(seeds)
        self.shape = (len(variants), len(self.seeds))
        # Of parameter (P, S, ...): which rows of (V, S) its heads are.
        self._rows = [
            (p, torch.tensor(self.module.members[name], device=maker.device))
            for name, p in self.module.named_parameters()
        ]
        self._all_rows = torch.cat([rows for _, rows in self._rows])

    def epoch(self, epoch: int, on_update: Callable[[float], None]) -> list[EpochRecord]:
        """Update all heads on every batch of an epoch; one record a head.

        Args:
            epoch: its number, from 1.
            on_update: called after each batch with the share of the epoch's batches that is done.
        """
        size = self.optim.batch_size
        lengths = self.maker.lengths
        plans = [plan_batches(lengths, self.clips, size, seed=(s, epoch)) for s in self.seeds]
        noise = [torch.Generator().manual_seed(mix_seed(seed, epoch)) for seed in self.seeds]
        loss_sum = torch.zeros(self.shape, dtype=torch.float64, device=self.maker.device)
        correct = torch.zeros(self.shape, dtype=torch.float64, device=self.maker.device)
        steps, rate = len(plans[0]), 0.0
        for number, batch in enumerate(self.maker.batches(plans)):
            update = (epoch - 1) * steps + number
            rate = learning_rate_at(
                update,
                self.optim.epochs * steps,
                highest=self.optim.learning_rate,
                warmup=self.optim.warmup,
                schedule=self.optim.schedule,
            )
            set_learning_rate(self.optimiser, rate)
            loss, hits = self._update(batch, noise)
            loss_sum += loss * batch.real.sum(dim=1)
            correct += hits
            on_update((number + 1) / steps)
        count = len(self.clips)
        return [
            EpochRecord(epoch, loss / count, hits / count, rate, 0.0)
            for loss, hits in zip(
                loss_sum.flatten().tolist(), correct.flatten().tolist(), strict=True
            )
        ]

    def _update(
        self, batch: StackedBatch, noise: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Update the heads on one batch; each one's loss and right clips, (V, S)."""
        logits = self.module(batch, self.module.draw_noise(batch, noise))
        truth = self.labels[batch.clips]
        losses = -(logits.log_softmax(dim=-1) * self.targets[batch.clips]).sum(dim=-1)
        # The mean of cross_entropy, which weighs clips by their class, over the real clips.
        share = self.clip_weights[batch.clips] * batch.real
        loss = (losses * batch.real).sum(dim=-1) / share.sum(dim=-1)
        for parameter, _ in self._rows:
            parameter.grad = None
        # No head sees another's parameters: the sum gives each its own gradient.
        torch.autograd.backward(loss.sum())
        if self.optim.grad_clip:
            self._clip()
        self.optimiser.step()
        hits = (logits.detach().argmax(dim=-1) == truth) * batch.real
        return loss.detach(), hits.sum(dim=-1)

    @torch.no_grad()
    def _clip(self) -> None:
        """Bring the norm of each head's gradient down to ``grad_clip``."""
        norms = [torch.linalg.vector_norm(_grad(p).flatten(2), dim=2) for p, _ in self._rows]
        square = torch.zeros(self.shape, device=self.maker.device)
        square.index_add_(0, self._all_rows, torch.cat(norms).square())
        share = self.optim.grad_clip / (square.sqrt() + CLIP_EPS)
        # To look at it on a GPU would mean to wait for it.
        if share.is_cpu and bool((share >= 1.0).all()):
            return
        share = share.clamp(max=1.0)
        for parameter, rows in self._rows:
            own = share[rows]
            _grad(parameter).mul_(own.reshape(*own.shape, *(1,) * (parameter.ndim - 2)))


def _grad(parameter: Tensor) -> Tensor:
    grad: Tensor = parameter.grad  # type: ignore[assignment]  # each takes part in every update
    return grad
