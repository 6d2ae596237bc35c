"""Model of a disk that a power cut strikes: what is durable, and every state that may be left.

Only what a flush (``fsync``) has covered is certain: of a file's writes those before a flush of the
file, of a folder's names those before a flush of the folder. Of the rest any part may be there, in
any order: writes torn at sectors, lengths without data, names that go ahead of the data.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

SECTOR = 512  # bytes that a disk writes whole
EVERY_SUBSET = 5  # of so many things all subsets are tried; of more, the telling ones
SAMPLE = 12  # and so many drawn ones
ROOT = 0  # the number of the folder that is watched

# A file's content by its path in the watched folder; None for a folder.
Tree = Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written into a file."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file's new length."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Enter:
    """A new name in a folder."""

    node: int
    name: str
    target: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """A name taken out of a folder."""

    node: int
    name: str


@dataclass(frozen=True, slots=True)
class Move:
    """A name changed in one folder; what had the new name is replaced."""

    node: int
    old: str
    new: str
    target: int


@dataclass(frozen=True, slots=True)
class Flush:
    """A flush of a file or folder.

    One of a file that failed leaves the writes before it in doubt for good: Linux may drop them
    and call the next flush a success. A folder's changes wait in the journal for another try.
    """

    node: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A promise: what can be seen from here on is durable."""


Step = Write | Resize | Enter | Leave | Move | Flush | Mark


@dataclass
class _Log:
    """Changes of one file or folder since it was certain as a whole.

    ``certain`` ones were flushed, behind others that a failed flush left in doubt.
    """

    steps: list[Step] = field(default_factory=list)
    certain: set[int] = field(default_factory=set)
    in_doubt: set[int] = field(default_factory=set)

    def open(self) -> list[int]:
        """Places of the changes that a power cut may undo."""
        return [number for number in range(len(self.steps)) if number not in self.certain]

    def chosen(self, kept: frozenset[int]) -> list[Step]:
        return [
            step
            for number, step in enumerate(self.steps)
            if number in kept or number in self.certain
        ]


class Disk:
    """The watched folder on the disk: what is certain, and what is on its way.

    Args:
        start: what is there and durable, from ``read_tree``.
    """

    def __init__(self, start: Tree) -> None:
        self.names: dict[int, dict[str, int]] = {ROOT: {}}
        self.contents: dict[int, bytes] = {}
        self.logs: dict[int, _Log] = {}
        numbers = {"": ROOT}
        for path in sorted(start):
            above, _, name = path.rpartition("/")
            number = numbers[path] = len(numbers)
            self.names[numbers[above]][name] = number
            content = start[path]
            if content is None:
                self.names[number] = {}
            else:
                self.contents[number] = content

    def apply(self, step: Step) -> None:
        """Note a step."""
        if isinstance(step, Mark):
            return
        if isinstance(step, Flush):
            self._flush(step)
            return
        if isinstance(step, Enter):
            if step.is_folder:
                self.names.setdefault(step.target, {})
            elif step.target not in self.contents:
                self.contents[step.target] = b""
        self.logs.setdefault(step.node, _Log()).steps.append(step)

    def _flush(self, flush: Flush) -> None:
        log = self.logs.get(flush.node)
        if log is None:
            return
        if flush.failed:
            if flush.node in self.contents:
                log.in_doubt.update(log.open())
            return
        log.certain.update(number for number in log.open() if number not in log.in_doubt)
        if not log.open():
            everything = frozenset(range(len(log.steps)))
            if flush.node in self.names:
                self.names[flush.node] = self._names(flush.node, everything)
            else:
                self.contents[flush.node] = self._content(flush.node, everything)
            del self.logs[flush.node]

    def now(self) -> Tree:
        """Return what processes see before the cut."""
        return self._tree({}, {})

    def after_cut(self) -> Iterator[Tree]:
        """Yield every state that a power cut may leave now, many of them more than once."""
        open_names = [
            (node, number)
            for node, log in self.logs.items()
            if node in self.names
            for number in log.open()
        ]
        for chosen in choose(len(open_names)):
            kept: dict[int, frozenset[int]] = {
                node: frozenset(open_names[i][1] for i in chosen if open_names[i][0] == node)
                for node, _ in open_names
            }
            files = [
                node
                for node in self._reachable(kept)
                if node in self.logs and node in self.contents
            ]
            yield self._tree(kept, {})
            yield self._tree(kept, {node: self._content(node, frozenset()) for node in files})
            for node in files:
                for content in self._variants(node):
                    yield self._tree(kept, {node: content})

    def _variants(self, node: int) -> Iterator[bytes]:
        """Yield what may be in a file after a cut."""
        log = self.logs[node]
        places = log.open()
        for chosen in choose(len(places)):
            yield self._content(node, frozenset(places[i] for i in chosen))
        without, everything = self._content(node, frozenset()), self._content(node, None)
        # The length is there and the data isn't, as with delayed allocation.
        yield without + bytes(max(0, len(everything) - len(without)))
        yield bytes(len(everything))
        for last in places:
            step = log.steps[last]
            if isinstance(step, Write):
                before = self._content(node, frozenset(i for i in places if i < last))
                after = _written(before, step)
                yield from _torn(before, after)

    def _content(self, node: int, kept: frozenset[int] | None) -> bytes:
        content = self.contents[node]
        log = self.logs.get(node, _Log())
        for step in log.steps if kept is None else log.chosen(kept):
            if isinstance(step, Write):
                content = _written(content, step)
            elif isinstance(step, Resize):
                content = content[: step.size].ljust(step.size, b"\0")
        return content

    def _names(self, node: int, kept: frozenset[int] | None) -> dict[str, int]:
        names = dict(self.names[node])
        log = self.logs.get(node, _Log())
        for step in log.steps if kept is None else log.chosen(kept):
            if isinstance(step, Enter):
                names[step.name] = step.target
            elif isinstance(step, Leave):
                names.pop(step.name, None)
            elif isinstance(step, Move):
                names.pop(step.old, None)
                names[step.new] = step.target
        return names

    def _reachable(self, kept: Mapping[int, frozenset[int]]) -> list[int]:
        found = [ROOT]
        for node in found:
            if node in self.names:
                found += self._names(node, kept.get(node) if kept else None).values()
        return found

    def _tree(self, kept: Mapping[int, frozenset[int]], contents: Mapping[int, bytes]) -> Tree:
        tree: dict[str, bytes | None] = {}
        todo = [("", ROOT)]
        for above, node in todo:
            for name, target in self._names(node, kept.get(node) if kept else None).items():
                path = f"{above}{name}"
                if target in self.names:
                    tree[path] = None
                    todo.append((f"{path}/", target))
                else:
                    tree[path] = (
                        contents[target] if target in contents else self._content(target, None)
                    )
        return tree


