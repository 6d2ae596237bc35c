"""Error of the machine that clips are worked on, apart from what raises it: it loads nothing."""

from __future__ import annotations


class MachineError(RuntimeError):
    """Error of the machine or of what is installed on it, and of no clip: it ends the run.

    Every clip would fail from here on, so nothing is recorded for the clip at hand. The message
    says what is wrong; the run adds its progress and how to go on.
    """
