"""``avfuse train``, ``sweep`` and ``finetune`` killed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import safetensors
import safetensors.numpy

from benchmarks.trust.kills.operation import CacheWatch, Operation, Target
from benchmarks.trust.kills.tally import Tally
from trainer.runs.folder import CHECKPOINTS, HISTORY, INFO

EPOCHS = 7
# What depends on when a run was made, or how long it took; all else is the same byte for byte.
OF_THE_DAY = (INFO, HISTORY)
ENSEMBLE = "both"  # a cell of the sweep
SWEEP = """
title = "Three fusions and two of them together"
[base]
preset = "icmi19"
folds = "speaker:2"
[[axes]]
name = "fusion"
setting = "fusion.kind"
values = ["concat", "fbp", "video"]
[[cells]]
name = "both"
ensemble = ["concat", "fbp"]
"""


class RunWatch:
    """Watch of a run folder: what a training has saved stays, and its state never goes back.

    Args:
        path: the folder.
        undisturbed: that of an undisturbed run, to compare final files with.
        stays: whether it stays when it is finished; ensembles are made again from other runs.
    """

    def __init__(self, path: Path, undisturbed: Path, *, stays: bool = True) -> None:
        self.path = path
        self.stays = stays
        self.undisturbed = undisturbed
        self.contents: dict[Path, bytes] = {}
        self.done: dict[Path, int] = {}

    def check(self, tally: Tally) -> None:
        """Compare what was saved with what is there now."""
        if not self.path.exists():
            if self.contents or self.done:
                tally.fault(f"the run is gone: {self.path}")
            return
        for path, content in self.contents.items():
            if not path.exists():
                tally.fault(f"lost: {path}")
            elif path.read_bytes() != content:
                tally.fault(f"changed: {path}")
        finished = self._check_files(tally)
        heads = set(self.path.glob(f"{CHECKPOINTS}/[!.]*.safetensors"))
        more = len(heads) > sum(path.parent.name == CHECKPOINTS for path in self.contents)
        for path, before in self.done.items():
            if not path.exists() and not more and not finished:
                tally.fault(f"lost: {path}, with {before} epochs or updates")
        states = [*self.path.glob(f"{CHECKPOINTS}/*.progress"), self.path / "progress.safetensors"]
        # That of a head which is there was left by a kill between the two: it may go.
        states = [path for path in states if path.with_suffix(".safetensors") not in heads]
        done = {path: _count_done(path) for path in states if path.exists()}
        for path, now in done.items():
            if now < self.done.get(path, 0):
                tally.fault(f"went back from {self.done[path]} to {now}: {path}")
        self.done = done
        kept = self.path.rglob("[!.]*") if finished else heads
        for path in kept if self.stays else ():
            if path.is_file() and path.suffix != ".progress" and path not in done:
                self.contents.setdefault(path, path.read_bytes())
        tally.add("committed_files_checked_after_kills", len(self.contents) + len(done))

    def _check_files(self, tally: Tally) -> bool:
        """Check the files that are written once; returns whether the run is finished."""
        for path in self.path.rglob("[!.]*"):
            expected = self.undisturbed / path.relative_to(self.path)
            same = path.suffix in (".csv", ".json", ".toml") and path.name not in OF_THE_DAY
            if same and (not expected.exists() or path.read_bytes() != expected.read_bytes()):
                tally.fault(f"other than that of the undisturbed run: {path}")
        if not (self.path / INFO).exists():
            return False
        finished: bool = json.loads((self.path / INFO).read_text())["state"] == "finished"
        if finished:
            for name in _files(self.undisturbed) - _files(self.path):
                tally.fault(f"the run is finished, without {name}")
        return finished

    def compare(self, tally: Tally) -> None:
        """The same files, with the same contents but for dates and seconds."""
        here, there = _files(self.path), _files(self.undisturbed)
        for name in sorted(here ^ there):
            tally.fault(f"{'left at' if name in here else 'gone at'} the end: {self.path}/{name}")
        for name in sorted(here & there):
            tally.add("files_compared_at_the_end")
            if _timeless(self.path / name) != _timeless(self.undisturbed / name):
                tally.fault(f"differs at the end: {self.path}/{name}")


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _count_done(path: Path) -> int:
    """Return the epochs or updates in the state of an unfinished training."""
    with safetensors.safe_open(path, framework="np") as file:
        progress = json.loads(file.metadata()["avfuse"])["progress"]
    return int(progress.get("update", len(progress["history"])))


def _timeless(path: Path) -> object:
    """Return a file's contents without what tells when it was made."""
    if path.name == INFO:
        return json.loads(path.read_text())["state"]
    if path.name == HISTORY:
        lines = [line.split(",") for line in path.read_text().splitlines()]
        seconds = lines[0].index("seconds") if "seconds" in lines[0] else len(lines[0])
        return [line[:seconds] for line in lines]
    if path.parent.name == CHECKPOINTS:  # whose heads state the seconds of each epoch
        tensors = safetensors.numpy.load_file(path)
        return {name: (value.shape, value.tobytes()) for name, value in tensors.items()}
    return path.read_bytes()


