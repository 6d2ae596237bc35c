"""What an index wrote, as lines for a reader and as JSON for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from cache.manifest.clip import SPLITS, Clip
from pipeline.index.found import Found
from pipeline.index.text import describe_names, printable

NUM_COUNTS_SHOWN = 30

T = TypeVar("T", str, int)


@dataclass(frozen=True)
class IndexSummary:
    """The manifest written, counts of its clips, and what is not in it.

    Args:
        manifest: the file.
        num_clips: rows in it.
        labels: label to number of clips.
        splits: split to number of clips, in the order train, val, test.
        folds: fold to number of clips.
        num_speakers: distinct speakers.
        left_out: reason to names.
        warnings: what to look at.
        notes: what may be of use.
    """

    manifest: str
    num_clips: int
    labels: Mapping[str, int]
    splits: Mapping[str, int]
    folds: Mapping[int, int]
    num_speakers: int
    left_out: Mapping[str, Sequence[str]]
    warnings: Sequence[str]
    notes: Sequence[str]

    @classmethod
    def of(cls, manifest: Path, clips: Sequence[Clip], found: Found) -> IndexSummary:
        """Count the clips of a manifest."""
        splits = Counter(clip.split for clip in clips)
        return cls(
            manifest=str(manifest),
            num_clips=len(clips),
            labels=_count(clip.label for clip in clips),
            splits={name: splits[name] for name in SPLITS if splits[name]},
            folds=_count(clip.fold for clip in clips),
            num_speakers=len({clip.speaker for clip in clips} - {None}),
            left_out={reason: list(names) for reason, names in found.left_out.items()},
            warnings=list(found.warnings),
            notes=list(found.notes),
        )

    def lines(self) -> list[str]:
        """Return the summary for a reader; warnings are apart, in ``warnings``."""
        lines = [f"{self.manifest}: {self.num_clips} clips"]
        counts: dict[str, Mapping[Any, int]] = {
            "labels": self.labels,
            "splits": self.splits,
            "folds": self.folds,
        }
        for name, count in counts.items():
            if count:
                lines.append(f"  {name}: {_describe_counts(count)}")
        if self.num_speakers:
            lines.append(f"  speakers: {self.num_speakers}")
        lines += [f"  {printable(note)}" for note in self.notes]
        if self.left_out:
            lines.append(f"left out: {sum(map(len, self.left_out.values()))}")
            lines += [
                f"  {len(names)} {printable(reason)}: {describe_names(names)}"
                for reason, names in self.left_out.items()
            ]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the summary ready for ``json.dumps``."""
        return asdict(self)


def _count(values: Iterable[T | None]) -> dict[T, int]:
    counts = Counter(value for value in values if value is not None)
    return {value: counts[value] for value in sorted(counts)}


def _describe_counts(counts: Mapping[Any, int]) -> str:
    items = list(counts.items())
    shown = ", ".join(f"{printable(str(key))} {count}" for key, count in items[:NUM_COUNTS_SHOWN])
    more = len(items) - NUM_COUNTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
