"""``avfuse finetune``, killed at random moments, ends in the bytes of one that nobody disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.trainer.stills_helper import TINY_OPTIONS, make_ferplus

ROOT = Path(__file__).parent.parent.parent.parent
KILLS = 8
RESUMED = 3  # kills must hit trainings that had come somewhere, on a slow machine as on a fast one
MOST_STARTS = 60
FINAL = ("weights.safetensors", "metrics.json", "predictions.csv", "history.csv", "config.toml")
OPTIONS = (
    *TINY_OPTIONS,
    "--network=narrow",
    "--set=epochs=5",
    "--set=learning_rate=0.01",
    '--set=precision="float32"',
    "--threads=1",
    "--device=cpu",
)

# Imports once and forks a process per run: what is killed is the training, not the import of torch.
# Pictures are left out, and the state is saved after every update of every other run.
LAUNCHER = """
import json, os, sys
import torch
torch.set_num_threads(1)
from extractors.networks import NETWORKS
from tests.trainer.stills_helper import narrow_spec
NETWORKS["narrow"] = narrow_spec()
import extractors.running.device, pipeline.commands.finetune, pipeline.align_stills
import trainer.stills.still_report, trainer.stills.weights_file
from pipeline.cli import main
from trainer.stills import finetune, run
run.draw_confusion = lambda *_: b"a picture"
for line in sys.stdin:
    number, arguments = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        finetune.SAVE_EVERY_SECONDS = 0.0 if number % 2 else 60.0
        main(arguments, prog_name="avfuse")
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Launcher:
    """Starts fine-tunings, each in a process of its own."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", LAUNCHER]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.number = 0

    def start(self, data: Path, run: Path, *options: str) -> int:
        """Begin a run; returns its process."""
        stdin: IO[str] | None = self.process.stdin
        assert stdin is not None
        self.number += 1
        arguments = ["finetune", str(data), "--run", str(run), *OPTIONS, *options]
        stdin.write(json.dumps([self.number, arguments]) + "\n")
        stdin.flush()
        return int(self.line())

    def line(self) -> str:
        """The next that it says: a process, or how one ended."""
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        return stdout.readline()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.process.communicate(timeout=60)


def is_finished(run: Path) -> bool:
    path = run / "run.json"
    return path.exists() and json.loads(path.read_text())["state"] == "finished"


def written(run: Path) -> dict[Path, int]:
    """When each file of a run was written; some vanish while they are looked at."""
    found = {}
    for path in run.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def wait_until_begun(run: Path, pid: int) -> None:
    """Until the process has written something new, or has ended."""
    before = written(run)
    while written(run) == before:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_kills_of_a_fine_tuning_change_no_byte_of_its_result(
    launcher: Launcher, tmp_path: Path
) -> None:
    data = make_ferplus(tmp_path / "data")
    started = time.monotonic()
    launcher.start(data, tmp_path / "whole")
    assert launcher.line() == "0\n"
    longest = time.monotonic() - started
    generator = random.Random(53)
    run, kills, resumed = tmp_path / "run", 0, 0
    while kills < KILLS or resumed < RESUMED:
        assert launcher.number < MOST_STARTS, f"{kills} kills, {resumed} of them resumed"
        left = (run / "progress.safetensors").exists()
        pid = launcher.start(data, run)
        if kills % 3:  # at any moment, also while it reads; else while it writes
            wait_until_begun(run, pid)
        time.sleep(generator.uniform(0, longest / 3))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = int(launcher.line())
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        resumed += left
        if is_finished(run):  # it was faster, or killed after its last step: begin again
            assert_same(run, tmp_path / "whole")
            shutil.rmtree(run)
    launcher.start(data, run)
    assert launcher.line() == "0\n"
    assert_same(run, tmp_path / "whole")
    assert not (run / "progress.safetensors").exists()
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def assert_same(run: Path, whole: Path) -> None:
    for name in FINAL:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
