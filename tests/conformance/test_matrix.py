"""The matrix can't shrink unnoticed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
# Fewest cells of each kind. A cell is one comparison of one file, cut, ratio, offset or damage.
FEWEST = {
    "test_ratios": 70,
    "test_cuts_of_mp4": 140,
    "test_cuts_of_streams": 110,
    "test_cuts_of_other_files": 230,
    "test_cut_off": 130,
    "test_packets": 70,
    "test_times": 85,
    "test_sound_against_picture": 210,
    "test_sound": 100,
}


def test_no_kind_has_fewer_cells_than_it_had() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cells = {name: int(count) for name, count in re.findall(r"(\w+)\.py: (\d+)", done.stdout)}
    assert {kind: cells.get(kind, 0) for kind in FEWEST if cells.get(kind, 0) < FEWEST[kind]} == {}
