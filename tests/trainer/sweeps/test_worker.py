"""Worker processes of a sweep end with it, also before they have loaded what they need."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from trainer.sweeps.worker import call_in_worker

# A worker whose call takes a minute to unpickle, as PyTorch may to load, and its parent.
WORKER = """
import os, sys
from trainer.sweeps.worker import call_in_worker
assert "torch" not in sys.modules and "numpy" not in sys.modules
class Slow:
    def __reduce__(self):
        import time
        return time.sleep, (60,)
import pickle
print(os.getpid(), flush=True)
call_in_worker(int(sys.argv[1]), os.getcwd(), pickle.dumps(Slow()))
"""
PARENT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
import time
time.sleep(60)
"""


def test_a_call_is_made_here_and_returns_its_result() -> None:
    call = pickle.dumps(partial(divmod, 47, 7))
    assert call_in_worker(os.getpid(), Path.cwd(), call) == (6, 5)


@pytest.mark.slow
def test_a_worker_that_began_elsewhere_works_where_its_parent_is_now(tmp_path: Path) -> None:
    """Workers outlive the calls that they were begun for, and relative paths come with a call."""
    call = os.getpid(), tmp_path, pickle.dumps(os.getcwd)
    where = Parallel(n_jobs=2)(delayed(call_in_worker)(*call) for _ in range(4))
    assert where == [str(tmp_path)] * 4
    assert Path.cwd() != tmp_path


def test_a_worker_that_is_still_loading_ends_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT, WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) != parent.pid
        parent.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        assert parent.stdout.read() == ""  # which the worker holds open as long as it lives
    assert time.monotonic() - killed < 20  # a second; the machine may be busy
