"""Program that tries the crashes and faults of operations and prints how many: [NAME ...]

All of each: ``AVFUSE_CRASH=all python -m tests.crash``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.crash.faults import Faults
from tests.crash.operations import OPERATIONS
from tests.crash.states import States, record_all

ROW = "| {:30} | {:>6} | {:>7} | {:>8} | {:>6} | {:>6} | {:>7} |"


def main(names: list[str]) -> None:
    """Print a row per operation."""
    print(ROW.format("operation", "calls", "built", "opened", "ended", "faults", "seconds"))
    sums = [0] * 5
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder) / "outside"
        outside.mkdir()
        for name in names:
            OPERATIONS[name].surround(outside)
        recordings = record_all(names, outside)
        for name in names:
            began = time.monotonic()
            place = Path(folder) / name
            place.mkdir()
            states = States(OPERATIONS[name], recordings[name], place, outside)
            states.check()
            faults = Faults(OPERATIONS[name], place, outside)
            faults.check()
            row = [faults.calls, states.built, states.opened, states.ended, faults.tried]
            sums = [a + b for a, b in zip(sums, row, strict=True)]
            print(ROW.format(name, *row, round(time.monotonic() - began)), flush=True)
    print(ROW.format("all", *sums, ""))


if __name__ == "__main__":
    main(sys.argv[1:] or list(OPERATIONS))
