"""One clip on its way through the stages, and the results that it ends with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeAlias

from cache.codec import fields_from_json
from cache.entries.coverage import Coverage
from cache.entries.entry import Entry, EntryError
from cache.entries.source import Source
from cache.entries.source_check import SourceCheck
from cache.entries.writer import EntryWriter
from cache.manifest.manifest import Clip
from pipeline.extract.plan import Plan, PlannedSet
from pipeline.media.container import MediaInfo
from pipeline.media.frames import VideoReader
from pipeline.workers.stopwatch import Stopwatch

NOTED = "noted"  # a fact of entries that have notes, so that others needn't be opened for them


@dataclass(frozen=True)
class SetResult:
    """Outcome of one set of one clip.

    Args:
        state: ``ok``, ``partial`` or ``failed``.
        why: what a partial entry lacks, or why there is none.
        fresh: computed now; False where a trusted entry, or a failure not to be retried, was there.
        coverage: frames with a face, of a set that is made from faces.
        notes: what is odd of the clip but harmless, each as ``kind: sentence``.
        fault: kind of the machine's fault by which it failed: nothing is recorded then, and the
            next run tries again. Empty for what lies in the clip.
        again: why it was computed although an entry was there; empty where none was.
    """

    state: str
    why: tuple[str, ...] = ()
    fresh: bool = True
    coverage: Coverage | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()
    fault: str = ""
    again: str = ""

    @classmethod
    def made(
        cls,
        missing: Sequence[str],
        coverage: Coverage | None = None,
        notes: Sequence[str] = (),
    ) -> Self:
        """Return the result of an entry that was written now and lacks ``missing``."""
        state = "partial" if missing else "ok"
        return cls(state, tuple(missing), coverage=coverage, notes=tuple(notes))


@dataclass(frozen=True)
class ClipResult:
    """Outcome of a clip: a result per set, coverage by faces if any are used, seconds spent.

    Args:
        clip: its id.
        sets: a result per set.
        coverage: frames with a face, if any set uses faces.
        seconds: from its begin to its end in a worker.
        seconds_by_step: the same by the step that they were spent in, see ``extract_clip``.
    """

    clip: str
    sets: dict[str, SetResult]
    coverage: Coverage | None = None
    seconds: float = 0.0
    seconds_by_step: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The worst state of the clip's sets."""
        states = {result.state for result in self.sets.values()}
        return next((state for state in ("failed", "partial") if state in states), "ok")

    @property
    def reason(self) -> str:
        """Reasons why the clip isn't ok, each once."""
        worst = [result for result in self.sets.values() if result.state == self.state]
        return "; ".join(dict.fromkeys(why for result in worst for why in result.why))

    @property
    def fault(self) -> str:
        """Kind of the machine's fault by which a set of the clip failed; empty for none."""
        return next((result.fault for result in self.sets.values() if result.fault), "")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the clip, of all sets, each once."""
        return tuple(dict.fromkeys(note for one in self.sets.values() for note in one.notes))

    def to_json(self) -> dict[str, Any]:
        """Return the clip's row of a report."""
        return {
            "clip": self.clip,
            "state": self.state,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "seconds_by_step": {step: round(s, 3) for step, s in self.seconds_by_step.items()},
            "frames": dict(self.coverage.rungs) if self.coverage else {},
            "frames_seen": self.coverage.num_seen if self.coverage else None,
            "frames_followed": self.coverage.num_followed if self.coverage else None,
            "longest_gap_seconds": self.coverage.longest_gap_seconds if self.coverage else None,
            "sets": {
                name: {
                    "state": result.state,
                    "why": list(result.why),
                    "fresh": result.fresh,
                    "notes": list(result.notes),
                    "fault": result.fault,
                    "again": result.again,
                }
                for name, result in self.sets.items()
            },
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Build a result from a row of a report."""
        gap = row["longest_gap_seconds"]
        return cls(
            row["clip"],
            {name: fields_from_json(SetResult, result) for name, result in row["sets"].items()},
            None if gap is None else Coverage(dict(row["frames"]), gap),
            row["seconds"],
            dict(row["seconds_by_step"]),
        )


@dataclass(frozen=True)
class Job:
    """One clip in work: its file as it was found, and the plan.

    Args:
        clip: the clip.
        plan: the sets to make.
        check: its file as it was found.
        info: what its headers declare.
        watch: charged for every step of the way.

    Attributes:
        entries: the entries of this clip that this job has made, by set, so that a later stage
            needs not read them.
        identities: of all entries that it has made, by set.
    """

    clip: Clip
    plan: Plan
    check: SourceCheck
    info: MediaInfo
    watch: Stopwatch = field(default_factory=Stopwatch)
    entries: dict[str, Entry] = field(default_factory=dict, init=False)
    identities: dict[str, str] = field(default_factory=dict, init=False)
    _commits: list[Future[Path]] = field(default_factory=list, init=False)

    @property
    def source(self) -> Source:
        """The content of the clip's file, which all of this job's entries are made from."""
        return self.check.read()

    def frames(self) -> VideoReader:
        """Return a reader of the clip's picture."""
        return VideoReader(self.clip.path, self.plan.settings.decode, self.clip.span)

    def writer(
        self, planned: PlannedSet, upstream: Mapping[str, Entry] | None = None
    ) -> EntryWriter:
        """Return a writer of the clip's entry in a set; the file must not change until it is there.

        Args:
            planned: the set.
            upstream: the entries that it is made from, by set.
        """
        return self.plan.feature_sets[planned.name].writer(
            self.clip.id,
            source=self.source,
            provenance=self.plan.provenance,
            upstream={name: entry.identity for name, entry in (upstream or {}).items()},
            confirm=self.check.confirm,
        )

    def commit_in_background(self, commit: Callable[[], Path]) -> None:
        """Commit an entry on a thread while the next stage works: disks take milliseconds."""
        self._commits.append(_commit_thread().submit(commit))

    def wait_for_commits(self) -> None:
        """Wait until what is committed in the background is on the disk.

        Raises:
            cache.commit.CacheWriteError: a commit failed.
            cache.entries.source.SourceChangedError: the clip's file changed before one.
        """
        with self.watch.step("commit"):
            while self._commits:
                self._commits[-1].result()  # one that failed stays, and fails the next wait too
                self._commits.pop()

    def read_upstream(
        self, planned: PlannedSet, compute: Compute
    ) -> tuple[Entry, dict[str, SetResult]]:
        """Read the entry that another is made from, every bit verified.

        One that this job has made is taken from memory. One that is damaged or gone is computed
        again, and so is one of another file: two files may have come under this clip's id.

        Returns:
            The entry, and the result of its set if it was computed again.
        """
        if planned.name in self.entries:
            return self.entries[planned.name], {}
        feature_set = self.plan.feature_sets[planned.name]
        with contextlib.suppress(EntryError, FileNotFoundError):
            entry = feature_set.read(self.clip.id, verify=True)
            if entry.source.same_content(self.source):
                return entry, {}
        again = compute(self, [planned])
        return self.entries[planned.name], again


# A stage: computes some sets of a clip and returns the result of each.
Compute: TypeAlias = Callable[[Job, Sequence[PlannedSet]], dict[str, SetResult]]


@cache
def _commit_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="commit")
