"""How threads wait and how memory is kept: settings of a process, said before torch is loaded."""

from __future__ import annotations

import ctypes
import os

# Threads meet at the end of every small operation. To spin for long there makes an epoch 10 times
# slower where other processes want the cores too; to sleep at once makes it 1.5 times slower where
# they don't (benchmarks/NOTES.md). GNU OpenMP's threads spin so many times, then sleep.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}

# Networks free and ask for maps of many megabytes all the time. glibc hands such memory back to the
# kernel, which clears every page of it that is asked for again: a tenth of the time of IR-50, a
# seventh of that of wide heads (benchmarks/NOTES.md). So much is kept instead; blocks above it, and
# free memory above it, go back as ever.
KEPT_BYTES = 1 << 30
KEEPING = {name: str(KEPT_BYTES) for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")}
_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}  # of glibc's malloc.h


def prepare_process() -> bool:
    """Say both, for this process and for those that it starts.

    Returns:
        Whether threads will wait otherwise than before, once torch is loaded.
    """
    keep_freed_memory()
    return set_waiting()


def set_waiting() -> bool:
    """Let threads spin briefly and then sleep, unless the environment says how they wait.

    Returns:
        Whether it was set here.
    """
    if WAITING.keys() & os.environ.keys():
        return False
    os.environ.update(WAITING)
    return True


def keep_freed_memory() -> bool:
    """Keep freed memory for what is asked for next, unless the environment says otherwise.

    glibc reads the environment when a process starts, so it takes effect in those that this one
    starts; here the same is said by a call.

    Returns:
        Whether it was set here; never with another C library than glibc.
    """
    if KEEPING.keys() & os.environ.keys() or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS lack it; Windows can't be asked
        return False
    os.environ.update(KEEPING)
    return all(mallopt(option, int(KEEPING[name])) == 1 for name, option in _OPTIONS.items())
