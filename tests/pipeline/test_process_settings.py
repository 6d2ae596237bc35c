from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from pipeline.cli import KEEPING, WAITING, keep_freed_memory, set_waiting

BARE = {k: v for k, v in os.environ.items() if k not in {*WAITING, *KEEPING, "GLIBC_TUNABLES"}}


def run_python(code: str, environment: Mapping[str, str] = BARE) -> list[str]:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


def test_threads_spin_briefly_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    assert set_waiting()
    assert {name: os.environ[name] for name in WAITING} == WAITING
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert not set_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.slow
def test_the_command_line_says_it_before_torch_is_loaded() -> None:
    code = (
        "import sys\n"
        "from pipeline import cli\n"
        "real = cli.prepare_process\n"
        "cli.prepare_process = lambda: print('torch' in sys.modules, real())\n"
        "cli.main.get_command(None, 'train')\n"
        "print('torch' in sys.modules)\n"
    )
    assert run_python(code) == ["False", "True", "False"]


# Page faults of a map of 60 MB that is made and freed 20 times: 15,000 pages each.
COUNT_FAULTS = """
import resource, subprocess, sys
import numpy as np
from pipeline.cli import keep_freed_memory
def count():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(15_000_000, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if sys.argv[1:] == ["child"]:
    print(count())
else:
    print(count(), keep_freed_memory(), count(), keep_freed_memory(), flush=True)
    subprocess.run([sys.executable, "-c", sys.stdin.read(), "child"], check=True)
"""


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names,
    reason="glibc's malloc",
)
def test_freed_memory_is_kept_here_and_in_processes_started_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS],
        capture_output=True,
        text=True,
        check=True,
        # Small pages: how many huge ones a busy machine still has is another question.
        env={**BARE, "NUMPY_MADVISE_HUGEPAGE": "0"},
        input=COUNT_FAULTS,
    )
    before, said, after, again, child = done.stdout.split()
    assert (said, again) == ("True", "False")
    assert int(before) > 10 * int(after)
    assert int(before) > 10 * int(child)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TRIM_THRESHOLD_", "1000000"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")],
)
def test_what_the_user_says_of_malloc_stays(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in KEEPING:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    assert not keep_freed_memory()
    assert not (KEEPING.keys() - {name}) & os.environ.keys()
