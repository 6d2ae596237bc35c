"""An operation to be killed: what it is made of, and what no kill may cost."""

from __future__ import annotations

import os
import random
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from benchmarks.trust.kills.launcher import Launcher, runs
from benchmarks.trust.kills.tally import Tally
from cache.sets.feature_set import FeatureSet, list_sets
from cache.sets.scan import find_temporaries
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache

Target = Literal["group", "parent", "worker"]
WHILE_WRITING = 0.8  # of the kills, so many come after the run's first file
PAST_THE_END = 1.1  # the others at any moment, up to a bit past the usual end
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Moment:
    """Moment of a kill, and what is killed.

    Args:
        while_writing: whether it is counted from the run's first file, else from its start.
        share: of the usual time from there on.
        target: all processes of the run, the first alone, or one worker alone.
        number: decides which worker, and whether a training saves its state at once.
    """

    while_writing: bool
    share: float
    target: Target
    number: int


def draw_moment(seed: int, name: str, start: int, targets: Mapping[Target, float]) -> Moment:
    """Draw the moment of one start's kill; the same arguments draw the same."""
    generator = random.Random(f"{seed}/{name}/{start}")  # noqa: S311 - when to kill
    return Moment(
        while_writing=generator.random() < WHILE_WRITING,
        share=generator.random(),
        target=generator.choices(list(targets), list(targets.values()))[0],
        number=generator.randrange(1 << 16),
    )


