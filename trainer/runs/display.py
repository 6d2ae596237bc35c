"""Show how a training goes on: a bar on a terminal, a line per head elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm

from trainer.runs.head_trainer import Watch
from trainer.runs.history import Stage
from trainer.training.trained import EpochRecord


class Display(Watch):
    """Writes to a stream as a run goes on.

    Args:
        stages: trainings per head: 2 when the number of epochs is chosen by a training first.
        stream: where to write; standard error if None.
    """

    def __init__(self, *, stages: int = 1, stream: TextIO | None = None) -> None:
        self.stages = stages
        self.stream = sys.stderr if stream is None else stream
        self.num_heads = self.done = self.epochs = 0
        self.bar: tqdm[None] | None = None

    def start(self, num_heads: int, epochs: int) -> None:
        """Say how much there is to do."""
        self.num_heads, self.epochs = num_heads, epochs
        if self.stream.isatty():
            total = num_heads * epochs * self.stages
            self.bar = tqdm(total=total, unit="epoch", file=self.stream, dynamic_ncols=True)
        else:
            self._print(f"training {num_heads} heads of at most {epochs} epochs")

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Move the bar on."""
        if self.bar is not None:
            what = f"{head}, choosing epochs" if stage == "choose" else head
            self.bar.set_description(what, refresh=False)
            self.bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
            self.bar.update()

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Write the head's line, or move the bar to where the next head starts."""
        self.done += 1
        if self.bar is None:
            ending = "kept from before" if resumed else f"loss {last.loss:.4f}"
            self._print(f"{self.done}/{self.num_heads} {head}: {last.epoch} epochs, {ending}")
            return
        self.bar.n = self.done * self.epochs * self.stages
        self.bar.refresh()
        if self.done == self.num_heads:
            self.close()

    def close(self) -> None:
        """End the bar, so that what is printed next starts on a line of its own."""
        if self.bar is not None:
            self.bar.close()

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)
