"""Diagnosis of a corpus: findings, and counts by class, split and speaker, as text and JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cache.codec import JsonFields
from cache.manifest.clip import SPLITS, Clip
from cache.wording import number_of
from pipeline.doctor.examine import Examination

Severity = Literal["spoils", "look"]
MAX_OF_A_KIND = 10  # findings that are printed
MAX_COUNTED = 30  # classes, splits or speakers whose clips are counted in print


@dataclass(frozen=True)
class Finding(JsonFields):
    """One thing that was found.

    Args:
        severity: ``spoils``: a run on this corpus fails in part, or reports wrong numbers;
            ``look``: legitimate, perhaps.
        kind: its kind, in a word or two.
        text: a sentence for the user.
        clips: ids of the clips concerned.
    """

    severity: Severity
    kind: str
    text: str
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusFacts:
    """The clips of a manifest, what was found in their files, and who is seen in them."""

    clips: Sequence[Clip]
    examined: Mapping[str, Examination]
    people: Mapping[str, Collection[str]] = field(default_factory=dict)

    def usable(self) -> Iterator[tuple[Clip, Examination]]:
        """Yield the clips that can be read."""
        for clip in self.clips:
            if not self.examined[clip.id].problem:
                yield clip, self.examined[clip.id]


@dataclass(frozen=True)
class Diagnosis:
    """Findings about a corpus, those that spoil a run first, and what wasn't looked at."""

    corpus: CorpusFacts
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def spoiled(self) -> bool:
        """True if a finding would spoil a run."""
        return any(finding.severity == "spoils" for finding in self.findings)

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the clips by class, split and speaker, and by class within each split."""
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
        """Return the diagnosis as JSON types."""
        return {
            "spoiled": self.spoiled,
            "num_clips": len(self.corpus.clips),
            "findings": [finding.to_json() for finding in self.findings],
            "unchecked": list(self.unchecked),
            "counts": self.counts(),
            "clips": [self.corpus.examined[clip.id].to_json() for clip in self.corpus.clips],
        }


def format_diagnosis(diagnosis: Diagnosis) -> str:
    """Write the findings, the counts, what wasn't checked, and the verdict last."""
    lines = [format_findings(diagnosis.findings)] if diagnosis.findings else []
    for name, counts in diagnosis.counts().items():
        if set(counts) != {"(none)"}:
            shown = ", ".join(f"{key} {count}" for key, count in [*counts.items()][:MAX_COUNTED])
            more = f", ... and {len(counts) - MAX_COUNTED} more"
            lines.append(f"clips by {name}: {shown}{more if len(counts) > MAX_COUNTED else ''}")
    lines += [f"not checked: {text}" for text in diagnosis.unchecked]
    lines.append(f"{number_of(len(diagnosis.corpus.clips), 'clip')}; {_verdict(diagnosis)}")
    return "\n".join(lines)


def format_findings(findings: Sequence[Finding]) -> str:
    """Write a table: severity, kind, what was found and in which clip."""
    rows = []
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.severity, finding.kind].append(finding)
    for (severity, kind), members in kinds.items():
        for finding in members[:MAX_OF_A_KIND]:
            rows.append((severity, kind, _with_clip(finding)))
        if len(members) > MAX_OF_A_KIND:
            more = f"... and {len(members) - MAX_OF_A_KIND} more; --json lists all"
            rows.append((severity, kind, more))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a.ljust(widths[0])}  {b.ljust(widths[1])}  {text}" for a, b, text in rows)


def _with_clip(finding: Finding) -> str:
    named = [clip for clip in finding.clips if clip not in finding.text]
    if not named or len(finding.clips) > MAX_OF_A_KIND:
        return finding.text
    return f"{', '.join(named)}: {finding.text}"


def _verdict(diagnosis: Diagnosis) -> str:
    spoiling = sum(finding.severity == "spoils" for finding in diagnosis.findings)
    looks = len(diagnosis.findings) - spoiling
    if spoiling:
        return f"{number_of(spoiling, 'finding')} would spoil a run, {looks} more worth a look"
    if not looks:
        return "nothing would spoil a run or is worth a look"
    return f"nothing would spoil a run; {number_of(looks, 'finding')} worth a look"
