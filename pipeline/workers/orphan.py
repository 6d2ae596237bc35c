"""Orphan: a worker process whose parent was killed, and that ends with it.

It would go on to write beside the next run, and hold memory that the next run needs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

LOOK_SECONDS = 0.5
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def end_with_parent(parent: int, *, by_kernel: bool) -> None:
    """End this process when its parent ends, or at once if it has ended.

    Args:
        parent: the process that started this one.
        by_kernel: let Linux end it, which waits for no thread's turn; the parent must have started
            it in a thread that lives as long as itself, because Linux looks at that thread.
    """
    if not (by_kernel and _ask_kernel()):
        threading.Thread(target=_look_on, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _ask_kernel() -> bool:
    if sys.platform != "linux":
        return False
    failed: int = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return not failed


def _look_on(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
