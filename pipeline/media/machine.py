"""FFmpeg's errors that are the machine's: they say nothing of what a file holds."""

from __future__ import annotations

import errno
import mmap
from pathlib import Path

# Too many open files, too little memory, a full disk.
MACHINE_FAULTS = (
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT,
)  # fmt: skip
LARGEST_PIECE = 1 << 31  # bytes; FFmpeg asks for less at once, and refuses what is more
WORKING_MEMORY = 1 << 28  # with less at hand FFmpeg may take a good file for a damaged one
READ_BYTES = 1 << 20
_odd: set[Path] = set()  # files that FFmpeg once couldn't read, though they can be read


class ReadAgainError(OSError):
    """A file couldn't be read for a moment, or is damaged: reading it once more tells."""


def raise_if_of_machine(error: Exception, path: Path) -> None:
    """Raise an error of reading a file again where the machine is to blame, not the file's bytes.

    FFmpeg says ENOMEM also of sizes that it refuses, EIO also where a file ends early, and finds
    data invalid also where it got no memory: so memory is asked for, and the file is read.

    Raises:
        MemoryError: there is too little memory.
        ReadAgainError: FFmpeg couldn't read the file for the first time in this process, and it
            can be read.
        OSError: the file can't be read, too many are open, or the like.
    """
    number = getattr(error, "errno", None)
    if not has_memory(LARGEST_PIECE if number == errno.ENOMEM else WORKING_MEMORY):
        raise MemoryError(f"FFmpeg says: {error}") from error
    if number in MACHINE_FAULTS and number != errno.ENOMEM:
        raise error
    if number == errno.EIO and path not in _odd:
        read_through(path)
        _odd.add(path)
        raise ReadAgainError(errno.EIO, "FFmpeg couldn't read it for a moment", str(path))


def has_memory(num_bytes: int = WORKING_MEMORY) -> bool:
    """Whether the system would give this process so much memory in one piece."""
    try:
        mmap.mmap(-1, num_bytes).close()
    except (OSError, MemoryError):
        return False
    return True


def read_through(path: Path) -> None:
    """Read a file to its end.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb", buffering=0) as file:
        while file.read(READ_BYTES):
            pass
