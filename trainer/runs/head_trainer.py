"""Train the heads of one run, one per fold and seed, and predict the clips they are tested on."""

from __future__ import annotations

from collections.abc import Sequence
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
from trainer.runs.predictions import Predictions
from trainer.runs.run_writer import RunWriter
from trainer.settings import TrainSettings, inner_share
from trainer.training.predict import predict_head
from trainer.training.train import choose_epochs, train_head, train_heads
from trainer.training.trained import EpochRecord, TrainedHead, load_checkpoint, save_checkpoint

# Seeds trained as one: more gain little and take memory for parameters and rows.
MOST_TOGETHER = 16


class Watch:
    """Listener to a run; this one shows nothing."""

    def start(self, num_heads: int, epochs: int) -> None:
        """Hear that the clips are read; ``num_heads`` of at most ``epochs`` epochs follow."""

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Hear that one epoch of a head is done."""

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Hear that a head is trained, or was before the run was resumed."""


class HeadTrainer:
    """Trainer of the heads of one run; keeps their checkpoints, history and progress.

    The seeds of a fold are trained as one where ``optim.stack`` and the settings allow it, else
    one after the other.

    Args:
        writer: the run folder; heads whose checkpoints it has are not trained again.
        corpus: the features of all clips of the run.
        settings: the head and its training.
        device: where to compute.
        watch: hears of every epoch and head.

    Attributes:
        rows: the history, one row per epoch of every head.
        checkpoints: for ``run.json``: the file, fold, seed and epochs of each head, and the seeds
            that it was trained as one with.
    """

    def __init__(
        self,
        writer: RunWriter,
        corpus: Corpus,
        settings: TrainSettings,
        *,
        device: str = "cpu",
        watch: Watch | None = None,
    ) -> None:
        self.writer = writer
        self.corpus = corpus
        self.settings = settings
        self.device = device
        self.watch = watch or Watch()
        self.rows: list[HistoryRow] = []
        self.checkpoints: list[dict[str, Any]] = []
        self._lengthened: set[str] = set()
        if (writer.path / HISTORY).exists():
            self.rows = read_history(writer.path / HISTORY)

    @property
    def lengthened(self) -> list[str]:
        """Test clips whose sound was padded to the encoder's reach."""
        return sorted(self._lengthened)

    def fold(self, fold: Fold, seeds: Sequence[int]) -> dict[int, Predictions]:
        """Train a fold's heads and predict its test clips; by the seed.

        A head that the interrupted run left is taken as it is.
        """
        found: dict[int, Predictions] = {}
        for start in range(0, len(seeds), MOST_TOGETHER):
            found |= self._fold(fold, seeds[start : start + MOST_TOGETHER])
        return found

    def _fold(self, fold: Fold, seeds: Sequence[int]) -> dict[int, Predictions]:
        """Train the heads of some seeds, as one if that can be done."""
        missing = [seed for seed in seeds if not self._checkpoint(fold, seed).exists()]
        # All of a stack, though some of its heads are there: what a head is depends on the stack.
        together = self._train_together(fold, seeds) if missing and self._stacks(seeds) else {}
        found = {seed: self._head(fold, seed, together.get(seed)) for seed in seeds}
        for entry in self.checkpoints[-len(seeds) :] if self._stacks(seeds) else ():
            entry["stacked_seeds"] = list(seeds)
        self._progress(fold, seeds).unlink(missing_ok=True)
        return found

    def _stacks(self, seeds: Sequence[int]) -> bool:
        """Whether a fold's seeds are trained as one."""
        if self.settings.optim.stack == "off" or len(seeds) < 2:
            return False
        # With chosen epochs every seed has training clips and a last epoch of its own.
        fixed = inner_share(self.settings.selection) is None
        return fixed and not why_not_stacked([self.settings])

    def _head(self, fold: Fold, seed: int, trained: TrainedHead | None) -> Predictions:
        """Take a head, or train it, and keep it; predict its test clips."""
        name, path = _name(fold, seed), self._checkpoint(fold, seed)
        resumed = path.exists()
        head = load_checkpoint(path) if resumed else trained or self._train(fold, seed, name)
        if not resumed:
            self._forget(fold, seed, "train")
            # Not as they come: a training that goes on where it was interrupted skips some.
            self.rows += [HistoryRow(fold.number, seed, "train", r) for r in head.history]
            # The history first: a checkpoint that exists has its rows.
            self.writer.write(format_history(self.rows), HISTORY)
            save_checkpoint(head, path)
            self._progress(fold, [seed]).unlink(missing_ok=True)
        self.checkpoints.append(
            {
                "file": f"{CHECKPOINTS}/{path.name}",
                "fold": fold.number,
                "seed": seed,
                "epochs": len(head.history),
            }
        )
        self.watch.head(name, head.history[-1], resumed=resumed)
        return self._predict(head, fold)

    def _train_together(self, fold: Fold, seeds: Sequence[int]) -> dict[int, TrainedHead]:
        names = [_name(fold, seed) for seed in seeds]
        heads = train_heads(
            self.corpus,
            self._indices(fold.train),
            [self.settings],
            seeds,
            device=self.device,
            progress=self._progress(fold, seeds),
            on_epoch=lambda number, record: self.watch.epoch(names[number], "train", record),
        )
        return dict(zip(seeds, heads, strict=True))

    def _train(self, fold: Fold, seed: int, name: str) -> TrainedHead:
        # A head that was interrupted may have left rows.
        self._forget(fold, seed, "choose")
        epochs = None
        share = inner_share(self.settings.selection)
        if share is not None:
            inner, held_out = inner_split(fold.train, share, seed=seed)
            epochs = choose_epochs(
                self.corpus,
                self._indices(inner),
                self._indices(held_out),
                self.settings,
                seed=seed,
                device=self.device,
                on_epoch=lambda record: self._note(fold, seed, name, "choose", record),
            )
        return train_head(
            self.corpus,
            self._indices(fold.train),
            self.settings,
            seed=seed,
            epochs=epochs,
            device=self.device,
            progress=self._progress(fold, [seed]),
            on_epoch=lambda record: self.watch.epoch(name, "train", record),
        )

    def _forget(self, fold: Fold, seed: int, stage: Stage) -> None:
        """Take the rows of a head's training out of the history."""
        own = (fold.number, seed, stage)
        self.rows = [row for row in self.rows if (row.fold, row.seed, row.stage) != own]

    def _note(self, fold: Fold, seed: int, name: str, stage: Stage, record: EpochRecord) -> None:
        self.rows.append(HistoryRow(fold.number, seed, stage, record))
        self.watch.epoch(name, stage, record)

    def _checkpoint(self, fold: Fold, seed: int) -> Path:
        return self.writer.file(CHECKPOINTS, f"{_name(fold, seed)}.safetensors")

    def _progress(self, fold: Fold, seeds: Sequence[int]) -> Path:
        """Return the file of an unfinished training of one head, or of several as one."""
        last = f"-to-{seeds[-1]}" if len(seeds) > 1 else ""
        return self.writer.file(CHECKPOINTS, f"{_name(fold, seeds[0])}{last}.progress")

    def _predict(self, head: TrainedHead, fold: Fold) -> Predictions:
        clips = sorted(fold.test, key=lambda clip: clip.id)
        indices = self._indices(clips)
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
        )

    def _indices(self, clips: Sequence[Clip]) -> NDArray[np.int64]:
        return self.corpus.indices([clip.id for clip in clips])


def _name(fold: Fold, seed: int) -> str:
    """Name a head in files and messages."""
    return f"seed-{seed}" if fold.number is None else f"fold-{fold.number}-seed-{seed}"