class Operation(ABC):
    """An operation and its folders; see the modules beside this one.

    A *round* begins with ``begin``. Runs of ``command`` are killed until one comes to its end; what
    it left is then compared with what an undisturbed one left.

    Args:
        folder: for its sources and results; made anew.

    Attributes:
        name: in the counts.
        targets: what is killed, with shares.
        reach: longest time from the first file to the kill, of the usual time that a whole run
            writes: as many kills come before its end as make a round.
        survives: whether a run goes on to its end when a worker is killed, or ends with exit
            code 1 and is to be repeated.
    """

    name: ClassVar[str]
    targets: ClassVar[Mapping[Target, float]] = {"group": 1.0}
    reach: ClassVar[float]
    survives: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.at = folder / "round"
        self.undisturbed = folder / "undisturbed"
        self.usual_seconds = 0.0
        self.usual_writing = 0.0

    @abstractmethod
    def make_sources(self) -> None:
        """Make what the command reads."""

    def fill(self, place: Path) -> None:
        """Put into a round's new folder what is there before the command: nothing."""
        del place

    @abstractmethod
    def command(self, place: Path) -> Sequence[str]:
        """Return the arguments of ``avfuse`` that work on a round's folder."""

    @abstractmethod
    def check(self, tally: Tally) -> None:
        """Look for what the last kill broke."""

    @abstractmethod
    def compare(self, tally: Tally) -> None:
        """Compare what a whole run left with what the undisturbed one did."""

    @abstractmethod
    def forget(self) -> None:
        """Forget what was there: a round begins."""

    def prepare(self, launcher: Launcher) -> None:
        """Make the sources and the undisturbed result, and measure how long it takes."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self.make_sources()
        self._fill(self.undisturbed)
        before, begun = names_in(self.undisturbed), time.monotonic()
        pid = launcher.start(self.command(self.undisturbed))
        while runs(pid) and names_in(self.undisturbed) == before:
            time.sleep(LOOK_SECONDS)
        writing = time.monotonic()
        code = launcher.wait()
        if code != 0:
            output = launcher.output.read_text() if launcher.output else ""
            raise RuntimeError(f"{self.name}: the undisturbed run ended with {code}: {output}")
        ended = time.monotonic()
        self.usual_seconds, self.usual_writing = ended - begun, ended - writing
        self.begin()

    def begin(self) -> None:
        """Begin a round in a new folder."""
        if self.at.exists():
            shutil.rmtree(self.at)
        self._fill(self.at)
        self.forget()

    def _fill(self, place: Path) -> None:
        place.mkdir()
        self.fill(place)

    def await_moment(self, moment: Moment, pid: int) -> None:
        """Wait until it is time to kill a run that has just begun, or it has ended."""
        deadline = time.monotonic() + moment.share * self.usual_seconds * PAST_THE_END
        if moment.while_writing:
            before = names_in(self.at)
            while runs(pid) and names_in(self.at) == before:
                time.sleep(LOOK_SECONDS)
            deadline = time.monotonic() + moment.share * self.usual_writing * self.reach
        while runs(pid) and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))


class CacheWatch:
    """Watch of a cache: every file that was committed stays as it is, byte for byte.

    Args:
        cache: its folder.
        may_go: names of sets that may be gone as a whole.
        garbage: names of damaged packs, which are to be removed.
    """

    def __init__(
        self, cache: Path, *, may_go: Sequence[str] = (), garbage: Sequence[str] = ()
    ) -> None:
        self.cache = cache
        self.may_go = may_go
        self.garbage = garbage
        self.contents: dict[Path, bytes] = {}

    def check(self, tally: Tally) -> None:
        """Verify the cache, and compare what was there before."""
        if not list_sets(self.cache) and not self.contents:
            return
        report = verify_cache(self.cache)
        for item in [item for item in report.damage if item.path.name not in self.garbage]:
            tally.fault(f"damaged {item.kind}: {item.reason}")
        tally.add("kills_that_left_a_temporary_file", bool(report.temporaries))
        gone = {
            folder
            for folder in {path.relative_to(self.cache).parts[0] for path in self.contents}
            if folder.rpartition("-")[0] in self.may_go and not (self.cache / folder).exists()
        }
        for path, content in list(self.contents.items()):
            if path.relative_to(self.cache).parts[0] in gone:
                del self.contents[path]
            elif not path.exists():
                tally.fault(f"lost: {path}")
            elif path.read_bytes() != content:
                tally.fault(f"changed: {path}")
        for item in list_sets(self.cache):
            for path in (item.folder / "failures").glob("[!.]*"):
                tally.fault(f"failed: {path.read_text()}")
            for path in item.entry_paths():
                self.contents.setdefault(path, path.read_bytes())
        tally.add("committed_files_checked_after_kills", len(self.contents))

    def clean(self, tally: Tally) -> None:
        """Remove temporary files of dead writers, as ``gc`` does; none may be left."""
        if not list_sets(self.cache):
            return
        found = find_garbage(self.cache)
        remove_garbage([item for item in found if item.kind == "temporary file"])
        for path in find_temporaries(self.cache):
            tally.fault(f"left over after gc: {path}")


def compare_caches(cache: Path, undisturbed: Path, tally: Tally) -> None:
    """Compare every entry of two caches, array by array."""
    sets = {item.spec.folder: item for item in list_sets(cache)}
    for expected in list_sets(undisturbed):
        killed = sets.pop(expected.spec.folder, None)
        if killed is None:
            tally.fault(f"no set {expected.spec.folder} at the end")
        elif killed.clip_ids() != expected.clip_ids():
            tally.fault(f"other clips in {expected.spec.folder} at the end")
        else:
            for clip in expected.clip_ids():
                tally.add("entries_compared_at_the_end")
                if _of(killed, clip) != _of(expected, clip):
                    tally.fault(f"differs at the end: {clip} of {expected.spec.folder}")
    for name in sets:
        tally.fault(f"a set too many at the end: {name}")


def _of(feature_set: FeatureSet, clip: str) -> tuple[object, ...]:
    entry = feature_set.read(clip, verify=True)
    return entry.checksums, entry.state, entry.missing


def names_in(folder: Path) -> set[str]:
    """Every file and folder; what vanishes while it is looked at is left out."""
    return {f"{at}/{name}" for at, folders, files in os.walk(folder) for name in folders + files}
