"""``avfuse cache import``, ``pack`` and ``gc`` killed."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.trust.kills.operation import CacheWatch, Operation, compare_caches, names_in
from benchmarks.trust.kills.tally import Tally
from cache.commit import temporary_path
from cache.entries.source import Source
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.packs.pack import find_packs, open_pack
from cache.sets.feature_set import FeatureSet, find_set
from cache.sets.scan import PACKS, REMOVED
from cache.sets.spec import SetSpec

SOURCE = Source(11, 13, "0" * 64)


class Import(Operation):
    """Import of features made elsewhere."""

    name = "cache import"
    reach = 0.15
    clips: ClassVar[int] = 101

    def make_sources(self) -> None:
        """Write features of every clip, and the manifest."""
        rows = [
            Clip(f"c{number:03}", self.folder / f"c{number:03}.mp4") for number in range(self.clips)
        ]
        self.manifest = write_manifest(self.folder / "manifest.csv", rows)
        generator = np.random.default_rng(3)
        arrays = {row.id: generator.normal(size=(7, 5)).astype(np.float32) for row in rows}
        self.source = self.folder / "features.npz"
        np.savez(self.source, **arrays)

    def command(self, place: Path) -> Sequence[str]:
        """Import all clips."""
        where = ["cache", "import", str(place / "cache"), "lips", "--manifest", str(self.manifest)]
        return [*where, "--from", "npz", str(self.source), "--rate", "25"]

    def forget(self) -> None:
        """Forget the entries."""
        self.watch = CacheWatch(self.at / "cache")

    def check(self, tally: Tally) -> None:
        """No entry is lost or damaged, and gc leaves nothing behind."""
        if self.watch.cache.exists():
            self.watch.check(tally)
            self.watch.clean(tally)

    def compare(self, tally: Tally) -> None:
        """Every array is that of the undisturbed import."""
        compare_caches(self.watch.cache, self.undisturbed / "cache", tally)


class Pack(Operation):
    """Building of packs, where older ones are there that no longer fit."""

    name = "cache pack"
    reach = 0.7
    clips: ClassVar[int] = 61
    arrays: ClassVar[Sequence[str]] = ("basic", "mean", "std")

    def make_sources(self) -> None:
        """Write a set, and packs that were made before three of its entries."""
        self.template = self.folder / "template"
        made = _make_set(self.template, "lips", self.clips, self.arrays)
        for array in self.arrays:
            open_pack(made, made.clip_ids(), array, in_memory=False)
        for number in range(3):
            _write_entry(made, number, self.arrays, seed=1)

    def fill(self, place: Path) -> None:
        """Lay the set and the packs there."""
        _copy(self.template, place / "cache")

    def command(self, place: Path) -> Sequence[str]:
        """Build the packs."""
        arrays = itertools.chain(*(("--array", array) for array in self.arrays))
        return ["cache", "pack", str(place / "cache"), "lips", *arrays]

    def forget(self) -> None:
        """Note every entry."""
        self.watch = CacheWatch(self.at / "cache")
        self.watch.check(Tally(self.name))

    def check(self, tally: Tally) -> None:
        """Each pack is whole, of before or of now."""
        self.watch.check(tally)
        self.watch.clean(tally)
        tally.add("packs_checked_after_kills", len(find_packs(self.watch.cache)))
        if len(find_packs(self.watch.cache)) < len(self.arrays):
            tally.fault("a pack is gone")

    def compare(self, tally: Tally) -> None:
        """Every pack holds what the undisturbed one does."""
        for array in self.arrays:
            one, two = (
                open_pack((found := find_set(place / "cache", "lips")), found.clip_ids(), array)
                for place in (self.at, self.undisturbed)
            )
            tally.add("packs_compared_at_the_end")
            if one.built or two.built:
                tally.fault(f"the pack of {array} is built again at the end: {one.built}")
            for name in ("values", "times", "offsets"):
                if getattr(one, name).tobytes() != getattr(two, name).tobytes():
                    tally.fault(f"differs at the end: {name} of the pack of {array}")


class CollectGarbage(Operation):
    """Removal of temporary files, stale packs, what is left of sets, and a set on request."""

    name = "cache gc"
    reach = 0.7
    clips: ClassVar[int] = 61

    def make_sources(self) -> None:
        """Write a set to keep with its pack, one to remove, and garbage of every kind."""
        self.template = self.folder / "template"
        kept = _make_set(self.template, "kept", self.clips, ["basic", "mean"])
        removed = _make_set(self.template, "removed", self.clips, ["basic"])
        open_pack(kept, kept.clip_ids(), "basic", in_memory=False)
        open_pack(removed, removed.clip_ids(), "basic", in_memory=False)
        damaged = open_pack(kept, kept.clip_ids(), "mean", in_memory=False).path
        damaged.write_bytes(damaged.read_bytes()[:-1])
        self.damaged = damaged.name
        rest = self.template / f"{REMOVED}gone-0123456789abcdef-000000"
        shutil.copytree(removed.folder, rest)
        self._litter(kept)

    def _litter(self, kept: FeatureSet) -> None:
        """Leave temporary files of a process that is dead, and one of this, which lives."""
        if (pid := os.fork()) == 0:
            for path in kept.entry_paths():
                temporary_path(path).write_bytes(b"a rest")
            temporary_path(self.template / PACKS / "pack.h5").write_bytes(b"a rest")
            os._exit(0)
        os.waitpid(pid, 0)
        self.living = temporary_path(next(kept.entry_paths())).relative_to(self.template)
        (self.template / self.living).write_bytes(b"being written")

    def fill(self, place: Path) -> None:
        """Lay sets and garbage there."""
        _copy(self.template, place / "cache")

    def command(self, place: Path) -> Sequence[str]:
        """Remove the garbage and the set; where a run before removed the set, the garbage."""
        there = any(place.glob("cache/removed-*"))
        return ["cache", "gc", str(place / "cache"), *(("--sets", "removed") if there else ())]

    def forget(self) -> None:
        """Note every entry."""
        self.watch = CacheWatch(self.at / "cache", may_go=("removed",), garbage=(self.damaged,))
        self.watch.check(Tally(self.name))
        self.packs = {path.name for path in find_packs(self.undisturbed / "cache")}

    def check(self, tally: Tally) -> None:
        """Nothing kept is touched; the set to remove is there as a whole, or not at all."""
        self.watch.check(tally)
        if not (self.watch.cache / self.living).exists():
            tally.fault("the temporary file of a living process is gone")
        if missing := self.packs - {path.name for path in find_packs(self.watch.cache)}:
            tally.fault(f"fresh packs are gone: {missing}")

    def compare(self, tally: Tally) -> None:
        """The same files are left as after an undisturbed run."""
        left, expected = (
            {name[len(str(place)) :] for name in names_in(place)}
            for place in (self.at / "cache", self.undisturbed / "cache")
        )
        tally.add("files_compared_at_the_end", len(expected))
        for name in sorted(left ^ expected):
            tally.fault(f"{'left at' if name in left else 'gone at'} the end: {name}")


def _make_set(cache: Path, name: str, clips: int, arrays: Sequence[str]) -> FeatureSet:
    made = FeatureSet(cache, SetSpec(name, {}, version=1)).create({})
    for number in range(clips):
        _write_entry(made, number, arrays)
    return made


def _write_entry(made: FeatureSet, number: int, arrays: Sequence[str], seed: int = 0) -> None:
    generator = np.random.default_rng([number, seed])
    steps = 7 + number % 3
    with made.writer(f"c{number:03}", source=SOURCE, provenance={}) as writer:
        writer.append(
            times=np.arange(steps) / 25,
            **{array: generator.normal(size=(steps, 11)).astype(np.float32) for array in arrays},
        )
        writer.finish()


def _copy(source: Path, target: Path) -> None:
    """Copy a folder by links: no file of a cache is ever changed in place."""
    shutil.copytree(source, target, copy_function=os.link)
