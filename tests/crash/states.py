"""States that a power cut may leave of an operation: build each, open it, and see that it is right.

What can be seen after a cut must be what the last promise of durability before it says, or what the
next one says, of each thing by itself. The same goes for what other processes see without a cut.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.calls import Watch
from tests.crash.disk import Disk, Mark, Step, Tree, read_tree, write_tree
from tests.crash.operation import Operation, Seen

# Also states that differ in nothing but the content of temporary files, and an end of each.
EXHAUSTIVE = os.environ.get("AVFUSE_CRASH") == "all"
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Recording:
    """One operation as it was carried out by a process that has ended since.

    Args:
        start: what was there.
        times: of the files that were there.
        steps: what the calls changed.
        calls: how many calls there were.
    """

    start: Tree
    times: dict[str, int]
    steps: Sequence[Step]
    calls: int


def record(operation: Operation, folder: Path, outside: Path) -> Recording:
    """Carry an operation out in a new folder."""
    folder.mkdir()
    operation.prepare(folder, outside)
    start = read_tree(folder)
    times = {path: (folder / path).stat().st_mtime_ns for path in start if start[path] is not None}
    watch = Watch(folder)
    with watch.watching():
        operation.act(folder, outside, watch.mark)
    return Recording(start, times, tuple(watch.steps), len(watch.calls))


def record_all(names: Sequence[str], outside: Path) -> dict[str, Recording]:
    """Record operations in a process of its own, whose temporary files are then a dead one's."""
    file = outside / "recordings"
    command = [sys.executable, "-m", "tests.crash.recording", str(file), str(outside), *names]
    subprocess.run(command, check=True, cwd=ROOT, timeout=200)
    recordings: dict[str, Recording] = pickle.loads(file.read_bytes())  # noqa: S301 - our own
    return recordings


@dataclass
class States:
    """The states that cuts may leave of one operation.

    Args:
        operation: the operation.
        recording: of it.
        folder: an empty one to build states in.
        outside: what is not watched.

    Attributes:
        built: states that the model gave, many of them alike.
        opened: different ones that were opened.
        ended: those in which the operation was repeated.
    """

    operation: Operation
    recording: Recording
    folder: Path
    outside: Path
    built: int = 0
    opened: int = 0
    ended: int = 0

    def check(self) -> None:
        """Build and check every state.

        Raises:
            AssertionError: one is wrong; says which, and after which call.
        """
        steps = self.recording.steps
        disk = Disk(self.recording.start)
        promises = [self.look(disk.now())]
        for step in steps:
            disk.apply(step)
            if isinstance(step, Mark):
                promises.append(self.look(disk.now()))
        promises.append(self.look(disk.now()))
        disk = Disk(self.recording.start)
        done: set[Any] = set()
        promised = 0
        for number, step in enumerate([None, *steps]):
            if step is not None:
                disk.apply(step)
                promised += isinstance(step, Mark)
            allowed = promises[promised : promised + 2]
            for tree in (disk.now(), *disk.after_cut()):
                self.built += 1
                key = (promised, self._told_apart(tree))
                if key not in done:
                    done.add(key)
                    self._check(tree, allowed, number)

    def _told_apart(self, tree: Tree) -> frozenset[tuple[str, Any]]:
        """Return what tells a state from others: not what is in files of temporary names."""
        if EXHAUSTIVE:
            return frozenset(tree.items())
        return frozenset(
            (path, content if content is None or not path.endswith(".tmp") else bool(content))
            for path, content in tree.items()
        )

    def look(self, tree: Tree) -> Seen:
        key = frozenset(tree.items())
        if key not in self._seen:
            path = self._build(tree)
            self._seen[key] = self.operation.look(path)
        return self._seen[key]

    def __post_init__(self) -> None:
        self._seen: dict[Any, Seen] = {}

    def _build(self, tree: Tree) -> Path:
        path = self.folder / "state"
        shutil.rmtree(path, ignore_errors=True)
        write_tree(tree, path, self.recording.times)
        return path

    def _check(self, tree: Tree, allowed: Sequence[Seen], number: int) -> None:
        steps = self.recording.steps
        last = steps[number - 1] if number else "nothing"
        where = f"{self.operation.name}: cut after step {number} of {len(steps)} ({last!r:.120})"
        where += f", which left { ({p: c if c is None else len(c) for p, c in tree.items()}) }"
        self.opened += 1
        try:
            seen = self.look(tree)
            for name in {*seen, *(name for one in allowed for name in one)}:
                values = [one.get(name) for one in allowed]
                assert seen.get(name) in values, f"{name}: {seen.get(name)} not in {values}"
            path = self._build(tree)
            self.operation.tidy(path)
            every = 1 if EXHAUSTIVE else self.operation.every
            if every and self.opened % every == 0:
                self.ended += 1
                (self.operation.again or self.operation.act)(path, self.outside, lambda: None)
                after = self.operation.look(path)
                assert after == self.end, f"ends as {after}, not as {self.end}"
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error

    @property
    def end(self) -> Seen:
        """What can be seen after an undisturbed operation."""
        disk = Disk(self.recording.start)
        for step in self.recording.steps:
            disk.apply(step)
        return self.look(disk.now())