def choose(number: int) -> Iterator[tuple[int, ...]]:
    """Yield subsets of so many things: all if they are few, else the telling ones and a sample."""
    things = range(number)
    if number <= EVERY_SUBSET:
        for size in range(number + 1):
            yield from combinations(things, size)
        return
    for size in range(number + 1):
        yield tuple(range(size))
    yield from combinations(things, number - 1)
    yield from combinations(things, 1)
    yield from combinations(things, 2)
    generator = random.Random(number)
    for _ in range(SAMPLE):
        yield tuple(thing for thing in things if generator.random() < 0.5)


def _written(content: bytes, write: Write) -> bytes:
    before = content[: write.offset].ljust(write.offset, b"\0")
    return before + write.data + content[write.offset + len(write.data) :]


def _torn(before: bytes, after: bytes) -> Iterator[bytes]:
    """Yield a write of which some sectors arrived: the first ones, the last ones, every other."""
    old = before.ljust(len(after), b"\0")
    sectors = range(0, len(after), SECTOR)
    changed = [s for s in sectors if old[s : s + SECTOR] != after[s : s + SECTOR]]
    cuts = {1, 2, len(changed) // 2, len(changed) - 1}
    for number in sorted(cut for cut in cuts if 0 < cut < len(changed)):
        yield _with_sectors(old, after, changed[:number])
        yield _with_sectors(old, after, changed[number:])
    if len(changed) > 2:
        yield _with_sectors(old, after, changed[::2])


def _with_sectors(old: bytes, new: bytes, sectors: list[int]) -> bytes:
    content = bytearray(old)
    for start in sectors:
        content[start : start + SECTOR] = new[start : start + SECTOR]
    return bytes(content)


def read_tree(folder: Path) -> dict[str, bytes | None]:
    """Read all that is in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_tree(tree: Tree, folder: Path, times: Mapping[str, int]) -> None:
    """Write a state of the disk into a new folder, with the times of the files that have any."""
    folder.mkdir()
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            (folder / path).mkdir()
            continue
        (folder / path).write_bytes(content)
        if path in times:
            os.utime(folder / path, ns=(times[path], times[path]))
