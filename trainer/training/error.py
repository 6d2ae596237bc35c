"""Error of trainings, apart so that a command names it without loading PyTorch."""

from __future__ import annotations


class TrainingError(ValueError):
    """Error of a training that can't go on, with the epoch and what to change."""
