"""What the doctor says of a corpus: findings, and counts by class, split and speaker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cache.manifest.clip import SPLITS, Clip
from pipeline.doctor.examine import Examination

Severity = Literal["spoils", "look"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        severity: ``spoils``: a run on this corpus fails in part, or reports wrong numbers;
            ``look``: legitimate, perhaps.
        kind: what it is, in a word or two.
        text: what it is, for a user.
        clips: ids of the clips concerned.
    """

    severity: Severity
    kind: str
    text: str
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """The clips of a manifest with what was found in their files."""

    clips: Sequence[Clip]
    examined: Mapping[str, Examination]

    def usable(self) -> Iterator[tuple[Clip, Examination]]:
        """The clips that can be read."""
        for clip in self.clips:
            if not self.examined[clip.clip].problem:
                yield clip, self.examined[clip.clip]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says."""

    corpus: Corpus
    findings: tuple[Finding, ...]

    @property
    def spoiled(self) -> bool:
        """Whether anything would spoil a run."""
        return any(finding.severity == "spoils" for finding in self.findings)

    def counts(self) -> dict[str, dict[str, int]]:
        """Clips by class, split and speaker, and by class within each split."""
        clips = self.corpus.clips
        counts = {
            name: dict(sorted(Counter(getattr(clip, name) or "(none)" for clip in clips).items()))
            for name in ("label", "split", "speaker")
        }
        for split in SPLITS:
            labels = Counter(clip.label or "(none)" for clip in clips if clip.split == split)
            if labels:
                counts[f"label in {split}"] = dict(sorted(labels.items()))
        return counts

    def to_json(self) -> dict[str, Any]:
        """The report, as JSON types."""
        return {
            "spoiled": self.spoiled,
            "num_clips": len(self.corpus.clips),
            "findings": [asdict(finding) for finding in self.findings],
            "counts": self.counts(),
            "clips": [self.corpus.examined[clip.clip].to_json() for clip in self.corpus.clips],
        }
