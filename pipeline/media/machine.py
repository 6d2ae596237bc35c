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
READ_BYTES = 1 << 20


def raise_if_of_machine(error: Exception, path: Path) -> None:
    """Raise an error of reading a file again where the machine is to blame, not the file's bytes.

    FFmpeg says ENOMEM also of sizes that it refuses, and EIO also where a file ends early: so
    memory is asked for, and the file is read.

    Raises:
        MemoryError: there is too little memory.
        OSError: the file can't be read, too many are open, or the like.
    """
    number = getattr(error, "errno", None)
    if number in MACHINE_FAULTS and not (number == errno.ENOMEM and has_memory()):
        raise error
    if number == errno.EIO:
        read_through(path)


def has_memory() -> bool:
    """Whether the system would give this process all that FFmpeg may ask for at once."""
    try:
        mmap.mmap(-1, LARGEST_PIECE).close()
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
