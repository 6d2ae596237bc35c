"""What became of a clip in stage one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cache.entries.coverage import Coverage


@dataclass(frozen=True)
class SetResult:
    """What became of one set of one clip.

    Args:
        state: ``ok``, ``partial`` or ``failed``.
        why: what a partial entry lacks, or why there is none.
        fresh: computed now; False where a trusted entry, or a failure not to be retried, was there.
    """

    state: str
    why: tuple[str, ...] = ()
    fresh: bool = True


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip: a result per set, coverage by faces if any are used, seconds spent."""

    clip: str
    sets: dict[str, SetResult]
    coverage: Coverage | None = None
    seconds: float = 0.0

    @property
    def state(self) -> str:
        """The worst state of the clip's sets."""
        states = {result.state for result in self.sets.values()}
        return next((state for state in ("failed", "partial") if state in states), "ok")

    def to_json(self) -> dict[str, Any]:
        """The clip's row of a report, as JSON types."""
        return {
            "clip": self.clip,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "frames": dict(self.coverage.rungs) if self.coverage else {},
            "longest_gap_seconds": self.coverage.longest_gap_seconds if self.coverage else None,
            "sets": {
                name: {"state": result.state, "why": list(result.why), "fresh": result.fresh}
                for name, result in self.sets.items()
            },
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Build a result from a row of a report."""
        gap = row["longest_gap_seconds"]
        return cls(
            row["clip"],
            {
                name: SetResult(result["state"], tuple(result["why"]), fresh=result["fresh"])
                for name, result in row["sets"].items()
            },
            None if gap is None else Coverage(dict(row["frames"]), gap),
            row["seconds"],
        )

    @property
    def reason(self) -> str:
        """Why the clip isn't ok: each reason once."""
        worst = [result for result in self.sets.values() if result.state == self.state]
        return "; ".join(dict.fromkeys(why for result in worst for why in result.why))
