"""Seeds: one of several numbers, such as a head's seed and an epoch."""

from __future__ import annotations

import numpy as np


def mix_seed(*numbers: int) -> int:
    """Mix numbers into one seed; other numbers, or another order, give another."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
