"""Blame for a clip that failed: what lies in the clip is recorded, everything else is tried again.

Nothing is recorded of what lies in this machine or in what is installed on it: memory, files that
aren't the clip's, a library that is missing or too old, a mistake in avfuse itself. Where such a
fault will meet every clip it ends the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from extractors.running.faults import describe_fault
from pipeline.choice.choice import MisfitError
from pipeline.choice.clip_persons import StalePersonsError
from pipeline.extract.versions import explain_import, find_outdated
from pipeline.media.container import MediaError, UnreadableError
from pipeline.media.machine import MACHINE_FAULTS
from pipeline.workers.error import MEMORY, MachineError, kind_of_fault, place_of
from pipeline.workers.remote import RemoteNetworkError

CHANGED = "the file changed meanwhile"  # a fault of neither: not recorded, too
STALE_PERSONS = "the table of persons is stale"  # as little a fault of the clip
AGAIN = "no fault of the clip; the next run tries it again"


@dataclass(frozen=True)
class Blame:
    """Reason why a clip failed, and what is to blame.

    Args:
        reason: what went wrong, for a user.
        fault: kind of a fault of the machine, such as ``TypeError in frames.py:12``; empty where
            the clip is to blame, and the failure is to be recorded.
        unreadable: whether the clip's file can't be read at present: its record then counts for as
            long as that is so.
    """

    reason: str
    fault: str = ""
    unreadable: bool = False


def blame(error: Exception, path: Path, device: str | None) -> Blame:
    """Find what is to blame for an error of a clip.

    Args:
        error: the error.
        path: the clip's file.
        device: on which this process computes; None where it doesn't. A GPU is tried only where it
            is used, as a try takes some of its memory.

    Raises:
        MachineError: the fault will meet every clip.
    """
    if isinstance(error, MediaError | MisfitError):
        return Blame(str(error), unreadable=isinstance(error, UnreadableError))
    if isinstance(error, StalePersonsError):
        return Blame(str(error), STALE_PERSONS)
    fault = error.fault if isinstance(error, RemoteNetworkError) else kind_of_fault(error)
    if fault == MEMORY:
        return Blame(
            f"this machine had too little memory: {_text(error)}; end other programs or use fewer "
            f"--jobs; {AGAIN}",
            fault,
        )
    if isinstance(error, OSError) and error.errno not in MACHINE_FAULTS:
        if error.filename is not None and Path(error.filename) == path:
            return Blame(f"{path} can't be read: {error.strerror}", unreadable=True)
    elif device and (broken := describe_fault(error, device)):
        raise MachineError(broken) from error
    if isinstance(error, ImportError):
        raise MachineError(explain_import(error)) from error
    if not isinstance(error, OSError) and (outdated := find_outdated()):
        raise MachineError(f"{_text(error)}\n{outdated}. Install what is needed.") from error
    return Blame(f"{_text(error)}; {AGAIN}", fault)


def _text(error: Exception) -> str:
    """Return an error's words and its place, on one line."""
    words = " ".join(str(error).split())
    if isinstance(error, RemoteNetworkError):
        return f"{words} ({error.fault})"
    return f"{type(error).__name__}: {words} ({place_of(error)})"
