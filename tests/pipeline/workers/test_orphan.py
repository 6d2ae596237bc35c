"""Processes whose parent is killed, or was before they could ask for its signal."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
CHILD = """
import os, sys, time
from pipeline.workers.orphan import end_with_parent
end_with_parent(int(sys.argv[1]), by_kernel=sys.argv[2] == "kernel")
print(os.getpid(), flush=True)
time.sleep(60)
"""
# Its child is started in its main thread, or in one that ends.
PARENT = """
import os, subprocess, sys, threading, time
command = [sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]]
start = threading.Thread(target=lambda: subprocess.Popen(command))
if sys.argv[3] == "main":
    start.run()
else:
    start.start()
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("how", [("kernel", "main"), ("look", "main"), ("look", "one that ends")])
def test_a_child_ends_with_its_parent_and_not_before(how: tuple[str, str]) -> None:
    command = [sys.executable, "-c", PARENT, CHILD, *how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.1)
        assert not has_ended(child)
        parent.kill()
        deadline = time.monotonic() + 30
        while not has_ended(child):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_child_whose_parent_was_gone_before_ends_at_once() -> None:
    command = [sys.executable, "-c", CHILD, "0", "kernel"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
