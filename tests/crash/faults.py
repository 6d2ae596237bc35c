"""Failures of single calls: the n-th call of an operation fails, for every n and every error.

The operation then succeeds or ends in one error that a user can understand, what can be seen is as
at some moment of an undisturbed one, the same operation succeeds afterwards, and what it then has
promised survives a power cut, also where the call that failed was a flush.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache import commit
from cache.commit import CacheWriteError, temporary_writer
from cache.sets.scan import REMOVED
from tests.crash.calls import Fault, Watch, errors_of
from tests.crash.disk import Disk, read_tree
from tests.crash.operation import Operation, Seen
from tests.crash.states import EXHAUSTIVE, Recording, States


@dataclass
class Faults:
    """The failures of one operation.

    Args:
        operation: the operation.
        folder: an empty one to work in.
        outside: what is not watched.

    Attributes:
        calls: that can fail.
        tried: failures so far.
    """

    operation: Operation
    folder: Path
    outside: Path
    calls: int = 0
    tried: int = 0

    @property
    def every(self) -> int:
        """Each so many-th call fails."""
        return 1 if EXHAUSTIVE else max(1, self.operation.every)

    def check(self) -> None:
        """Let call after call fail.

        Raises:
            AssertionError: something is wrong after one; says which.
        """
        self.operation.prepare(self._new("before"), self.outside)
        watch = self._watched(None)
        with watch.watching():
            self.operation.act(watch.folder, self.outside, watch.mark)
        undisturbed, known = self._replay(watch)
        self.calls = len(watch.calls)
        for number in range(0, len(watch.calls), self.every):
            call = watch.calls[number]
            faults = [Fault(number, error) for error in errors_of(call)]
            if call in ("write", "pwrite"):
                faults.append(Fault(number, errno.ENOSPC, short=True))
            if not EXHAUSTIVE:  # one after the other of the call's errors
                faults = [faults[number % len(faults)]]
            for fault in faults:
                where = f"{self.operation.name}: {call} {number} of {len(watch.calls)}"
                where += f" with {errno.errorcode[fault.error]}{' after half' * fault.short}"
                try:
                    self._check(fault, undisturbed, known)
                except Exception as error:
                    raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error

    def _new(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def _watched(self, fault: Fault | None) -> Watch:
        """Return a watch of a copy of what was there before."""
        path = self._new("trial")
        shutil.copytree(self.folder / "before", path, dirs_exist_ok=True)
        commit._NAMED.clear()  # the folders are new ones, in a process that is new to them
        return Watch(path, fault)

    def _replay(self, watch: Watch) -> tuple[Sequence[Seen], set[str]]:
        """Return what can be seen at each moment, and every path that is there at some."""
        before = self.folder / "before"
        start = read_tree(before)
        times = {path: (before / path).stat().st_mtime_ns for path in start}
        recording = Recording(start, times, tuple(watch.steps), len(watch.calls))
        states = States(self.operation, recording, self.folder, self.outside)
        disk = Disk(start)
        seen, known = [states.look(disk.now())], {*start}
        for step in recording.steps:
            disk.apply(step)
            seen.append(states.look(disk.now()))
            known |= disk.now().keys()
        return seen, known

    def _check(self, fault: Fault, undisturbed: Sequence[Seen], known: set[str]) -> None:
        self.tried += 1
        watch = self._watched(fault)
        start = read_tree(watch.folder)
        descriptors = _count_descriptors()
        error = None
        try:
            with watch.watching():
                self.operation.act(watch.folder, self.outside, watch.mark)
        except Exception as caught:  # noqa: BLE001 - any is to be looked at
            error = caught
        assert error is None or _is_understood(error, self.operation.refusals), repr(error)
        succeeded = error is None
        del error  # its frames may hold files
        assert watch.failed, "the call did not come"
        assert _count_descriptors() == descriptors, "a descriptor stays open"
        end = undisturbed[-1]
        seen = self.operation.look(watch.folder)
        self._compare(seen, [end] if succeeded else undisturbed)
        # Only its flush failed, and it isn't done again: promised by nobody.
        names = {name for one in undisturbed for name in one}
        unpromised = {n for n in names if not succeeded and seen.get(n) == end.get(n)}
        for path in read_tree(watch.folder).keys() - known:
            assert _is_left_over(Path(path)), f"{path} stays"
        watch.fault = None
        with watch.watching():
            (self.operation.again or self.operation.act)(watch.folder, self.outside, watch.mark)
        assert self.operation.look(watch.folder) == end
        disk = Disk(start)
        for step in watch.steps:
            disk.apply(step)
        recording = Recording(start, {}, (), 0)
        states = States(self.operation, recording, self.folder, self.outside)
        for tree in disk.after_cut():
            left = states.look(tree)
            lost = {name for name in {*left, *names} if left.get(name) != end.get(name)}
            lost -= unpromised
            assert not lost, f"a power cut afterwards changes {lost}"

    def _compare(self, seen: Seen, undisturbed: Sequence[Seen]) -> None:
        for name in {*seen, *(name for one in undisturbed for name in one)}:
            allowed = [one.get(name) for one in undisturbed]
            assert seen.get(name) in allowed, f"{name}: {seen.get(name)} not in {allowed}"


def _count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _is_understood(error: Exception, refusals: tuple[type[Exception], ...]) -> bool:
    """Whether an error says what couldn't be done with which file."""
    if isinstance(error, (CacheWriteError, *refusals)):
        return True
    # Without a number it is a sentence of ours.
    return isinstance(error, OSError) and (error.errno is None or bool(error.filename))


def _is_left_over(path: Path) -> bool:
    """Whether a path is in what ``gc`` knows to be a dead writer's, once it is dead."""
    return any(
        temporary_writer(part) or part.name.startswith(REMOVED) for part in (path, *path.parents)
    )
