"""A state machine over everything that touches a cache, against a model of what must be there.

Hypothesis draws sequences of work and mishaps: extractions, also killed or two at once, videos that
are replaced, touched and copied, other settings, starts and ends, flipped bits, imports, packs,
trainings, ``gc`` and ``verify``. The model knows for each entry which content of a file, and which
part of it, it was made from, and the bytes that were committed. After each step:

- what an extraction calls done holds, array by array, what a fresh one of the present file yields;
- what was up to date was not made again, and no committed byte changed or vanished, but by ``gc
  --sets``, ``verify --remove`` or replacement of what was stale or damaged;
- ``verify`` finds the files whose bits were flipped, and no others;
- a training refuses what is stale or damaged, and else predicts as one from a fresh cache.

The sequences are the same each time; ``AVFUSE_STATE_MACHINE=long`` draws others for hours.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from benchmarks.trust.kills.launcher import Launcher, kill_group
from cache.entries import source
from cache.entries.entry import EntryError, read_entry
from cache.entries.sealed import HEADER_BYTES
from cache.manifest.span import Span
from cache.packs.pack import PackError, find_packs, open_pack
from cache.sets.feature_set import list_sets
from cache.sets.scan import find_temporaries
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache
from pipeline.exchange.importing import import_features
from pipeline.exchange.settings import ImportSettings
from tests.machine import world
from tests.machine.world import CLIPS, CONTENTS, OTHERS, SETS, SPANS, Place, yield_of
from trainer.runs import experiment, report

LONG = os.environ.get("AVFUSE_STATE_MACHINE") == "long"
SOME_SETS = (SETS, SETS, ("faces",), ("faces", "spectrogram"), ("resnet18",))
UPSTREAM = {"identity": "faces", "resnet18": "faces"}
TOGETHER = ("faces", "identity")  # made in one pass: both or none
CLIP, CONTENT = st.sampled_from(CLIPS), st.integers(0, CONTENTS - 1)
OTHER = st.sampled_from(["plain", *OTHERS])  # twice as often the plain settings
SHARE = st.floats(0, 1, exclude_max=True)
BIT = st.one_of(SHARE, st.floats(0, 0.05))  # as a share of a file's; its header often
REPLACED = st.sampled_from(["write", "times", "rename"])
PLACE = st.sampled_from(["here", "here", "here", "elsewhere"])


@dataclass(frozen=True)
class Made:
    """Record of a committed entry: what of it was made, and its bytes as they were committed."""

    content: int
    span: Span
    committed: bytes


@dataclass(frozen=True)
class Job:
    """What a clip was when an extraction was asked for."""

    clip: str
    content: int
    span: Span


class CacheMachine(RuleBasedStateMachine):
    """The world, and the model of it.

    Attributes:
        made: path of each entry of avfuse's own sets to its record.
        imported: path of each imported entry to its bytes.
        flipped: path of each other file that has a flipped bit to its bytes since then.
    """

    launcher: Launcher

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="avfuse-machine-"))
        self.cache = self.folder / "cache"
        self.places = {name: Place(self.folder / name) for name in ("here", "elsewhere")}
        self.made: dict[Path, Made] = {}
        self.imported: dict[Path, bytes] = {}
        self.flipped: dict[Path, bytes] = {}
        self.number = 0

    def teardown(self) -> None:
        """Remove the world, and end what still works on it."""
        self.launcher.end()
        shutil.rmtree(self.folder)

    # What happens to videos and manifests

    @initialize()
    def begin(self) -> None:
        """The second manifest gives every id another file; the first is extracted."""
        for number, clip in enumerate(CLIPS):
            self.places["elsewhere"].put(clip, (number + 2) % CONTENTS)
        world.settle()
        self.extract("here", SETS, "plain")

    @rule(
        place=PLACE, clip=CLIP, content=CONTENT, how=st.sampled_from(["write", "times", "rename"])
    )
    def replace(self, place: str, clip: str, content: int, how: str) -> None:
        """Put another video in a clip's place, also with the same size and times."""
        self.places[place].replace(clip, content, how)
        world.settle()

    @rule(place=PLACE, clip=CLIP, how=st.sampled_from(["chmod", "copy", "touch"]))
    def touch(self, place: str, clip: str, how: str) -> None:
        """Change a file's properties alone."""
        self.places[place].touch(clip, how)
        world.settle()

    @rule(place=PLACE, clip=CLIP, span=st.sampled_from(SPANS))
    def cut(self, place: str, clip: str, span: Span) -> None:
        """Change a clip's start and end in the manifest."""
        self.places[place].span[clip] = span

    # Extraction

    def jobs(self, place: str) -> dict[str, Job]:
        """Return what the clips of a manifest are now."""
        there = self.places[place]
        return {clip: Job(clip, there.content[clip], there.span[clip]) for clip in CLIPS}

    @rule(place=PLACE, sets=st.sampled_from(SOME_SETS), other=OTHER)
    def extract(self, place: str, sets: Sequence[str], other: str) -> None:
        """Extract in this process."""
        fresh = self.fresh(self.jobs(place), other)
        summary = world.extract(self.cache, self.places[place].clips(), sets, other)
        assert not summary.failed
        self.take_done(place, sets, other, fresh)

    @rule(
        place=PLACE,
        sets=st.sampled_from(SOME_SETS),
        other=OTHER,
        delay=st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.4]),
    )
    def extract_and_kill(self, place: str, sets: Sequence[str], other: str, delay: float) -> None:
        """Kill a process that extracts."""
        pid = self.start(place, sets, other)
        time.sleep(delay)
        kill_group(pid)
        self.launcher.wait()
        assert not self.launcher.outlast()
        self.take_some([place], other)

    @rule(place=PLACE, sets=st.sampled_from(SOME_SETS), other=OTHER, also=OTHER)
    def extract_twice_at_once(self, place: str, sets: Sequence[str], other: str, also: str) -> None:
        """Extract in two processes, of one manifest or of two that give an id different files."""
        self.start("here", SETS, also)
        world.extract(self.cache, self.places[place].clips(), sets, other)
        assert self.launcher.wait() == 0, self.output()
        self.take_some([place, "here"], *{other, also})
        self.extract(place, sets, other)

    def start(self, place: str, sets: Sequence[str], other: str) -> int:
        """Begin an extraction in a process of its own."""
        command = ["extract", str(self.places[place].manifest()), "--cache", str(self.cache)]
        return self.launcher.start([*command, *world.options(sets, other)])

    def output(self) -> str:
        """Return what the last process wrote."""
        assert self.launcher.output is not None
        return self.launcher.output.read_text()

    def fresh(self, jobs: dict[str, Job], other: str) -> dict[Path, bytes]:
        """Return the entries that are up to date, and so must not be made again, with their bytes.

        That is: made from the clip's content and part, undamaged, and of a network only if its
        faces are so too, and of those only if their identities are.
        """
        found: dict[Path, bytes] = {}
        sets = world.folders(self.cache, other)
        for name, feature_set in sets.items():
            for clip, job in jobs.items():
                path, upstream = feature_set.entry_path(clip), UPSTREAM.get(name)
                record = self.made.get(path)
                if record is None or (record.content, record.span) != (job.content, job.span):
                    continue
                if upstream and feature_set.upstream_paths(clip)[upstream] not in found:
                    continue
                if path.read_bytes() == record.committed:
                    found[path] = record.committed
        for clip in jobs:
            if any(sets[name].entry_path(clip) not in found for name in TOGETHER if name in sets):
                for name in {*TOGETHER, *UPSTREAM} & sets.keys():
                    found.pop(sets[name].entry_path(clip), None)
        return found

    def take_done(
        self, place: str, sets: Sequence[str], other: str, fresh: dict[Path, bytes]
    ) -> None:
        """Check what an extraction calls done, and note it."""
        asked = {*sets, *(UPSTREAM[name] for name in sets if name in UPSTREAM)}
        asked |= {*TOGETHER} if {*TOGETHER} & asked else set()
        for name, feature_set in world.folders(self.cache, other).items():
            for clip, job in self.jobs(place).items():
                path = feature_set.entry_path(clip)
                if name not in asked:
                    continue
                now, record = path.read_bytes(), self.made.get(path)
                if path in fresh:
                    assert now == fresh[path], f"{path} was up to date and is made again"
                    continue
                if record and now != record.committed and self.is_flipped(path, now):
                    # Its header is whole, which is all that an extraction looks at.
                    assert now[:HEADER_BYTES] == record.committed[:HEADER_BYTES]
                    assert (record.content, record.span) == (job.content, job.span)
                    continue
                self.note(path, name, other, [job])

    def take_some(self, places: Sequence[str], *others: str) -> None:
        """Check and note what extractions left that were killed, or that worked side by side."""
        for other in others:
            for name, feature_set in world.folders(self.cache, other).items():
                for clip in CLIPS:
                    path, jobs = feature_set.entry_path(clip), [self.jobs(p)[clip] for p in places]
                    if path.exists():
                        now, record = path.read_bytes(), self.made.get(path)
                        if record and (now == record.committed or self.is_flipped(path, now)):
                            continue
                        self.note(path, name, other, jobs)

    def note(self, path: Path, name: str, other: str, jobs: Sequence[Job]) -> None:
        """Note an entry that was written now: of one of the jobs, array by array."""
        self.flipped.pop(path, None)
        entry = read_entry(path, verify=True)
        content, span = world.digests().index(entry.source.sha256), entry.source.span
        assert (content, span) in [(job.content, job.span) for job in jobs]
        assert yield_of(entry) == world.expected(content, span, other)[name], path
        self.made[path] = Made(content, span, path.read_bytes())

    # Mishaps and upkeep

    @rule(flips=st.lists(st.tuples(SHARE, BIT), min_size=1, max_size=3))
    def flip(self, flips: list[tuple[float, float]]) -> None:
        """Flip bits of entries, packs or witnesses; verify finds them."""
        if not self.is_cache():
            return
        files = [path for item in list_sets(self.cache) for path in item.entry_paths()]
        files = sorted([*files, *find_packs(self.cache), *self.cache.glob("witnesses/[!.]*")])
        for which, where in flips if files else ():
            path = files[int(which * len(files))]
            content = bytearray(path.read_bytes())
            place = int(where * 8 * len(content))
            content[place // 8] ^= 1 << place % 8
            path.write_bytes(content)
            self.flipped[path] = bytes(content)
        self.verify()

    def is_cache(self) -> bool:
        """Whether there is a set. What is drawn may not depend on what a kill left of it."""
        return self.cache.is_dir() and bool(list_sets(self.cache))

    def is_flipped(self, path: Path, now: bytes) -> bool:
        """Whether a file is as its last flipped bit left it, and not as it was committed."""
        committed = self.made[path].committed if path in self.made else self.imported.get(path)
        return self.flipped.get(path) == now != committed

    def damaged(self) -> set[Path]:
        """Return the files that have a flipped bit now."""
        return {
            path
            for path in self.flipped
            if path.exists() and self.is_flipped(path, path.read_bytes())
        }

    @rule()
    def verify(self) -> None:
        """Verify finds the flipped files and no others."""
        if not self.is_cache():
            return
        report = verify_cache(self.cache)
        assert {item.path for item in report.damage} == self.damaged()

    @rule()
    def verify_and_remove(self) -> None:
        """Verify removes the flipped files and no others."""
        if not self.is_cache():
            return
        damaged = self.damaged()
        assert set(verify_cache(self.cache, remove=True).removed) == damaged
        for path in damaged:
            assert not path.exists()
            self.made.pop(path, None)
            self.imported.pop(path, None)

    @rule()
    def collect(self) -> None:
        """Garbage collection removes what dead writers left, and nothing committed."""
        if not self.is_cache():
            return
        remove_garbage(find_garbage(self.cache))
        assert list(find_temporaries(self.cache)) == []

    @rule(which=SHARE)
    def remove_a_set(self, which: float) -> None:
        """``gc --sets`` removes one set and no other."""
        if len(self.made) < 2 * len(SETS) * len(CLIPS):
            return  # it would often be the only one
        sets = list_sets(self.cache)
        chosen = sets[int(which * len(sets))]
        remove_garbage(find_garbage(self.cache, sets=[chosen]))
        assert not chosen.folder.exists()
        for records in (self.made, self.imported):
            for path in [path for path in records if chosen.folder in path.parents]:
                del records[path]  # type: ignore[attr-defined]

    @invariant()
    def look(self) -> None:
        """No committed entry is gone or changed, but by a flipped bit."""
        there = {**{path: record.committed for path, record in self.made.items()}, **self.imported}
        for path, committed in there.items():
            assert path.exists(), f"{path} is gone"
            now = path.read_bytes()
            assert now == committed or self.is_flipped(path, now), f"{path} changed"

    # Imports, packs and trainings

    @rule(seed=st.integers(0, 1))
    def import_(self, seed: int) -> None:
        """Import features; what is there stays."""
        arrays = {
            clip: np.random.default_rng([number, seed]).normal(size=(3, 5)).astype(np.float32)
            for number, clip in enumerate(CLIPS)
        }
        path = self.folder / f"lips-{seed}.npz"
        if not path.exists():
            np.savez(path, **arrays)
        damaged = self.damaged()
        report = import_features(
            self.cache, "lips", path, CLIPS, ImportSettings(format="npz", rate=world.RATE)
        )
        for clip in CLIPS:
            (entry_path,) = report.folder.glob(f"*/{clip}.h5")
            now = entry_path.read_bytes()
            if entry_path in self.imported and (
                entry_path not in damaged or self.is_flipped(entry_path, now)
            ):
                continue
            entry = read_entry(entry_path, verify=True)
            assert np.array_equal(entry["values"], arrays[clip])
            self.imported[entry_path] = now

    @rule(other=OTHER)
    def pack(self, other: str) -> None:
        """A pack holds what its entries hold, or a damaged one is refused."""
        for name, array in (("resnet18", "basic"), ("spectrogram", "spectrogram")):
            feature_set = world.folders(self.cache, other)[name]
            clips = feature_set.clip_ids() if feature_set.folder.exists() else []
            if self.damaged() & {feature_set.entry_path(clip) for clip in clips}:
                with pytest.raises((PackError, EntryError)):
                    open_pack(feature_set, clips, array)
            elif clips:
                pack = open_pack(feature_set, clips, array)
                for clip in clips:
                    rows = read_entry(feature_set.entry_path(clip), [array])[array]
                    assert np.array_equal(pack.values[pack.rows(clip)], rows)

    @rule(other=OTHER)
    def train(self, other: str) -> None:
        """A training refuses what is stale or damaged, or predicts as one from a fresh cache."""
        jobs = self.jobs("here")
        paths = {
            feature_set.entry_path(clip)
            for feature_set in world.folders(self.cache, other).values()
            for clip in CLIPS
        }
        self.number += 1
        run = self.folder / f"run-{self.number}"
        try:
            found = world.train(self.cache, self.places["here"].read(), other, run)
        except ValueError:  # as every error of sets, entries, packs and features is
            assert not paths <= self.fresh(jobs, other).keys()
            return
        wanted = tuple((job.content, job.span) for job in jobs.values())
        assert found == world.expected_predictions(wanted, other)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    monkeypatch.setattr(source, "CLOCK_NS", world.CLOCK_NS)
    monkeypatch.setattr(experiment, "plot_history", lambda *_, **__: b"a picture")
    monkeypatch.setattr(report, "plot_confusion", lambda *_, **__: b"a picture")
    with Launcher(tmp_path / "output.txt") as launcher:
        yield launcher


@pytest.mark.slow
@pytest.mark.timeout(0 if LONG else 300)
def test_no_sequence_of_work_and_mishaps_makes_a_cache_lie(launcher: Launcher) -> None:
    CacheMachine.launcher = launcher
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=100_000 if LONG else 8,
            stateful_step_count=50 if LONG else 25,
            derandomize=not LONG,
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
