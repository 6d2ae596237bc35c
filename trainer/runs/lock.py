"""Lock of a run or sweep folder: one process writes it, and every other is told which."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import socket
import stat
from pathlib import Path
from typing import Self

from cache.codec import parse_object
from cache.commit import make_folder, write_error
from cache.digest import canonical_json
from cache.entries.failure import utc_now
from trainer.runs.folder import RunError

LOCK = ".lock"
_ATTEMPTS = 100  # at a file that other processes remove meanwhile; two are much already
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: set[FolderLock] = set()


class RunHeldError(RunError):
    """A folder that another process writes."""


def check_no_file(folder: Path) -> None:
    """Check that nothing but a folder is at a path.

    Raises:
        RunError: a file is.
    """
    # Asked once: others may make and remove it meanwhile.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise RunError(f"{folder} is a file; a run is written to a folder")


class FolderLock:
    """Hold on a folder that this process alone may look through and change.

    It is the kernel's lock on a file in the folder, so that it ends with the process, also by a
    kill, and no process that this one starts keeps it. The file goes at the end; one that a killed
    process left means nothing. Used as a context manager, or ended with ``release``.

    Args:
        folder: the folder; made with its parents. What was made goes again at the end if it is
            still empty.

    Raises:
        RunHeldError: another process holds the folder; says which.
        RunError: it is a file.
        CacheWriteError: the folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        check_no_file(folder)
        self.folder = folder
        self._descriptor = -1
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            for _ in range(_ATTEMPTS):
                if self._take():
                    return
        except OSError as error:
            self._remove_made()
            raise write_error("its lock", folder / LOCK, error) from error
        raise RunHeldError(f"{folder} is taken and left by other processes; run them one by one")

    @property
    def is_held(self) -> bool:
        """Whether the file system has locks, so that this process is alone for certain."""
        return self._descriptor >= 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the folder go; twice is no error."""
        _held.discard(self)
        if self._descriptor >= 0:
            # Before the lock goes: whoever takes it next sees that it is on a file that is gone.
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink()
            with contextlib.suppress(OSError):  # Linux closes it, and the lock ends, all the same
                os.close(self._descriptor)
            self._descriptor = -1
        self._remove_made()

    def _remove_made(self) -> None:
        with contextlib.suppress(OSError):  # something came into it, or it is gone
            for path in self._made:
                path.rmdir()

    def _take(self) -> bool:
        """Try to take the lock once; false where another process removed something meanwhile."""
        path = self.folder / LOCK
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        writable = True
        try:
            make_folder(self.folder)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        except FileNotFoundError:
            return False
        except PermissionError:
            if not os.path.lexists(path):
                raise
            descriptor = os.open(path, os.O_RDONLY | flags)  # left by another user, perhaps
            writable = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not writable:
                path.unlink()  # left over: one of our own takes its place
            elif os.path.samestat(os.fstat(descriptor), path.stat()):
                _write_holder(descriptor)
                self._descriptor, descriptor = descriptor, -1
                _held.add(self)
                _close_in_forks()
                return True
        except BlockingIOError:
            raise RunHeldError(
                f"{self.folder} is being written by {_read_holder(descriptor)}; wait for it or "
                "choose another folder"
            ) from None
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            # A network file system without locks: run.json still says who writes a run.
            path.unlink(missing_ok=True)
            return True
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False


def _write_holder(descriptor: int) -> None:
    """Note in a lock's file who holds it."""
    me = {"pid": os.getpid(), "host": socket.gethostname(), "since": utc_now()}
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, canonical_json(me).encode(), 0)


def _read_holder(descriptor: int) -> str:
    """Return who holds a lock, in words, as far as its file says so."""
    try:
        holder = parse_object(os.pread(descriptor, 4096, 0))
        pid, host, since = (str(holder[name]) for name in ("pid", "host", "since"))
    except (OSError, ValueError, KeyError):
        return "another process"
    if not all(re.fullmatch(r"[A-Za-z0-9.:+_-]{1,64}", text) for text in (pid, host, since)):
        return "another process"
    return f"process {pid} on {host} since {since}"


@functools.cache
def _close_in_forks() -> None:
    """Let no fork of this process keep its locks."""

    def close() -> None:
        for lock in _held:
            os.close(lock._descriptor)
            lock._descriptor, lock._made = -1, []
        _held.clear()

    os.register_at_fork(after_in_child=close)
