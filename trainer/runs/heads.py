"""Heads of a finished run, loaded from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.runs.folder import CHECKPOINTS, Run, RunError
from trainer.training.trained import CheckpointError, TrainedHead, load_checkpoint


@dataclass(frozen=True)
class SavedHead:
    """A head, and the place it has in its run.

    Args:
        name: of its file, such as ``fold-0-seed-1``.
        fold: number of the fold that it was tested on; None without cross-validation.
        seed: of its training.
        trained: the head.
    """

    name: str
    fold: int | None
    seed: int
    trained: TrainedHead


def load_heads(run: Run) -> list[SavedHead]:
    """Load the heads that a run trained; their files lie in its folder, whatever ``run.json`` says.

    Raises:
        RunError: it trained none, as one made of other runs, or a checkpoint is gone or damaged.
        OSError: one can't be read.
    """
    check_heads(run)
    heads = []
    for row in run.info["checkpoints"]:
        path = run.path / CHECKPOINTS / Path(row["file"]).name
        if not path.is_file():
            raise RunError(f"{path} is gone; train the run again to have its heads")
        try:
            heads.append(SavedHead(path.stem, row["fold"], row["seed"], load_checkpoint(path)))
        except CheckpointError as error:
            raise RunError(f"{run.path} is damaged: {error}") from error
    return heads


def check_heads(run: Run) -> None:
    """Check that a run has heads of its own, which an ensemble of runs hasn't.

    Raises:
        RunError: it has none.
    """
    if not run.info.get("checkpoints"):
        raise RunError(
            f"{run.path} has no heads of its own (it is of kind {run.info.get('kind')}); use the "
            "runs that it was made from"
        )
