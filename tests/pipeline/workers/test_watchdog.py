"""Hangs that are found whatever holds them, and suspended runs in which nothing hangs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.workers import watchdog
from pipeline.workers.pool import LOOK_SECONDS, WorkerDied, map_clips
from pipeline.workers.watchdog import NOTE_BYTES, Watch, be_watched, guarded, time_limit

ROOT = Path(__file__).parent.parent.parent.parent
LIMIT_SECONDS = 1.5
SPIN = "print(flush=True)\nwhile True: pass"
SLEEP = "import time; print(flush=True); time.sleep(60)"
PARENT = """
import sys
from pipeline.workers.pool import map_clips
from tests.pipeline.workers.test_watchdog import Clip, failed, work
clips = [Clip(name, sys.argv[1]) for name in sys.argv[2:]]
for line in map_clips(work, clips, jobs=1, failed=failed):
    print(line, flush=True)
"""
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes")


@dataclass(frozen=True)
class Clip:
    id: str
    folder: str = ""


def work(clip: Clip) -> str:
    """Take a chunk from the decoder that the clip's id names."""
    for _ in guarded(DECODERS[clip.id](clip), LIMIT_SECONDS):
        pass
    return f"{clip.id} done"


def _wait_in_c(clip: Clip) -> Iterator[int]:
    yield ctypes.PyDLL(None).sleep(60)  # it keeps the interpreter's lock


def _spin_in_c(clip: Clip) -> Iterator[int]:
    re.match("(a+)+$", "a" * 40 + "b")  # the same, for hours
    yield 1


def _wait_for_disk(clip: Clip) -> Iterator[int]:
    """Wait as Linux lets who reads from a server that is away: for a child, by ``vfork``."""
    if ctypes.PyDLL(None).vfork() == 0:
        time.sleep(5 * LIMIT_SECONDS)
        os._exit(0)
    yield 1


def _take_half(clip: Clip) -> Iterator[int]:
    """Take half of the limit in pieces, in which a process that goes on notices that it does."""
    Path(clip.folder, clip.id).write_text(str(os.getpid()))
    for _ in range(30):
        time.sleep(LIMIT_SECONDS / 60)
    yield 1


DECODERS = {
    "waits": _wait_in_c,
    "spins": _spin_in_c,
    "unanswered": _wait_for_disk,
    "parent": _take_half,
    "worker": _take_half,
    "both": _take_half,
}


def failed(clip: Clip, died: WorkerDied) -> str:
    return f"{clip.id} died: {died}, of {'the clip' if died.of_clip else 'the machine'}"


@pytest.mark.slow
def test_a_clip_whose_decoder_hangs_is_failed_and_every_other_clip_is_done(tmp_path: Path) -> None:
    clips = [Clip("waits"), Clip("spins"), Clip("worker", str(tmp_path))]
    assert sorted(map_clips(work, clips, jobs=2, failed=failed)) == [
        "spins died: decoding hung: no frame or sound within the limit (hang_seconds), of the clip",
        "waits died: decoding hung: no frame or sound within the limit (hang_seconds), of the clip",
        "worker done",
    ]


@needs_linux
@pytest.mark.slow
def test_a_disk_that_does_not_answer_is_no_fault_of_the_clip() -> None:
    """An NFS server that was away for longer than the limit failed the clips at hand for good."""
    assert list(map_clips(work, [Clip("unanswered")], jobs=1, failed=failed)) == [
        "unanswered died: the disk of its file gave no answer within the limit (hang_seconds), of "
        "the machine"
    ]


@pytest.mark.slow
def test_a_run_that_is_stopped_for_longer_than_the_limit_has_not_hung(tmp_path: Path) -> None:
    """Ctrl-Z, a suspended job and ``docker pause`` failed the clips at hand for good."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), "parent", "worker", "both"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        for who in ("parent", "worker", "both"):
            begun = tmp_path / who
            while not (begun.exists() and (worker := begun.read_text())):
                assert run.poll() is None
                time.sleep(0.01)
            time.sleep(1.5 * LOOK_SECONDS)  # the parent has seen it begin
            both = {"worker": int(worker), "parent": run.pid}
            stopped = both.values() if who == "both" else [both[who]]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1.3 * LIMIT_SECONDS)
            for pid in stopped:  # the worker first: the parent finds it at work
                os.kill(pid, signal.SIGCONT)
            assert run.stdout is not None
            assert run.stdout.readline() == f"{who} done\n"


def test_chunks_that_come_in_time_pass_through_a_watched_process() -> None:
    with shared_file() as file:
        be_watched(file)
        watch = Watch(os.getpid(), file)
        chunks = guarded(range(5), limit_seconds=30)
        assert [(chunk, watch.hangs(29)) for chunk in chunks] == [(n, False) for n in range(5)]


@needs_linux
def test_time_counts_within_one_section_alone() -> None:
    with shared_file() as file, running(SLEEP) as pid:
        be_watched(file)
        watch = Watch(pid, file)
        for _ in range(3):
            assert not watch.hangs(100)
            with time_limit(7):
                assert [watch.hangs(3) for _ in range(4)] == [False, False, False, True]


@needs_linux
@pytest.mark.parametrize("program", [SPIN, SLEEP])
def test_a_stopped_worker_does_not_hang_and_one_that_goes_on_does(program: str) -> None:
    with shared_file() as file, running(program) as pid:
        be_watched(file)
        watch = Watch(pid, file)
        with time_limit(0.1):
            watch.hangs(0)
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            time.sleep(0.1)
            watch.hangs(0)  # what it did before it was stopped
            assert not any(watch.hangs(60) for _ in range(10))
            os.kill(pid, signal.SIGCONT)
            _wait_until_it_hangs(watch)


@needs_linux
def test_a_worker_that_waits_for_a_core_does_not_hang() -> None:
    core = min(os.sched_getaffinity(0))
    with shared_file() as file, running(SPIN, core) as pid, running(SPIN, core) as rival:
        be_watched(file)
        watch = Watch(pid, file)
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        with time_limit(0.3):
            watch.hangs(0)
            for _ in range(9):
                time.sleep(0.1)
                assert not watch.hangs(0.1)
            os.kill(rival, signal.SIGKILL)
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            _wait_until_it_hangs(watch)


def _wait_until_it_hangs(watch: Watch) -> None:
    deadline = time.monotonic() + 60
    while not watch.hangs(0.05):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def shared_file() -> Iterator[int]:
    """Make a file for a worker's note; this process is the worker only within."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(NOTE_BYTES))
        file.flush()
        try:
            yield file.fileno()
        finally:
            watchdog._note.clear()


@contextlib.contextmanager
def running(program: str, core: int | None = None) -> Iterator[int]:
    """Run a program that prints a line when it is about to do what it does."""
    command = [sys.executable, "-S", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while program == SLEEP and watchdog._wants_a_core(Path("/proc", str(process.pid))):
            time.sleep(0.01)
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        try:
            yield process.pid
        finally:
            process.kill()
