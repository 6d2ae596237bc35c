"""Errors of the machine that clips are worked on, apart from what raises them: it loads nothing."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

MEMORY = "memory"  # the kind of every fault for want of this machine's memory
# Words of PyTorch, Python, the system's loader and OpenCV, which have no class for it.
MEMORY_SIGNS = (
    "allocate memory",
    "not enough memory",
    "can't start new thread",
    "bad_alloc",
    "failed to map segment",
    "Insufficient memory",
)


class MachineError(RuntimeError):
    """Error of the machine or of what is installed on it, and of no clip: it ends the run.

    Every clip would fail from here on, so nothing is recorded for the clip at hand. The message
    says what is wrong; the run adds its progress and how to go on.
    """


def kind_of_fault(error: Exception) -> str:
    """Name the kind of an error that no clip is to blame for: the same again has the same name."""
    wordy = isinstance(error, RuntimeError | ImportError) or type(error).__module__ == "cv2"
    lacks_memory = (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (wordy and any(sign in str(error) for sign in MEMORY_SIGNS))
    )
    return MEMORY if lacks_memory else f"{type(error).__name__} in {place_of(error)}"


def place_of(error: Exception) -> str:
    """Return the file and line in which an error arose."""
    place = traceback.extract_tb(error.__traceback__)
    return f"{Path(place[-1].filename).name}:{place[-1].lineno}" if place else "nowhere"
