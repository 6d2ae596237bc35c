"""One clip on its way through the stages of stage one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from cache.entries.coverage import Coverage
from cache.entries.entry import Entry, EntryError
from cache.entries.source import Source
from cache.entries.writer import EntryWriter
from cache.manifest.manifest import Clip
from cache.sets.feature_set import FeatureSet
from pipeline.extract.plan import Plan, PlannedSet
from pipeline.media.frames import MediaInfo, VideoReader


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


@dataclass(frozen=True)
class Job:
    """A clip on its way through the stages: its file as it was found, and the plan.

    ``fresh`` holds what this job made a moment ago, so that a later stage needs not read it.
    """

    clip: Clip
    plan: Plan
    source: Source
    info: MediaInfo
    fresh: dict[str, Entry] = field(default_factory=dict)
    _beside: list[Future[Path]] = field(default_factory=list)

    def frames(self) -> VideoReader:
        """Return a reader of the clip's picture."""
        return VideoReader(
            self.clip.path,
            self.plan.settings.decode,
            start_seconds=self.clip.start_seconds,
            end_seconds=self.clip.end_seconds,
        )

    def writer(self, planned: PlannedSet) -> EntryWriter:
        """Return a writer of the clip's entry in a set."""
        feature_set = FeatureSet(self.plan.cache, planned.spec)
        return feature_set.writer(self.clip.id, source=self.source, provenance=self.plan.provenance)

    def beside(self, commit: Callable[[], Path]) -> None:
        """Commit an entry on a thread while the next stage works: disks take milliseconds."""
        self._beside.append(_thread().submit(commit))

    def settle(self) -> None:
        """Wait until what is committed beside is on the disk.

        Raises:
            cache.commit.CacheWriteError: a commit failed.
        """
        while self._beside:
            self._beside.pop().result()


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="commit")


Compute = Callable[[Job, Sequence[PlannedSet]], dict[str, SetResult]]


def made(missing: Sequence[str]) -> SetResult:
    """Return the result of an entry that was written now."""
    return SetResult("partial" if missing else "ok", tuple(missing))


def read_upstream(
    job: Job, planned: PlannedSet, compute: Compute
) -> tuple[Entry, dict[str, SetResult]]:
    """Read the entry that another is made from, every bit verified; a damaged one is made again.

    One that this very job made is taken from memory.

    Returns:
        The entry, and what became of its set if it was made again.
    """
    if planned.name in job.fresh:
        return job.fresh[planned.name], {}
    feature_set = FeatureSet(job.plan.cache, planned.spec)
    try:
        return feature_set.read(job.clip.id, verify=True), {}
    except EntryError:
        again = compute(job, [planned])
        job.settle()
        return feature_set.read(job.clip.id, verify=True), again
