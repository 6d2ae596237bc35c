"""Train the heads of runs, one per fold and seed, and predict the clips they are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.manifest.clip import Clip
from trainer.data.corpus import Corpus
from trainer.data.folds import inner_split
from trainer.data.splits import Fold
from trainer.heads.stack import why_not_stacked
from trainer.runs.folder import CHECKPOINTS, HISTORY
from trainer.runs.history import HistoryRow, Stage, format_history, read_history
from trainer.runs.listener import RunListener
from trainer.runs.predictions import Predictions
from trainer.runs.run_writer import RunWriter
from trainer.settings import TrainSettings, inner_share
from trainer.training.predict import predict_head
from trainer.training.temperature import HELD_OUT, fit_temperature
from trainer.training.train import choose_epochs, train_head, train_heads
from trainer.training.trained import EpochRecord, TrainedHead, load_checkpoint, save_checkpoint

# Seeds trained as one: more gain little and take memory for parameters and rows.
MOST_TOGETHER = 16
# Heads trained as one, of all seeds and settings: for the memory that their parameters take.
MOST_HEADS = 64
# A head of a stack: its settings, whatever their own seed, and its seed.
Stack = Mapping[tuple[TrainSettings, int], TrainedHead]


def train_fold(trainers: Sequence[HeadTrainer], fold: Fold) -> list[dict[int, Predictions]]:
    """Train a fold's heads and predict its test clips.

    The heads of all runs and seeds are trained as one if ``are_stacked`` says so, else one after
    another.

    Args:
        trainers: one a run, all of one corpus.
        fold: the fold.

    Returns:
        The predictions of each run, by the seed.
    """
    seeds = sorted({seed for trainer in trainers for seed in trainer.seeds})
    most = max(1, min(MOST_TOGETHER, MOST_HEADS // len(trainers)))
    found: list[dict[int, Predictions]] = [{} for _ in trainers]
    for start in range(0, len(seeds), most):
        together = seeds[start : start + most]
        progress = trainers[0].progress(fold, f"{together[0]}-to-{together[-1]}")
        stack: Stack | None = None
        if len(trainers) * len(together) > 1 and are_stacked([one.settings for one in trainers]):
            # All of a stack, though some of its heads are there: a head's last bits depend on it.
            missing = any(one.lacks(fold, together) for one in trainers)
            stack = _train_stack(trainers, fold, together, progress) if missing else {}
        for trainer, own in zip(trainers, found, strict=True):
            own |= trainer.fold(fold, together, stack)
        progress.unlink(missing_ok=True)
    return found


def _train_stack(
    trainers: Sequence[HeadTrainer], fold: Fold, seeds: Sequence[int], progress: Path
) -> Stack:
    """Train the heads of some runs and seeds as one."""
    first = trainers[0]
    # Runs that differ in nothing but their seeds share their heads.
    variants = {without_seed(one.settings): one.settings for one in trainers}
    heads = train_heads(
        first.corpus,
        first.indices(fold.train),
        list(variants.values()),
        seeds,
        device=first.device,
        progress=progress,
        on_epoch=lambda number, record: first.listener.epoch(
            _name(fold, seeds[number % len(seeds)]), "train", record
        ),
        on_update=first.listener.update,
    )
    return dict(zip(product(variants, seeds), heads, strict=True))


def are_stacked(settings: Sequence[TrainSettings]) -> bool:
    """Whether the heads of these settings, of any seeds, are trained as one."""
    # With chosen epochs every seed has training clips and a last epoch of its own.
    allowed = all(s.optim.stack != "off" and inner_share(s.selection) is None for s in settings)
    return allowed and not why_not_stacked(settings)


def without_seed(settings: TrainSettings) -> TrainSettings:
    """Return settings whose own seed is 0, to compare all else in them."""
    return replace(settings, seed=0)


class HeadTrainer:
    """Trainer of the heads of one run; keeps what they leave behind. See ``train_fold``.

    Args:
        writer: the run folder; heads whose checkpoints it has are not trained again.
        corpus: the features of all clips of the run.
        settings: the head and its training.
        seeds: of the heads of each fold.
        device: where to compute.
        listener: hears of every epoch and head.
        folder: for the heads, in the run folder. Of heads in another than ``CHECKPOINTS`` no
            history is kept.

    Attributes:
        rows: the history, one row per epoch of every head.
        checkpoints: for ``run.json``: the file, fold, seed and epochs of each head, its temperature
            where one was fitted, and the seeds that it was trained as one with.
    """

    def __init__(
        self,
        writer: RunWriter,
        corpus: Corpus,
        settings: TrainSettings,
        seeds: Sequence[int],
        *,
        device: str = "cpu",
        listener: RunListener | None = None,
        folder: str = CHECKPOINTS,
    ) -> None:
        self.writer = writer
        self.corpus = corpus
        self.settings = settings
        self.seeds = list(seeds)
        self.device = device
        self.listener = listener or RunListener()
        self.folder = folder
        self.rows: list[HistoryRow] = []
        self.checkpoints: list[dict[str, Any]] = []
        self._lengthened: set[str] = set()
        self._temperatures: dict[str, float] = {}
        if folder == CHECKPOINTS and (writer.path / HISTORY).exists():
            self.rows = read_history(writer.path / HISTORY)

    @property
    def lengthened(self) -> list[str]:
        """Test clips whose sound was padded to the encoder's reach."""
        return sorted(self._lengthened)

    def lacks(self, fold: Fold, seeds: Sequence[int]) -> bool:
        """Whether a head of these seeds is still to be trained."""
        own = set(seeds).intersection(self.seeds)
        return not all(self._checkpoint(fold, seed).exists() for seed in own)

    def fold(self, fold: Fold, seeds: Sequence[int], stack: Stack | None) -> dict[int, Predictions]:
        """Predict a fold's test clips with the heads of some seeds, trained here or in a stack.

        Args:
            fold: the fold.
            seeds: the seeds; those that the run doesn't have are left out.
            stack: the heads that were trained as one, empty if all were there before; None
                trains each by itself. A head that an interrupted run left is taken as it is.
        """
        found = {}
        for seed in [seed for seed in seeds if seed in self.seeds]:
            trained = (stack or {}).get((without_seed(self.settings), seed))
            if trained is not None:
                trained = replace(trained, settings=self.settings)
            found[seed] = self._head(fold, seed, trained)
            if stack is not None:
                self.checkpoints[-1]["stacked_seeds"] = list(seeds)
        return found

    def _head(self, fold: Fold, seed: int, trained: TrainedHead | None) -> Predictions:
        """Take a head, or train it, and keep it; predict its test clips."""
        name, path = _name(fold, seed), self._checkpoint(fold, seed)
        resumed = path.exists()
        head = load_checkpoint(path) if resumed else trained or self._train(fold, seed, name)
        if not resumed and self.settings.calibrate == "temperature":
            head = replace(head, temperature=self._temperature(fold, len(head.history)))
        if not resumed:
            self._forget(fold, seed, "train")
            # Not as they come: a training that goes on where it was interrupted skips some.
            self.rows += [HistoryRow(fold.number, seed, "train", r) for r in head.history]
            # The history first: a checkpoint that exists has its rows.
            if self.folder == CHECKPOINTS:
                self.writer.write(format_history(self.rows), HISTORY)
            save_checkpoint(head, path)
        # Also that of a head which was there: a kill may have come between the two.
        self.progress(fold, str(seed)).unlink(missing_ok=True)
        self.checkpoints.append(
            {
                "file": f"{self.folder}/{path.name}",
                "fold": fold.number,
                "seed": seed,
                "epochs": len(head.history),
            }
        )
        if self.settings.calibrate == "temperature":
            self.checkpoints[-1]["temperature"] = head.temperature
            self._temperatures[fold.name] = head.temperature
        self.listener.head(name, head.history[-1], resumed=resumed)
        return self._predict(head, fold)

    def _train(self, fold: Fold, seed: int, name: str) -> TrainedHead:
        # A head that was interrupted may have left rows.
        self._forget(fold, seed, "choose")
        epochs = None
        share = inner_share(self.settings.selection)
        if share is not None:
            inner, held_out = inner_split(fold.train, share, seed=seed)
            epochs = choose_epochs(
                self.corpus,
                self.indices(inner),
                self.indices(held_out),
                self.settings,
                seed=seed,
                device=self.device,
                on_epoch=lambda record: self._note(fold, seed, name, "choose", record),
                on_update=self.listener.update,
            )
        return train_head(
            self.corpus,
            self.indices(fold.train),
            self.settings,
            seed=seed,
            epochs=epochs,
            device=self.device,
            progress=self.progress(fold, str(seed)),
            on_epoch=lambda record: self.listener.epoch(name, "train", record),
            on_update=self.listener.update,
        )

    def _temperature(self, fold: Fold, epochs: int) -> float:
        """Fit a fold's temperature, by a head that doesn't see some of the training clips.

        One for all seeds of a fold: it depends on how heads are trained, and hardly on the draw.
        """
        if fold.name not in self._temperatures:
            inner, held_out = inner_split(fold.train, HELD_OUT, seed=self.settings.seed)
            known = {clip.label for clip in inner}
            # No temperature gets clips of another class right.
            indices = self.indices([clip for clip in held_out if clip.label in known])
            head = train_head(
                self.corpus,
                self.indices(inner),
                self.settings,
                epochs=epochs,
                device=self.device,
                on_update=self.listener.update,
            )
            found = predict_head(head, self.corpus, indices, device=self.device)
            labels = self.corpus.labels[indices]
            self._temperatures[fold.name] = fit_temperature(found.probabilities, labels)
        return self._temperatures[fold.name]

    def _forget(self, fold: Fold, seed: int, stage: Stage) -> None:
        """Take the rows of a head's training out of the history."""
        own = (fold.number, seed, stage)
        self.rows = [row for row in self.rows if (row.fold, row.seed, row.stage) != own]

    def _note(self, fold: Fold, seed: int, name: str, stage: Stage, record: EpochRecord) -> None:
        self.rows.append(HistoryRow(fold.number, seed, stage, record))
        self.listener.epoch(name, stage, record)

    def progress(self, fold: Fold, seeds: str) -> Path:
        """Return the file of an unfinished training of a head, or of several as one."""
        return self.writer.file(self.folder, f"{_name(fold, seeds)}.progress")

    def _checkpoint(self, fold: Fold, seed: int) -> Path:
        return self.writer.file(self.folder, f"{_name(fold, seed)}.safetensors")

    def _predict(self, head: TrainedHead, fold: Fold) -> Predictions:
        clips = sorted(fold.test, key=lambda clip: clip.id)
        indices = self.indices(clips)
        result = predict_head(head, self.corpus, indices, device=self.device)
        self._lengthened.update(
            clip.id for clip, longer in zip(clips, result.lengthened, strict=True) if longer
        )
        return Predictions(
            classes=self.corpus.classes,
            clips=tuple(clip.id for clip in clips),
            labels=tuple(clip.label or "" for clip in clips),
            probabilities=result.probabilities,
            folds=(fold.number,) * len(clips),
            splits=(fold.split,) * len(clips),
            modalities=tuple(self.corpus.modalities_of(int(i)) for i in indices),
            untrained=self.corpus.untrained,
            speakers=tuple(clip.speaker or None for clip in clips),
        )

    def indices(self, clips: Sequence[Clip]) -> NDArray[np.int64]:
        """Return the places of clips in the corpus."""
        return self.corpus.indices([clip.id for clip in clips])


def _name(fold: Fold, seed: int | str) -> str:
    """Name a head, in files and messages."""
    if fold.inner:
        return f"inner-{fold.inner}-seed-{seed}"
    return f"seed-{seed}" if fold.number is None else f"fold-{fold.number}-seed-{seed}"
