"""Display of a training: a bar of epochs on a terminal, a line per head everywhere."""

from __future__ import annotations

from typing import TextIO

from cache.progress import Progress
from trainer.runs.head_trainer import RunListener
from trainer.runs.history import Stage
from trainer.training.trained import EpochRecord


class Display(RunListener):
    """Writes to a stream as a run goes on.

    Args:
        stages: trainings per head: 2 when the number of epochs is chosen by a training first.
        stream: where to write; standard error if None.
    """

    def __init__(self, *, stages: int = 1, stream: TextIO | None = None) -> None:
        self.stages = stages
        self.progress = Progress("epochs", stream)
        self.num_heads = self.heads_done = 0
        self.epochs_done = self.epochs_of_head = self.epochs = 0

    def start(self, num_heads: int, epochs: int) -> None:
        """Print the number of heads and epochs to train."""
        self.num_heads = num_heads
        self.epochs_of_head = epochs * self.stages
        self.epochs = num_heads * self.epochs_of_head
        self.progress.say(f"training {num_heads} heads of at most {epochs} epochs")

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Count an epoch."""
        self.epochs_done += 1
        what = f"{head}, choosing epochs" if stage == "choose" else head
        self.progress.show(self.epochs_done, self.epochs, f"{what}, loss {record.loss:.3f}")

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Write the head's line, and move the bar to where the next head starts."""
        self.heads_done += 1
        ending = "kept from before" if resumed else f"loss {last.loss:.4f}"
        self.progress.say(
            f"{self.heads_done}/{self.num_heads} {head}: {last.epoch} epochs, {ending}"
        )
        self.epochs_done = self.heads_done * self.epochs_of_head
        self.progress.show(self.epochs_done, self.epochs)

    def close(self) -> None:
        """End the bar."""
        self.progress.close()
