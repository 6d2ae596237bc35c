"""Watch of the calls that reach the operating system for one folder: note them, or make one fail.

It stands where Python's own code calls ``os``, and under every file that ``open`` opens. What
libraries in C read by themselves isn't seen; nothing of ours lets one write (``test_calls.py``).
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import ROOT, Enter, Flush, Leave, Mark, Move, Resize, Step, Write

BY_PATH = ("stat", "lstat", "listdir", "scandir", "mkdir", "rmdir", "unlink", "remove", "truncate")
# Not fstat: the state of an open file is in memory.
BY_DESCRIPTOR = ("read", "pread", "write", "pwrite", "fsync", "fdatasync", "ftruncate")
# Errors that a call may meet; any of them EIO.
NO_ROOM = ("create", "write", "pwrite", "mkdir", "rename", "replace", "fsync", "ftruncate")
CHANGES = (*NO_ROOM, "unlink", "remove", "rmdir", "link")


def errors_of(call: str) -> list[int]:
    """Return the errors that a call may meet."""
    found = [errno.EIO]
    if call in NO_ROOM:
        found += [errno.ENOSPC, errno.EDQUOT]
    if call in CHANGES and call not in ("write", "pwrite", "fsync", "ftruncate"):
        found.append(errno.EROFS)
    if call in ("open", "create"):
        found += [errno.EMFILE, errno.EACCES]
    if call in ("stat", "lstat", "scandir", "listdir", "open", "create", "mkdir"):
        found.append(errno.ENOMEM)
    if call == "close":  # Python repeats every other call by itself (PEP 475)
        found.append(errno.EINTR)
    return found


@dataclass(frozen=True)
class Fault:
    """A failure to come: the call, counted from 0, and its error.

    ``short`` lets a write write half before, and the next one fail.
    """

    number: int
    error: int
    short: bool = False


@dataclass
class Watch:
    """Notes on what was called below a folder.

    Args:
        folder: the watched one; it exists.
        fault: the call that fails.

    Attributes:
        calls: names of the calls, in their order.
        steps: what they changed.
        failed: the call that was made to fail; empty if none was.
    """

    folder: Path
    fault: Fault | None = None
    calls: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    failed: str = ""
    _nodes: dict[str, int] = field(default_factory=dict)
    _open: dict[int, tuple[int, str]] = field(default_factory=dict)
    _made: int = 0
    _next_write_fails: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(os.path.realpath(self.folder))
        paths = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))
        self._nodes = {"": ROOT} | {path: number for number, path in enumerate(paths, start=1)}
        self._made = len(paths)

    def mark(self) -> None:
        """Note that what can be seen now is promised to be durable."""
        self.steps.append(Mark())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Stand between Python and the operating system."""
        real = {
            name: getattr(os, name)
            for name in (*BY_PATH, *BY_DESCRIPTOR, "open", "close", "rename", "replace", "link")
        }
        with pytest.MonkeyPatch.context() as patch:
            for name in BY_PATH:
                patch.setattr(os, name, self._by_path(name, real[name]))
            for name in BY_DESCRIPTOR:
                patch.setattr(os, name, self._by_descriptor(name, real[name]))
            for name in ("rename", "replace"):
                patch.setattr(os, name, self._renaming(name, real[name]))
            patch.setattr(os, "open", self._opening(real["open"]))
            patch.setattr(os, "close", self._closing(real["close"]))
            patch.setattr(os, "link", _refused)
            real_open = builtins.open
            opening = self._opening_file(real_open)
            patch.setattr(builtins, "open", opening)
            patch.setattr(io, "open", opening)
            yield

    def place(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Return a path relative to the watched folder; None if it is elsewhere."""
        if isinstance(path, int):
            path = self._open[path][1] if path in self._open else os.devnull
            return str(path) if path != os.devnull else None
        text = os.fsdecode(path)
        if dir_fd is not None and not text.startswith("/"):
            if dir_fd not in self._open:
                return None
            text = f"{self.folder}/{self._open[dir_fd][1]}/{text}"
        text = os.path.abspath(text)  # noqa: PTH100 - without following links
        if text == str(self.folder):
            return ""
        start = f"{self.folder}/"
        return text[len(start) :] if text.startswith(start) else None

    def meet(self, call: str, path: Any = None) -> None:
        """Count a call, and raise the error if it is the one that fails."""
        number = len(self.calls)
        self.calls.append(call)
        fault = self.fault
        if fault and fault.number == number and not fault.short:
            self.failed = call
            raise _error(fault.error, path)

    def _name(self, place: str) -> tuple[int, str]:
        """Return the folder's number and the name of what is at a place."""
        above, _, name = place.rpartition("/")
        return self._nodes[above], name

    def _new(self, place: str, *, is_folder: bool) -> int:
        self._made += 1
        number = self._nodes[place] = self._made
        self.steps.append(Enter(*self._name(place), number, is_folder))
        return number

    def _by_path(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *rest: Any, **named: Any) -> Any:
            place = self.place(path, named.get("dir_fd"))
            if place is None:
                return real(path, *rest, **named)
            self.meet(name, path)
            result = real(path, *rest, **named)
            if name == "mkdir":
                self._new(place, is_folder=True)
            elif name in ("unlink", "remove", "rmdir"):
                self.steps.append(Leave(*self._name(place)))
                del self._nodes[place]
            elif name == "truncate":
                self.steps.append(Resize(self._nodes[place], rest[0]))
            return result

        return call

    def _by_descriptor(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *rest: Any) -> Any:
            if descriptor not in self._open:
                return real(descriptor, *rest)
            node, _ = self._open[descriptor]
            try:
                self.meet(name)
            except OSError:
                if name in ("fsync", "fdatasync"):
                    self.steps.append(Flush(node, failed=True))
                raise
            if name in ("write", "pwrite"):
                return self._write(descriptor, node, name, real, *rest)
            result = real(descriptor, *rest)
            if name in ("fsync", "fdatasync"):
                self.steps.append(Flush(node))
            elif name == "ftruncate":
                self.steps.append(Resize(node, rest[0]))
            return result

        return call

    def _write(
        self,
        descriptor: int,
        node: int,
        name: str,
        real: Callable[..., int],
        data: Any,
        *offset: int,
    ) -> int:
        view = memoryview(data).cast("B")
        fault = self.fault
        if self._next_write_fails:
            self._next_write_fails = False
            raise _error(fault.error if fault else errno.EIO)
        if fault and fault.short and fault.number == len(self.calls) - 1:
            self.failed = name
            self._next_write_fails = True
            view = view[: len(view) // 2]
        start = offset[0] if offset else os.lseek(descriptor, 0, os.SEEK_CUR)
        written = real(descriptor, view, *offset)
        self.steps.append(Write(node, start, bytes(view[:written])))
        return written

    def _renaming(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(old: Any, new: Any, **named: Any) -> None:
            before = self.place(old, named.get("src_dir_fd"))
            after = self.place(new, named.get("dst_dir_fd"))
            if before is None and after is None:
                real(old, new, **named)
                return
            if before is None or after is None or self._name(before)[0] != self._name(after)[0]:
                raise AssertionError(f"{old} -> {new}: no rename leads to another folder")
            self.meet(name, new)
            real(old, new, **named)
            folder, _ = self._name(before)
            target = self._nodes[before]
            self.steps.append(Move(folder, self._name(before)[1], self._name(after)[1], target))
            below = {p: n for p, n in self._nodes.items() if p == before or _is_below(p, before)}
            for path, node in below.items():
                del self._nodes[path]
                self._nodes[after + path[len(before) :]] = node

        return call

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            place = self.place(path, dir_fd)
            if place is None:
                descriptor = real(path, flags, mode, dir_fd=dir_fd)
                self._open.pop(descriptor, None)  # closed past the watch
                return descriptor
            creates = bool(flags & os.O_CREAT) and place not in self._nodes
            self.meet("create" if creates else "open", path)
            descriptor = real(path, flags, mode, dir_fd=dir_fd)
            if creates:
                self._new(place, is_folder=False)
            elif flags & os.O_TRUNC:
                self.steps.append(Resize(self._nodes[place], 0))
            self._open[descriptor] = (self._nodes[place], place)
            return descriptor

        return call

    def _closing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            if descriptor not in self._open:
                real(descriptor)
                return
            writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            del self._open[descriptor]
            real(descriptor)  # Linux closes it, whatever it says
            if writable:  # of what was only read nothing is left to fail
                self.meet("close")

        return call

    def _opening_file(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            **named: Any,
        ) -> Any:
            if self.place(file) is None:
                return real(file, mode, buffering, encoding, errors, newline, **named)
            raw = _File(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            both = io.BufferedRandom if "+" in mode else None
            buffer = (both or (io.BufferedReader if "r" in mode else io.BufferedWriter))(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        return call


_FLAGS = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


class _File(io.FileIO):
    """A file whose calls go through ``os``."""

    def __init__(self, path: Any, mode: str) -> None:
        is_open = isinstance(path, int)
        self.descriptor = path if is_open else os.open(path, _FLAGS[mode] | os.O_CLOEXEC, 0o666)
        try:
            super().__init__(self.descriptor, mode, closefd=False)
        except BaseException:
            os.close(self.descriptor)
            raise

    def write(self, data: Any) -> int:
        return os.write(self.descriptor, data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = os.read(self.descriptor, len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        return self.readall() if size is None or size < 0 else os.read(self.descriptor, size)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: os.read(self.descriptor, 1 << 20), b""))

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self.descriptor)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _error(number: int, path: Any = None) -> OSError:
    text = os.strerror(number)
    if path is None or isinstance(path, int):
        return OSError(number, text)
    return OSError(number, text, os.fspath(path))


def _refused(*_: Any, **__: Any) -> None:
    raise AssertionError("the model of a disk knows no links")
