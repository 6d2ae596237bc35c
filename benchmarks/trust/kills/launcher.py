"""Processes to be killed: one that imports everything once and forks a process per run.

What is killed is then the work, not the import of PyTorch. Workers that a run starts are processes
of their own, as ever.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from cache.commit import read_status
from pipeline.workers.orphan import end_with_parent

ROOT = Path(__file__).parent.parent.parent.parent
MARK = "AVFUSE_TORTURE"  # in the environment of every process that a launcher is behind
GONE_SECONDS = 5.0  # after a kill no process of the run may live longer
RUN_SECONDS = 180.0  # a run that takes longer hangs
# What the commands import when they begin to work.
MODULES = (
    "pipeline.align_stills",
    "pipeline.commands.cache",
    "pipeline.commands.finetune",
    "pipeline.extract.clusters",
    "pipeline.extract.plan",
    "pipeline.extract.run",
    "pipeline.extract.settings",
    "pipeline.extract.summary",
    "pipeline.choice.overrides",
    "trainer.commands.sweep",
    "trainer.commands.train",
    "trainer.runs.display",
    "trainer.runs.terminal",
    "trainer.stills.still_report",
    "trainer.stills.weights_file",
)


class HangingError(Exception):
    """A run didn't end."""


class Launcher:
    """Starts runs of ``avfuse``, each in a process group of its own.

    What killed ones leave for their workers in the folder for temporary files goes at the end.

    Args:
        output: file for what a run writes to the terminal, the last one's only; None keeps nothing.
    """

    def __init__(self, output: Path | None = None) -> None:
        self.output = output
        self._last = 0
        self._runs = False
        self._mark = f"{MARK}={secrets.token_hex(8)}"
        self._temporary = tempfile.TemporaryDirectory(prefix="avfuse-torture-")
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            cwd=ROOT,
            env=os.environ
            | {"TMPDIR": self._temporary.name, "PYTHONPATH": str(ROOT)}
            | dict([self._mark.split("=")]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the torture alone
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pid in self.survivors():
            kill(pid)
        self._process.communicate(timeout=60)
        self._temporary.cleanup()

    def start(self, arguments: Sequence[str], *, eager: bool = False) -> int:
        """Begin a run; returns the number of its process, and of its process group.

        Args:
            arguments: of ``avfuse``.
            eager: let trainings save their state after each update and epoch.
        """
        assert self._process.stdin is not None
        assert not self._runs, "wait for the run before, or its exit code passes for a process"
        output = os.devnull if self.output is None else str(self.output)
        line = json.dumps([list(arguments), eager, output]) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        self._last = int(self._line(RUN_SECONDS))
        self._runs = True
        return self._last

    def wait(self, seconds: float = RUN_SECONDS) -> int:
        """Wait for the run that was begun last; returns its exit code, negative for a signal's.

        Raises:
            HangingError: it didn't end in time.
        """
        code = int(self._line(seconds))
        self._runs = False
        return code

    def end(self) -> None:
        """Kill the run that was begun last, unless it was waited for."""
        if self._runs:
            kill_group(self._last)
            self.wait()

    def run(self, arguments: Sequence[str]) -> int:
        """Let a run go to its end; returns its exit code."""
        self.start(arguments)
        return self.wait()

    def survivors(self) -> list[int]:
        """Return the processes of all runs that live, whatever group they are in.

        One that is just dying has lost its environment, but is still of the last run's session.
        """
        mark, session = self._mark.encode(), [str(self._last or "none yet")]
        return [
            pid
            for pid in _processes()
            if pid != self._process.pid
            and (_is_marked(pid, mark) or read_status(pid)[3:4] == session)
            and runs(pid)
        ]

    def outlast(self, seconds: float = GONE_SECONDS) -> list[int]:
        """Wait until no process of a run lives; returns those that do so long, and ends them."""
        deadline = time.monotonic() + seconds
        while found := self.survivors():
            if time.monotonic() > deadline:
                for pid in found:
                    kill(pid)
                return found
            time.sleep(0.01)
        return []

    def _line(self, seconds: float) -> str:
        output: IO[bytes] | None = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], seconds)[0]:
            raise HangingError(f"no end within {seconds:g} seconds")
        return output.readline().decode()


def kill_group(pid: int) -> None:
    """Kill a run with all its processes."""
    assert pid > 1, pid
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended, or has no group of its own yet
        kill(pid)


def kill(pid: int) -> None:
    """Kill one process, unless it has ended."""
    assert pid > 1, pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Return the living processes that a process has started, by their numbers."""
    return sorted(child for child in _processes() if read_status(child)[1:2] == [str(pid)])


def runs(pid: int) -> bool:
    """Whether a process lives; one that has ended and nobody waited for doesn't."""
    return read_status(pid)[:1] not in ([], ["Z"])


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # another's, or gone meanwhile
        return False


def serve() -> None:
    """Fork a run for each line that comes, and say its number and its exit code."""
    end_with_parent(os.getppid(), by_kernel=True)  # also a killed torture leaves no run behind
    _import_everything()
    from pipeline.cli import main

    own = os.getpid()
    for line in sys.stdin:
        arguments, eager, output = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            end_with_parent(own, by_kernel=True)
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            if eager:
                _save_at_once()
            main(arguments, prog_name="avfuse")
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _import_everything() -> None:
    """Import what the commands would, and draw no pictures: they take most of a small training."""
    import torch

    from extractors.networks import NETWORKS
    from tests.trainer.stills_helper import narrow_spec

    torch.set_num_threads(1)
    NETWORKS["narrow"] = narrow_spec()  # before the command that offers the networks
    for module in MODULES:
        importlib.import_module(module)
    from pipeline.faces.detect import FivePointPredictor, hog
    from trainer.runs import experiment, report
    from trainer.stills import run_files
    from trainer.sweeps import sweep

    hog(), FivePointPredictor()
    for module, name in (
        (experiment, "plot_history"),
        (report, "plot_confusion"),
        (run_files, "plot_confusion"),
        (run_files, "plot_curves"),
        (sweep, "plot_heat_map"),
    ):
        setattr(module, name, lambda *_, **__: b"a picture")


def _save_at_once() -> None:
    from trainer.stills import finetune
    from trainer.training import train

    finetune.SAVE_EVERY_SECONDS = train.PROGRESS_SECONDS = 0.0
