from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.openmp import WAITING, set_waiting


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


def test_the_command_line_says_it_before_torch_is_loaded() -> None:
    code = (
        "import sys\n"
        "from pipeline import cli\n"
        "real = cli.set_waiting\n"
        "cli.set_waiting = lambda: print('torch' in sys.modules, real())\n"
        "cli.main.get_command(None, 'train')\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "True", "True"]