class Train(Operation):
    """Training of four heads, of two seeds on two folds, and the packs that it needs."""

    name = "train"
    reach = 0.3

    def make_sources(self) -> None:
        """Write a manifest and a cache without any media."""
        from tests.trainer.experiment_helper import SMALL, make_corpus

        self.manifest = make_corpus(self.folder / "corpus").path
        self.cache = self.manifest.parent / "cache"
        settings = (*SMALL, f"optim.epochs={EPOCHS}", "optim.stack=off")
        self.settings = [part for key in settings for part in ("--set", key)]

    def command(self, place: Path) -> Sequence[str]:
        """Train."""
        where = ["train", str(self.manifest), "--cache", str(self.cache)]
        how = ["--preset", "icmi19", "--folds", "speaker:2", "--seeds", "2", "--threads", "1"]
        return [*where, "--packs", str(place), "--run", str(place / "run"), *how, *self.settings]

    def forget(self) -> None:
        """Forget the run."""
        self.cache_watch = CacheWatch(self.cache)
        self.runs = [RunWatch(self.at / "run", self.undisturbed / "run")]

    def check(self, tally: Tally) -> None:
        """No head and no epoch that was saved is lost."""
        self.cache_watch.check(tally)
        self.cache_watch.clean(tally)
        for run in self.runs:
            run.check(tally)

    def compare(self, tally: Tally) -> None:
        """Predictions, figures and heads are those of the undisturbed run."""
        for run in self.runs:
            run.compare(tally)


class Sweep(Train):
    """A sweep of three cells and an ensemble, in one process."""

    name = "sweep"
    jobs: ClassVar[int] = 1

    def make_sources(self) -> None:
        """Write the sweep file too."""
        super().make_sources()
        self.file = self.folder / "fusions.toml"
        self.file.write_text(SWEEP)

    def command(self, place: Path) -> Sequence[str]:
        """Train the cells."""
        where = ["sweep", str(self.file), str(self.manifest), "--cache", str(self.cache)]
        how = ["--packs", str(place), "--jobs", str(self.jobs), "--threads", "1", *self.settings]
        return [*where, "-o", str(place / "out"), *how]

    def forget(self) -> None:
        """Forget the cells."""
        super().forget()
        self.runs = [
            RunWatch(self.at / at, self.undisturbed / at, stays=cell != ENSEMBLE)
            for cell in ("concat", "fbp", "video", ENSEMBLE)
            for at in (Path("out") / "cells" / cell,)
        ]

    def check(self, tally: Tally) -> None:
        """No finished cell is lost, and a table is there as a whole or not at all."""
        super().check(tally)
        self._compare_tables(tally, at_end=False)

    def compare(self, tally: Tally) -> None:
        """Cells and tables are those of the undisturbed sweep."""
        super().compare(tally)
        self._compare_tables(tally, at_end=True)

    def _compare_tables(self, tally: Tally, *, at_end: bool) -> None:
        for name in ("table.csv", "table.md"):
            path, expected = self.at / "out" / name, self.undisturbed / "out" / name
            if path.exists() and path.read_bytes() != expected.read_bytes():
                tally.fault(f"another table: {path}")
            if at_end and not path.exists():
                tally.fault(f"gone at the end: {path}")
        if at_end:
            for path in (self.at / "out").rglob(".*.tmp"):
                tally.fault(f"left at the end: {path}")


class SweepOnTwoProcesses(Sweep):
    """The same sweep on two worker processes; when one is killed it ends, and says so."""

    name = "sweep on two processes"
    jobs = 2
    targets: ClassVar[dict[Target, float]] = {"group": 0.5, "parent": 0.25, "worker": 0.25}
    survives = False


class Finetune(Operation):
    """Fine-tuning of a narrow network on a few images."""

    name = "finetune"
    reach = 0.3

    def make_sources(self) -> None:
        """Write the images."""
        from tests.trainer.stills_helper import TINY_OPTIONS, make_ferplus

        self.images = make_ferplus(self.folder / "images")
        self.options = (
            *TINY_OPTIONS,
            *("--network=narrow", "--set=epochs=5", "--set=learning_rate=0.01"),
            *('--set=precision="float32"', "--threads=1", "--device=cpu"),
        )

    def command(self, place: Path) -> Sequence[str]:
        """Fine-tune."""
        return ["finetune", str(self.images), "--run", str(place / "run"), *self.options]

    def forget(self) -> None:
        """Forget the run."""
        self.run = RunWatch(self.at / "run", self.undisturbed / "run")

    def check(self, tally: Tally) -> None:
        """No update that was saved is lost."""
        self.run.check(tally)

    def compare(self, tally: Tally) -> None:
        """Weights, figures and predictions are those of the undisturbed run."""
        self.run.compare(tally)
