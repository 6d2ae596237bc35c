"""Train the heads of one run, one per fold and seed, and predict the clips they are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.clip import Clip
from trainer.corpus import Corpus
from trainer.history import HistoryRow, Stage, format_history, read_history
from trainer.plan import Fold
from trainer.predict import predict_head
from trainer.predictions import Predictions
from trainer.run_writer import RunWriter
from trainer.runs import CHECKPOINTS, HISTORY
from trainer.selection import inner_split
from trainer.settings import TrainSettings, inner_share
from trainer.train import choose_epochs, train_head
from trainer.trained import EpochRecord, TrainedHead, load_checkpoint, save_checkpoint


class Watch:
    """Hears how a run goes on; this one keeps it to itself."""

    def start(self, num_heads: int, epochs: int) -> None:
        """The clips are divided and read; ``num_heads`` of at most ``epochs`` epochs follow."""

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """One epoch of a head is done."""

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """A head is trained, or was before the run was resumed."""


class HeadTrainer:
    """Trains the heads of one run one after the other and keeps what they leave behind.

    Args:
        writer: the run folder; heads whose checkpoints it has are not trained again.
        corpus: the features of all clips of the run.
        settings: the head and its training.
        device: where to compute.
        watch: hears of every epoch and head.

    Attributes:
        rows: the history, one row per epoch of every head.
        checkpoints: for ``run.json``: the file, fold, seed and epochs of each head.
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

    def fold(self, fold: Fold, seed: int) -> Predictions:
        """Train one head, or take the one of the interrupted run, and predict its test clips."""
        name = f"seed-{seed}" if fold.number is None else f"fold-{fold.number}-seed-{seed}"
        path = self.writer.file(CHECKPOINTS, f"{name}.safetensors")
        resumed = path.exists()
        head = load_checkpoint(path) if resumed else self._train(fold, seed, name)
        if not resumed:
            # The history first: a checkpoint that exists has its rows.
            self.writer.write(format_history(self.rows), HISTORY)
            save_checkpoint(head, path)
            self._progress(name).unlink(missing_ok=True)
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

    def _train(self, fold: Fold, seed: int, name: str) -> TrainedHead:
        # A head that was interrupted may have left rows.
        self.rows = [r for r in self.rows if (r.fold, r.seed) != (fold.number, seed)]
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
        head = train_head(
            self.corpus,
            self._indices(fold.train),
            self.settings,
            seed=seed,
            epochs=epochs,
            device=self.device,
            progress=self._progress(name),
            on_epoch=lambda record: self.watch.epoch(name, "train", record),
        )
        # Not as they come: a training that goes on where it was interrupted skips some.
        self.rows += [HistoryRow(fold.number, seed, "train", record) for record in head.history]
        return head

    def _note(self, fold: Fold, seed: int, name: str, stage: Stage, record: EpochRecord) -> None:
        self.rows.append(HistoryRow(fold.number, seed, stage, record))
        self.watch.epoch(name, stage, record)

    def _progress(self, name: str) -> Path:
        """Where an unfinished training of a head is kept."""
        return self.writer.file(CHECKPOINTS, f"{name}.progress")

    def _predict(self, head: TrainedHead, fold: Fold) -> Predictions:
        clips = sorted(fold.test, key=lambda clip: clip.clip)
        indices = self._indices(clips)
        result = predict_head(head, self.corpus, indices, device=self.device)
        self._lengthened.update(
            clip.clip for clip, longer in zip(clips, result.lengthened, strict=True) if longer
        )
        return Predictions(
            classes=self.corpus.classes,
            clips=tuple(clip.clip for clip in clips),
            labels=tuple(clip.label or "" for clip in clips),
            probabilities=result.probabilities,
            folds=(fold.number,) * len(clips),
            splits=(fold.split,) * len(clips),
            modalities=tuple(self.corpus.modalities_of(int(i)) for i in indices),
            untrained=self.corpus.untrained,
        )

    def _indices(self, clips: Sequence[Clip]) -> NDArray[np.int64]:
        return self.corpus.indices([clip.clip for clip in clips])
