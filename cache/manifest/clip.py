"""One row of a manifest, and the words its columns may hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.span import Span

COLUMNS = (
    "clip",
    "path",
    "label",
    "split",
    "speaker",
    "fold",
    "start_seconds",
    "end_seconds",
)
SPLITS = ("train", "val", "test")
SPLIT_NAMES = {  # folded case; the last of val and of test are FER2013's
    name: split
    for split, names in {
        "train": ("train", "training"),
        "val": ("val", "validation", "valid", "dev", "devel", "development", "publictest"),
        "test": ("test", "testing", "privatetest"),
    }.items()
    for name in names
}


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled video file, or a part of one.

    Args:
        id: unique in the manifest; its column is ``clip``.
        path: the file; absolute once read.
        label: its class, None where unknown.
        split: ``train``, ``val`` or ``test``.
        speaker: who is seen and heard; folds by speaker keep one speaker's clips together.
        fold: number of its cross-validation part, from 0.
        start_seconds: where it starts in the file; None: at the beginning.
        end_seconds: where it ends in the file; None: at the end.
    """

    id: str
    path: Path
    label: str | None = None
    split: str | None = None
    speaker: str | None = None
    fold: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is the clip."""
        return Span(self.start_seconds, self.end_seconds)
