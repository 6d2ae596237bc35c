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
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TEMPORARY = re.compile(
    r"\..+\.([0-9a-f]{16}|[0-9a-f]{8})\.([0-9]{1,20})-([0-9]{1,20})\.[0-9a-f]{6}\.tmp"
)
_OLD_DIGITS = 8  # of the host in the names that versions before 0.2 gave
_UNKNOWN_START = "0" * 8
# File systems that one kernel has to itself; all others may be shared with another machine.
_LOCAL = ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs")
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)  # some network file systems can't, and say so
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # only a write says so
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
    with _advised(path), _appearing(path) as temporary:
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
def whole_folder(path: Path) -> Iterator[Path]:
    """Let a folder appear under its name only once all of it is written.

    Args:
        path: the folder; isn't there. The one above it is.

    Yields:
        An empty folder beside it, to write to; its files are flushed by whoever writes them.

    Raises:
        OSError: it couldn't be written; nothing of it is left.
    """
    temporary = temporary_path(path)
    try:
        with _advised(path):
            temporary.mkdir()
            yield temporary
            temporary.rename(path)
            sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def _advised(path: Path) -> Iterator[None]:
    """Say of a full disk which file it was and what to do: a write's own error names neither."""
    try:
        yield
    except CacheWriteError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:  # the disk's fault, where CacheWriteError may be the user's
            full = OSError(str(write_error(path.name, path, error)))
            full.errno = error.errno
            raise full from error
        raise


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
    made = not folder.is_dir()
    if made:
        if not folder.parent.is_dir():
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    _sync_name(folder, made=made)


def make_last_folder(path: Path) -> None:
    """Create the folder of a set's file, never the set's own, and make the names above durable.

    Args:
        path: ``CACHE/SET/FOLDER/FILE``. If the set's folder is gone, so is the cache.

    Raises:
        OSError: it can't be created.
    """
    made = not path.parent.is_dir()
    if made:
        path.parent.mkdir(exist_ok=True)
    _sync_name(path.parent, made=made)
    for folder in path.parents[1:3]:
        _sync_name(folder)


_NAMED: set[tuple[int, int]] = set()  # device and inode of folders whose name is durable


def _sync_name(folder: Path, *, made: bool = False) -> None:
    """Flush the name of a folder: one just made, or, once a process, one that was there.

    Who made it, maybe a moment ago, may not have flushed it yet.
    """
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if made or identity not in _NAMED:
        try:
            sync_folder(folder.parent)
        except PermissionError:  # who made it could read what is above
            if made:
                raise
            return
        _NAMED.add(identity)


def remove_durably(path: Path) -> None:
    """Remove a file so that no power cut brings it back; one that is gone may not be flushed yet.

    Raises:
        OSError: it can't be removed.
    """
    path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
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
        if not os.path.lexists(folder):
            folder = folder.parent
        elif not folder.is_dir():  # asked again: another process may just have made it
            raise CacheWriteError(f"{path} can't be written: {folder} is not a folder")
    tried = temporary_path(folder / "place")  # known for one, should it be left
    try:
        tried.mkdir()
        tried.rmdir()
    except FileNotFoundError as error:  # the folder is there: its file system makes no folders
        raise CacheWriteError(
            f"{path} can't be written to {folder}: nothing can be made there; name another place"
        ) from error
    except OSError as error:
        raise write_error(str(path), folder, error) from error


def check_file_place(path: Path, *, overwrite: bool = True) -> None:
    """Refuse a file that can't be written; see ``check_place``.

    Raises:
        CacheWriteError: it is a folder, or nothing can be written beside it.
        FileExistsError: it is there, and ``overwrite`` is false.
    """
    if path.is_dir():
        raise CacheWriteError(f"{path} is a folder; expected a file, which may be new")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; pass --overwrite to replace it")
    check_place(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk.

    Raises:
        OSError: the disk refuses.
    """
    with named_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Name the file in an error of the system; one of a file that is open already names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@dataclass(frozen=True, slots=True)
class Writer:
    """Process that writes a temporary file or a run: where it runs, its number and its start.

    Args:
        host: 16 hex digits of ``this_host``; 8 where an older version of avfuse wrote them.
        pid: the process's number.
        started: when it began, in clock ticks since the host did; 0 where that is unknown.

    Raises:
        ValueError: no process can be this one.
    """

    host: str
    pid: int
    started: int

    def __post_init__(self) -> None:
        # 0 and less stand for groups of processes, and more than a C int is none.
        if not 0 < self.pid < 1 << 31 or not 0 <= self.started < 1 << 63:
            raise ValueError(f"no process has number {self.pid} and start {self.started}")


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
    if match is None:
        return None
    try:
        return Writer(match[1], int(match[2]), int(match[3]))
    except ValueError:
        return None  # a name that avfuse never gave


def this_writer() -> Writer:
    """Return this process as a writer."""
    return Writer(this_host(), os.getpid(), _own_start(os.getpid()))


@cache
def this_host() -> str:
    """Return 16 hex digits: 8 for this start of the machine, 8 for its numbering of processes.

    Two machines may have the same name and id (images, clones), two containers on one machine have
    processes of the same numbers, and after a restart the numbers begin anew. The kernel draws
    ``boot_id`` at each start, so it tells machines and starts apart; the rest tells containers.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path
    except OSError:
        boot = namespace = ""  # only Linux has them
    start = _digits(boot) if boot else _UNKNOWN_START
    return start + _digits(f"{socket.gethostname()} {namespace}")


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def is_alive(writer: Writer) -> bool | None:
    """Whether a writer still runs; None if that can't be known here, as on another machine."""
    if writer.host != this_host():
        # An older version didn't tell machines of one name apart: its number proves no death.
        old = len(writer.host) == _OLD_DIGITS and writer.started > 0
        return True if old and _started(writer.pid) == writer.started else None
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


def find_death(path: Path, writer: Writer) -> str:
    """Say how the writer of a file is known to be dead; empty if it may be alive.

    Args:
        path: the file.
        writer: who began it.
    """
    alive = is_alive(writer)
    if alive is False:
        return f"process {writer.pid}, which wrote it, is dead"
    starts = {writer.host[:8], this_host()[:8]}
    known = len(writer.host) > _OLD_DIGITS and _UNKNOWN_START not in starts
    if alive is None and known and len(starts) > 1 and _is_local(path):
        return f"the machine was started anew since process {writer.pid} wrote it"
    return ""


def _is_local(path: Path) -> bool:
    """Whether a file is on a disk of this machine, which no other machine can write to."""
    kind, mounted_on = "", ""
    try:
        folder = path.parent.resolve()
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            at = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
            if len(at) >= len(mounted_on) and folder.is_relative_to(at):
                kind, mounted_on = after.split()[0], at
    except (OSError, IndexError):
        return False  # only Linux says it
    return kind in _LOCAL


@cache
def _own_start(pid: int) -> int:
    """Return when this process began, of which a fork has another number; asked for each entry."""
    return _started(pid)


def _started(pid: int) -> int:
    """Return when a process began, in clock ticks since the host did; 0 where that is unknown."""
    fields = read_status(pid)
    return int(fields[19]) if fields else 0


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended but its parent has not collected its exit code yet."""
    return read_status(pid)[:1] == ["Z"]


def read_status(pid: int) -> list[str]:
    """Return a process's status line from Linux's /proc, from its state on; empty elsewhere."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field is the program's name in parentheses and may hold spaces.
    return text.rpartition(")")[2].split()
