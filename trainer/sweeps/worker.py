"""Worker process of a sweep: ends with the process that began it, also while it loads PyTorch.

This module imports nothing that takes long: what is to be done comes pickled, and is unpickled,
which imports the rest, only when this process is sure to end with its parent.
"""

from __future__ import annotations

import functools
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

LOOK_SECONDS = 1.0


def call_in_worker(parent: int, folder: Path, call: bytes) -> Any:
    """Make a call and return its result, in a process that ends with its parent.

    Args:
        parent: number of the process that began the sweep; it may be this one.
        folder: where that process is: a worker that served it before may be elsewhere.
        call: something that can be called without arguments, pickled by that process.
    """
    if os.getpid() != parent:
        _end_with(parent)
        os.chdir(folder)
    return pickle.loads(call)()  # noqa: S301 - our parent's


@functools.cache
def _end_with(parent: int) -> None:
    """End this process when its parent is gone: what it trains would have nobody to report to."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
