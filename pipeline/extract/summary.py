"""Summary of a run of stage one, for people and, as the JSON report, for programs."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.entries.coverage import CorpusCoverage, add_coverage, describe_coverage
from cache.wording import number_of
from pipeline.extract.job import ClipResult

MAX_LISTED = 20


@dataclass(frozen=True)
class Summary:
    """Summary of a run, with each clip in exactly one state.

    Args:
        sets: set name to its folder in the cache.
        untrained: sets made with random weights.
        clips: one result per clip, in the manifest's order.
        not_reached: clips that an interruption left undone.
        interrupted: number of the signal that ended the run early; 0 if none did.
        seconds: how long it took.
        peak_memory_bytes: of this process and of its largest worker.
        start_seconds: of ``seconds``, until the first clip that ended was begun; 0 without one.
        consumer_seconds: of the consumer that the workers shared, by step, and under ``device``
            those of its device; see ``Consumer``. None if there was none.
    """

    sets: Mapping[str, str]
    untrained: tuple[str, ...]
    clips: tuple[ClipResult, ...]
    not_reached: tuple[str, ...]
    interrupted: int
    seconds: float
    peak_memory_bytes: int
    start_seconds: float = 0.0
    consumer_seconds: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        states = Counter(clip.state for clip in self.clips)
        told = [f"{count} {state}" for state, count in sorted(states.items())]
        told += [f"{len(self.not_reached)} not reached"] if self.not_reached else []
        return f"Summary({', '.join([*self.sets, *told])})"

    @property
    def seconds_by_step(self) -> dict[str, float]:
        """Seconds of all clips by step, summed over the workers; the largest first."""
        total: Counter[str] = Counter()
        for clip in self.clips:
            total.update(clip.seconds_by_step)
        return dict(total.most_common())

    @property
    def failed(self) -> tuple[ClipResult, ...]:
        """The clips of which at least one set failed."""
        return tuple(clip for clip in self.clips if clip.state == "failed")

    @property
    def faults(self) -> dict[str, int]:
        """Number of clips that failed by each kind of fault of the machine; none is recorded."""
        return dict(Counter(clip.fault for clip in self.clips if clip.fault).most_common())

    @property
    def coverage(self) -> CorpusCoverage:
        """Coverage of all clips together."""
        return add_coverage({one.clip: one.coverage for one in self.clips if one.coverage})

    @property
    def kinds_of_notes(self) -> dict[str, int]:
        """Number of clips with a note of each kind, the most frequent first."""
        kinds = Counter(
            kind for clip in self.clips for kind in {note.split(":")[0] for note in clip.notes}
        )
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    @property
    def again(self) -> dict[str, int]:
        """Number of clips by the sets that were made again and the kind of reason, most first."""
        found = Counter[str]()
        for clip in self.clips:
            sets: dict[str, list[str]] = {}
            for name, result in clip.sets.items():
                if result.again:
                    sets.setdefault(result.again.partition(": ")[0], []).append(name)
            found.update(f"{', '.join(names)}: {why}" for why, names in sets.items())
        return dict(found.most_common())

    def to_json(self) -> dict[str, Any]:
        """Return the report, ready for JSON."""
        return {
            "sets": dict(self.sets),
            "untrained": list(self.untrained),
            "states": dict(Counter(clip.state for clip in self.clips)),
            "faults": self.faults,
            "again": self.again,
            "interrupted": self.interrupted,
            "not_reached": list(self.not_reached),
            "seconds": round(self.seconds, 3),
            "start_seconds": round(self.start_seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "seconds_by_step": {step: round(s, 3) for step, s in self.seconds_by_step.items()},
            "consumer_seconds": self.consumer_seconds,
            "frames": dict(self.coverage.rungs),
            "coverage": self.coverage.to_json(),
            "notes": self.kinds_of_notes,
            "clips": [clip.to_json() for clip in self.clips],
        }


def format_summary(summary: Summary) -> str:
    """Write a summary for people: counts, coverage, what is missing and why."""
    states = Counter(clip.state for clip in summary.clips)
    fresh = sum(any(result.fresh for result in clip.sets.values()) for clip in summary.clips)
    lines = [
        f"{number_of(len(summary.clips), 'clip')}: {states['ok']} ok, {states['partial']} partial, "
        f"{states['failed']} failed; {fresh} computed now, {len(summary.clips) - fresh} unchanged",
        f"{summary.seconds:.1f} s, at most {summary.peak_memory_bytes / 2**20:.0f} MiB a process",
    ]
    if fresh:
        lines.append(f"where the time went: {format_shares(summary.seconds_by_step)}")
    lines += [f"made again in {number_of(n, 'clip')}: {why}" for why, n in summary.again.items()]
    faces = describe_coverage(summary.coverage)
    if faces:
        lines.append(faces)
    kinds = summary.kinds_of_notes
    if kinds:
        listed = ", ".join(f"{kind} ({number_of(count, 'clip')})" for kind, count in kinds.items())
        lines.append(f"odd but harmless: {listed}; the report says more of each clip")
    for state in ("partial", "failed"):
        shown = [clip for clip in summary.clips if clip.state == state]
        lines.extend(f"  {state}: {clip.clip}: {clip.reason}" for clip in shown[:MAX_LISTED])
        if len(shown) > MAX_LISTED:
            lines.append(f"  ... and {len(shown) - MAX_LISTED} more {state}; all are in the report")
    if summary.faults:
        listed = ", ".join(f"{fault} ({count})" for fault, count in summary.faults.items())
        lines.append(
            f"{sum(summary.faults.values())} of the failed clips failed by no fault of their own: "
            f"{listed}. Nothing is recorded of them; the next run tries them again."
        )
    lines.extend(f"{name}: {folder}" for name, folder in summary.sets.items())
    if summary.untrained:
        lines.append(f"untrained (random weights): {', '.join(summary.untrained)}")
    if summary.interrupted:
        lines.append(
            f"Interrupted with {number_of(len(summary.not_reached), 'clip')} left. What is done is "
            "committed; "
            "run the same command again to go on."
        )
    return "\n".join(lines)


def format_shares(seconds: Mapping[str, float]) -> str:
    """Write the share of each step, the largest first, without those below 1 %."""
    whole = sum(seconds.values()) or 1.0
    shares = sorted(((value / whole, step) for step, value in seconds.items()), reverse=True)
    return ", ".join(f"{step} {share:.0%}" for share, step in shares if share >= 0.01)


def peak_memory() -> int:
    """Return the largest resident size in bytes that this process, or one it started, reached."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit
