"""Which checkpoint an ``alexnet`` set is made with, and which clips its encoder has seen.

Stage one doesn't import stage two: what it needs of a run is read from the run folder's files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class EncoderChoiceError(ValueError):
    """A path that does not name one checkpoint."""


def find_checkpoint(path: Path) -> Path:
    """Return the one checkpoint that ``path`` stands for: the file itself, or that of a run.

    Raises:
        EncoderChoiceError: there is none, or the run has several, one for each fold and seed.
    """
    if path.is_file():
        return path.resolve()
    if not path.is_dir():
        raise EncoderChoiceError(f"{path} is neither a checkpoint nor a run folder")
    files = sorted((path / "checkpoints").glob("*.safetensors"))
    if len(files) == 1:
        return files[0].resolve()
    if not files:
        raise EncoderChoiceError(f"{path} has no checkpoints/*.safetensors; train the run first")
    raise EncoderChoiceError(
        f"{path} has {len(files)} checkpoints, each trained on other clips or another seed; name "
        f"one of them: {', '.join(str(file) for file in files[:5])}"
        + (", ..." if len(files) > 5 else "")
    )


def describe_training(checkpoint: Path) -> dict[str, Any] | None:
    """Say which clips a checkpoint's encoder was trained on, from the run folder around it.

    Features of an encoder leak the labels of the clips that it was trained on: a head may only
    be reported on the fold that the encoder did not see.

    Returns:
        For the provenance: run, fold, and the digests of the training and the test clips, as in
        ``run.json``; None for a checkpoint that was taken out of its run.
    """
    run = checkpoint.parent.parent
    try:
        info = json.loads((run / "run.json").read_text(encoding="utf-8"))
        name = f"{checkpoint.parent.name}/{checkpoint.name}"
        fold = next(c["fold"] for c in info["checkpoints"] if c["file"] == name)
        part = next(p for p in info["plan"]["folds"] if p["number"] == fold)
        return {
            "run": str(run),
            "fold": part["name"],
            "plan": info["plan"]["spec"],
            "train_clips": part["train_clips"],
            "test_clips": part["test_clips"],
            "train": part["train"],
        }
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None  # not in its run folder any more, or the run is not finished
