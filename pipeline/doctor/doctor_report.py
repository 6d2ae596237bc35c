"""A diagnosis as plain text: one table of findings, then what the corpus consists of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pipeline.doctor.diagnosis import Diagnosis, Finding

MAX_OF_A_KIND = 10
MAX_COUNTED = 30


def format_diagnosis(diagnosis: Diagnosis) -> str:
    """Write the findings, the counts, and the verdict last."""
    lines = [format_findings(diagnosis.findings)] if diagnosis.findings else []
    for name, counts in diagnosis.counts().items():
        if set(counts) != {"(none)"}:
            shown = ", ".join(f"{key} {count}" for key, count in [*counts.items()][:MAX_COUNTED])
            more = f", ... and {len(counts) - MAX_COUNTED} more"
            lines.append(f"clips by {name}: {shown}{more if len(counts) > MAX_COUNTED else ''}")
    lines.append(f"{len(diagnosis.corpus.clips)} clips; {_verdict(diagnosis)}")
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
        return f"{spoiling} findings would spoil a run, {looks} more are worth a look"
    return f"nothing would spoil a run; {looks} findings are worth a look"
