"""Commit files: each appears complete or not at all, and stays after a power cut.

Every file is written under a temporary name in its own folder, flushed to the disk, renamed, and
the folder flushed. The temporary name says who writes it, so that ``gc`` can tell a dead writer's.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TEMPORARY = re.compile(r"\.(.+)\.([0-9a-f]{8})\.(\d+)-(\d+)\.[0-9a-f]{6}\.tmp")
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)  # some network file systems can't, and say so
_ADVICE = {
    errno.ENOSPC: "free space on that disk or choose another folder",
    errno.EDQUOT: "the quota is used up: free space or choose another folder",
    errno.EFBIG: "the file system or a limit (ulimit -f) forbids files of this size",
    errno.EACCES: "make the folder writable or choose another folder",
    errno.EPERM: "make the folder writable or choose another folder",
    errno.EROFS: "the file system is read-only: mount it writable or choose another folder",
    errno.ENOENT: "the folder is gone (removed, or its disk unmounted?): bring it back",
    errno.ESTALE: "the network file system lost the folder: mount it again",
}


class CacheWriteError(OSError):
    """A file of the cache couldn't be written; nothing was committed."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Let a file appear under its name only once it is complete.

    Args:
        path: the file; replaced if it is there. Its folder exists.

    Yields:
        Another path in the same folder, to write to. At the end it is flushed to the disk and
        takes the name; after an error it is removed and nothing has happened.

    Raises:
        OSError: it couldn't be written; what was there before is unchanged. If only the flush of
            the folder failed, the new file is there, whole, and a power cut may undo it.
    """
    with _appearing(path) as temporary:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, content: str | bytes, *, what: str = "") -> Path:
    """Write a file, complete or not at all, replacing what was there.

    Args:
        path: the file; its folder exists.
        content: all of it; text is written as UTF-8.
        what: what it is, for the error; its name if empty.

    Returns:
        ``path``.

    Raises:
        CacheWriteError: it couldn't be written; see ``whole_file``.
    """
    left = memoryview(content.encode() if isinstance(content, str) else content)
    try:
        with _appearing(path) as temporary:
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
            try:
                while left:
                    left = left[os.write(descriptor, left) :]
                # Where it is written: another descriptor need not hear of a write that failed.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise write_error(what or path.name, path, error) from error
    return path


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Give what is written and flushed to a temporary path its name, and flush the folder."""
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what the first error says matters more
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the caller never gave the other name
        raise


def write_error(what: str, path: Path, cause: BaseException) -> CacheWriteError:
    """Say that ``what`` couldn't be written to ``path``, why, and what to do."""
    number = cause.errno if isinstance(cause, OSError) else None
    if number is None and (match := re.search(r"errno = (\d+)", str(cause))):
        number = int(match[1])
    advice = _ADVICE.get(number or 0, "check the disk")
    text = f"[Errno {number}] {os.strerror(number)}" if number else str(cause)
    error = CacheWriteError(
        f"{what} can't be written to {path}: {text}; {advice}, then run the same command again"
    )
    error.errno = number
    return error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless they are there, and make its name durable.

    Raises:
        OSError: it can't be created.
    """
    if not folder.is_dir():
        if not folder.parent.is_dir():
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    _sync_name(folder)


def make_last_folder(path: Path) -> None:
    """Create the folder of a set's file, never the set's own, and make the names above durable.

    Args:
        path: ``CACHE/SET/FOLDER/FILE``. If the set's folder is gone, so is the cache.

    Raises:
        OSError: it can't be created.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(exist_ok=True)
    for folder in path.parents[:3]:
        _sync_name(folder)


_NAMED: set[tuple[int, int]] = set()  # device and inode of folders whose name is durable


def _sync_name(folder: Path) -> None:
    """Flush a folder's name, once a process: who made it, maybe a moment ago, may not have yet."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in _NAMED:
        return
    with contextlib.suppress(PermissionError):  # above may be what only its owner reads
        sync_folder(folder.parent)
    _NAMED.add(identity)


def remove_durably(path: Path) -> None:
    """Remove a file, if it is there, so that no power cut brings it back.

    Raises:
        OSError: it can't be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def check_place(path: Path) -> None:
    """Refuse a folder that can't be written to or made, by making and removing one in it.

    For commands that would find out only after their work. Where ``path`` is still to be made, the
    nearest folder above that exists is tried.

    Raises:
        CacheWriteError: nothing can be written there, with the reason.
    """
    folder = path.absolute()
    while not folder.is_dir():
        if os.path.lexists(folder):
            raise CacheWriteError(f"{path} can't be written: {folder} is not a folder")
        folder = folder.parent
    try:
        Path(tempfile.mkdtemp(prefix=".avfuse-", dir=folder)).rmdir()
    except FileNotFoundError as error:  # the folder is there: its file system makes no folders
        raise CacheWriteError(
            f"{path} can't be written to {folder}: nothing can be made there; name another place"
        ) from error
    except OSError as error:
        raise write_error(str(path), folder, error) from error


def check_file_place(path: Path) -> None:
    """Refuse a file that can't be written; see ``check_place``.

    Raises:
        CacheWriteError: it is a folder, or nothing can be written beside it.
    """
    if path.is_dir():
        raise CacheWriteError(f"{path} is a folder; expected a file, which may be new")
    check_place(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Writer:
    """Process that writes a temporary file: its host, number and start."""

    host: str
    pid: int
    started: int


def temporary_path(path: Path) -> Path:
    """Return a new temporary name beside ``path``, owned by this process."""
    me = this_writer()
    token = secrets.token_hex(3)
    # A name may have 255 bytes; the longest clip id fits.
    start = os.fsencode(path.stem)[:200].decode(errors="ignore")
    return path.with_name(f".{start}.{me.host}.{me.pid}-{me.started}.{token}.tmp")


def temporary_writer(path: Path) -> Writer | None:
    """Return who writes the temporary file ``path``; None if its name isn't a temporary one."""
    match = _TEMPORARY.fullmatch(path.name)
    return Writer(match[2], int(match[3]), int(match[4])) if match else None


def this_writer() -> Writer:
    """Return this process as a writer."""
    return Writer(this_host(), os.getpid(), _own_start(os.getpid()))


@cache
def this_host() -> str:
    """Return 8 hex digits for this host and, in a container, its own numbering of processes."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path
    except OSError:
        namespace = ""  # only Linux has them
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def is_alive(writer: Writer) -> bool:
    """Whether a writer on this host still runs."""
    try:
        os.kill(writer.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    if _is_zombie(writer.pid):
        return False  # in a container often nobody waits for those that were killed
    # A later process may have got the same number.
    started = _started(writer.pid)
    return 0 in (started, writer.started) or started == writer.started


@cache
def _own_start(pid: int) -> int:
    """Return when this process began, of which a fork has another number; asked for each entry."""
    return _started(pid)


def _started(pid: int) -> int:
    """Return when a process began, in clock ticks since the host did; 0 where that is unknown."""
    fields = _status(pid)
    return int(fields[19]) if fields else 0


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended but its parent has not collected its exit code yet."""
    return _status(pid)[:1] == ["Z"]


def _status(pid: int) -> list[str]:
    """Return a process's status line from Linux's /proc, from its state on; empty elsewhere."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field is the program's name in parentheses and may hold spaces.
    return text.rpartition(")")[2].split()
