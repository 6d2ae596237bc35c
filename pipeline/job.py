"""One clip on its way through the stages of stage one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cache.entry import Entry, EntryError
from cache.entry_writer import EntryWriter
from cache.feature_set import FeatureSet
from cache.manifest import Clip
from cache.source import Source
from pipeline.decode import MediaInfo, VideoReader
from pipeline.results import SetResult
from pipeline.sets import Plan, PlannedSet


@dataclass(frozen=True)
class Job:
    """A clip on its way through the stages: its file as it was found, and the plan.

    ``fresh`` holds what was committed for it a moment ago, so that a later stage needs not read it.
    """

    clip: Clip
    plan: Plan
    source: Source
    info: MediaInfo
    fresh: dict[str, Entry] = field(default_factory=dict)

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
        return feature_set.writer(
            self.clip.clip, source=self.source, provenance=self.plan.provenance
        )


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
        return feature_set.read(job.clip.clip, verify=True), {}
    except EntryError:
        again = compute(job, [planned])
        return feature_set.read(job.clip.clip, verify=True), again
