"""Listener to a run, and the forecast of its time that it hears."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.runs.history import Stage
from trainer.training.trained import EpochRecord


@dataclass(frozen=True)
class Forecast:
    """Time that the rest of a run's training takes, from what was measured so far.

    Args:
        seconds: from now until the last head is trained; the most, if epochs are chosen.
        epoch_seconds: of one epoch of one head; heads trained as one share their time alike.
        cheaper: sentences on what would take less time; empty if nothing is known.
    """

    seconds: float
    epoch_seconds: float
    cheaper: tuple[str, ...] = ()


class RunListener:
    """Listener to a run; this one shows nothing."""

    def note(self, text: str) -> None:
        """Hear a sentence on the run's settings, before the clips are read."""

    def read(self, unit: str, done: int, total: int) -> None:
        """Hear how many files of clips are compared, or entries read, before the start."""

    def start(self, num_heads: int, epochs: int) -> None:
        """Hear that the clips are read; ``num_heads`` of at most ``epochs`` epochs follow."""

    def update(self, share: float, seconds: float, num_heads: int) -> None:
        """Hear that heads trained as one have done a share of an epoch in so many seconds."""

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Hear that one epoch of a head is done."""

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Hear that a head is trained, or was before the run was resumed."""

    def forecast(self, forecast: Forecast) -> None:
        """Hear how long the rest takes: soon after the start, and again as more is known."""
