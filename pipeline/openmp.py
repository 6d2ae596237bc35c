"""How PyTorch's threads wait for each other; it has to be said before torch is loaded."""

from __future__ import annotations

import os

# Threads meet at the end of every small operation. To spin for long there makes an epoch 10 times
# slower where other processes want the cores too; to sleep at once makes it 1.5 times slower where
# they don't (benchmarks/NOTES.md). GNU OpenMP's threads spin so many times, then sleep.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


def set_waiting() -> bool:
    """Let threads spin briefly and then sleep, unless the environment says how they wait.

    Returns:
        Whether it was set here.
    """
    if WAITING.keys() & os.environ.keys():
        return False
    os.environ.update(WAITING)
    return True
