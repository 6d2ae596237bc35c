"""What became of a clip in stage one."""

from __future__ import annotations

from dataclasses import dataclass

from cache.coverage import Coverage


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

    @property
    def reason(self) -> str:
        """Why the clip isn't ok: each reason once."""
        worst = [result for result in self.sets.values() if result.state == self.state]
        return "; ".join(dict.fromkeys(why for result in worst for why in result.why))
