"""One row of a manifest, and the words its columns may hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.manifest.span import Span
from cache.manifest.votes import Votes

COLUMNS = (
    "clip",
    "path",
    "label",
    "split",
    "speaker",
    "fold",
    "start_seconds",
    "end_seconds",
    "label_target",
    "votes",
    "speaker_confidence",
    "sentence",
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
        label_target: what the labels of the manifest are of, such as ``acted`` or ``crowd``; None
            where nobody said.
        votes: classes with the votes that each got, such as (("happy", 3.0), ("sad", 1.0)).
        speaker_confidence: how sure it is, in [0, 1], where the speaker is a proposal of
            ``avfuse persons``; None where somebody said who it is.
        sentence: name of what is said, where speakers read the same sentences.
    """

    id: str
    path: Path
    label: str | None = None
    split: str | None = None
    speaker: str | None = None
    fold: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    label_target: str | None = None
    votes: Votes | None = None
    speaker_confidence: float | None = None
    sentence: str | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is the clip."""
        return Span(self.start_seconds, self.end_seconds)

    @property
    def stated_speaker(self) -> str | None:
        """The speaker, unless it is only a proposal by faces."""
        return self.speaker if self.speaker_confidence is None else None
