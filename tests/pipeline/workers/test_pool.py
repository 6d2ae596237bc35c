"""Worker processes that really die: by a signal, at their start, by their parent, or not at all."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.workers.pool import EarlyWorkers, WorkerDied, WorkersFailedError, map_clips

ROOT = Path(__file__).parent.parent.parent.parent

PARENT = """
import sys
from pipeline.workers.pool import map_clips
from tests.pipeline.workers.test_pool import Clip, failed, work
list(map_clips(work, [Clip("sleep", sys.argv[1])], jobs=1, failed=failed))
"""


grown: list[bytes] = []  # what a worker took and keeps
ENDINGS = {  # of a clip's worker, the first time and the second
    "crash": (-signal.SIGSEGV, -signal.SIGABRT),
    "exit": (3, 3),
    "mixed": (-signal.SIGKILL, -signal.SIGSEGV),
}


@dataclass(frozen=True)
class Clip:
    id: str
    folder: str = ""


def work(clip: Clip) -> str:
    """Do what the clip's id says."""
    if clip.id.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if clip.id.startswith("once"):
        seen = Path(clip.folder) / clip.id
        if not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if clip.id.startswith("wait"):
        with (Path(clip.folder) / "wait").open("a") as log:
            log.write("begun\n")
        while not (Path(clip.folder) / "once").exists():
            time.sleep(0.01)
        time.sleep(0.5)  # as long as its neighbour's death takes to be noticed
    if clip.id in ENDINGS:
        seen = Path(clip.folder) / clip.id
        ending = ENDINGS[clip.id][seen.exists()]
        seen.touch()
        if ending >= 0:
            os._exit(ending)
        os.kill(os.getpid(), -ending)
    if clip.id.startswith("deliver"):
        return Parcel(clip.folder)  # type: ignore[return-value]  # a str once it has arrived
    if "sleep" in clip.id:
        (Path(clip.folder) / "pid").write_text(str(os.getpid()))
        ctypes.PyDLL(None).sleep(600)  # it keeps the interpreter's lock, as a decoder may
    if clip.id.startswith("grow"):
        grown.append(b"x" * 211_000_000)
        time.sleep(1.1)
        return f"{os.getpid()}"
    if clip.id.startswith("unpicklable"):
        raise UnsendableError("a bug in the work")
    if clip.id.startswith("threads"):
        import torch

        return str(torch.get_num_threads())
    if clip.id.startswith("raise"):
        raise RuntimeError("a bug in the work")
    return f"{clip.id} done"


class UnsendableError(Exception):
    """An error that can be sent and not received, as those of some libraries are."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "a second argument, which __init__ doesn't take")


class Parcel:
    """A result on whose way to the parent its worker is killed, the first time."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        seen = Path(self.folder) / "delivered"
        if not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str, ("delivered",)


class Unloadable:
    """Work that no worker can load, as a module that is broken there can't be."""

    def __call__(self, clip: Clip) -> str:
        return clip.id

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return _refuse_to_load, ()


def _refuse_to_load() -> None:
    raise ImportError("broken in a worker")


class Scarce:
    """Work that is killed where it is loaded, but for some times, as where memory is short.

    Args:
        folder: of a file for each load.
        sound: which loads go well, counted from 0.
    """

    def __init__(self, folder: Path, sound: set[int]) -> None:
        self.folder = folder
        self.sound = sound

    def __reduce__(self) -> tuple[object, tuple[Path, set[int]]]:
        return _load_scarce, (self.folder, self.sound)

    def __call__(self, clip: Clip) -> str:
        return f"{clip.id} done"


def _load_scarce(folder: Path, sound: set[int]) -> Callable[[Clip], str]:
    for number in range(100):
        try:
            (folder / f"load{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        if number in sound:
            return work
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("too many loads")


def failed(clip: Clip, died: WorkerDied) -> str:
    return f"{clip.id} died: {died}, of {'the clip' if died.of_clip else 'the machine'}"


@pytest.mark.slow
def test_workers_that_started_early_take_the_clips_and_end_with_the_with() -> None:
    with EarlyWorkers(2, load="tests.pipeline.workers.test_pool") as early:
        processes = [worker.process for worker in early._started]
        clips = [Clip("a"), Clip("b"), Clip("c")]
        results = sorted(map_clips(work, clips, jobs=1, failed=failed, early=early))
        assert results == ["a done", "b done", "c done"]
        assert [process.poll() is None for process in processes] == [True, False]
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2


@pytest.mark.slow
def test_work_that_loads_pytorch_late_has_the_threads_of_a_worker_all_the_same() -> None:
    assert list(map_clips(work, [Clip("threads")], jobs=1, failed=failed, threads=1)) == ["1"]


@pytest.mark.slow
def test_workers_outlive_the_thread_that_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux ends what asked for it with the thread that started it, not with the process."""
    stream = map_clips(work, [Clip("a"), Clip("b"), Clip("c")], jobs=1, failed=failed)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(next(stream)))
    thread.start()
    thread.join()
    monkeypatch.delattr("pipeline.workers.pool._start_worker")  # no other takes its place
    assert results + list(stream) == ["a done", "b done", "c done"]


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_is_failed_and_every_other_clip_is_done(
    tmp_path: Path,
) -> None:
    deadly = [Clip(name, str(tmp_path)) for name in ("kill", *ENDINGS)]
    clips = [Clip(f"a{i}") for i in range(5)] + deadly + [Clip(f"b{i}") for i in range(7)]
    results = sorted(map_clips(work, clips, jobs=2, failed=failed))
    died = [line for line in results if "died" in line]
    assert len(results) == 16
    alone = "while it held this clip, the second time alone:"
    memory = "(mostly too little memory: use fewer --jobs)"
    assert died == [
        f"crash died: the worker process crashed twice {alone} SIGABRT and SIGSEGV, in a decoder, "
        "of the clip",
        f"exit died: the worker process ended twice {alone} exit code 3, of the machine",
        f"kill died: the worker process was killed twice {alone} SIGKILL {memory}, of the machine",
        f"mixed died: the worker process was killed twice {alone} SIGKILL and SIGSEGV {memory}, "
        "of the machine",
    ]


@pytest.mark.slow
def test_a_clip_whose_worker_was_killed_by_another_is_tried_again_alone(tmp_path: Path) -> None:
    clips = [Clip("once", str(tmp_path)), Clip("a"), Clip("b")]
    assert sorted(map_clips(work, clips, jobs=2, failed=failed)) == [
        "a done",
        "b done",
        "once done",
    ]


@pytest.mark.slow
def test_a_worker_that_dies_with_a_result_in_hand_loses_no_clip(tmp_path: Path) -> None:
    """No clip seemed to be in flight: those that were left were dropped without a word."""
    clips = [Clip("deliver", str(tmp_path)), Clip("a"), Clip("b"), Clip("c")]
    results = sorted(map_clips(work, clips, jobs=1, failed=failed))
    assert results == ["a done", "b done", "c done", "delivered"]


@pytest.mark.slow
def test_an_exception_that_cannot_be_sent_ends_the_run_in_its_own_words() -> None:
    with pytest.raises(RuntimeError, match=r"UnsendableError: .*a bug in the work"):
        list(map_clips(work, [Clip("unpicklable")], jobs=1, failed=failed))


@pytest.mark.slow
def test_an_exception_of_the_work_ends_the_run_and_tells_where_it_was_raised() -> None:
    with pytest.raises(RuntimeError, match="a bug in the work") as raised:
        list(map_clips(work, [Clip("raise")], jobs=1, failed=failed))
    assert "test_pool.py" in raised.value.__notes__[0]
    assert ", in work" in raised.value.__notes__[0]


@pytest.mark.slow
def test_a_worker_that_grows_by_what_large_frames_need_is_not_replaced() -> None:
    """loky took growth by 300 MB for a leak, and a new worker loads every network again."""
    clips = [Clip(f"grow{number}") for number in range(4)]
    assert len(set(map_clips(work, clips, jobs=1, failed=failed))) == 1


@pytest.mark.slow
def test_a_worker_that_dies_costs_the_others_nothing(tmp_path: Path) -> None:
    """All workers were ended when one died, and the clips in their hands begun anew."""
    clips = [Clip("wait", str(tmp_path)), Clip("once", str(tmp_path))]
    assert sorted(map_clips(work, clips, jobs=2, failed=failed)) == ["once done", "wait done"]
    assert (tmp_path / "wait").read_text() == "begun\n"


def test_no_jobs_means_this_process_and_no_watchdog(tmp_path: Path) -> None:
    def process(clip: Clip) -> str:
        return f"{clip.id} in {os.getpid()}"

    assert list(map_clips(process, [Clip("a")], jobs=0, failed=failed)) == [f"a in {os.getpid()}"]


@pytest.mark.slow
def test_clips_are_read_only_as_far_ahead_as_the_workers_need() -> None:
    read = 0

    def source() -> Iterator[Clip]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield Clip(f"a{number}")

    stream = map_clips(work, source(), jobs=1, failed=failed)
    next(stream)
    assert read <= 5
    stream.close()


@pytest.mark.slow
def test_a_stop_ends_a_worker_at_work_and_leaves_its_clip(tmp_path: Path) -> None:
    clips = [Clip("sleep", str(tmp_path)), Clip("a")]
    pid = tmp_path / "pid"
    assert list(map_clips(work, clips, jobs=1, failed=failed, stopped=pid.exists)) == []
    _wait_until(lambda: not _runs(int(pid.read_text())))


@pytest.mark.slow
def test_a_stop_does_not_fail_a_clip_whose_worker_just_died(tmp_path: Path) -> None:
    clips = [Clip("once", str(tmp_path)), Clip("kill")]
    seen = tmp_path / "once"
    assert list(map_clips(work, clips, jobs=1, failed=failed, stopped=seen.exists)) == []
    assert seen.exists()


@pytest.mark.slow
def test_a_stop_does_not_fail_a_clip_that_is_tried_again_alone(tmp_path: Path) -> None:
    clips = [Clip("once-sleep", str(tmp_path))]
    tried = tmp_path / "pid"
    assert list(map_clips(work, clips, jobs=1, failed=failed, stopped=tried.exists)) == []
    assert tried.exists()


def test_a_stop_in_this_process_waits_for_the_clip_at_hand() -> None:
    done: list[str] = []

    def process(clip: Clip) -> str:
        done.append(clip.id)
        return clip.id

    clips = [Clip(f"a{number}") for number in range(5)]
    stream = map_clips(process, clips, jobs=0, failed=failed, stopped=lambda: len(done) == 3)
    assert list(stream) == done == ["a0", "a1", "a2"]


@pytest.mark.slow
def test_workers_end_when_their_parent_alone_is_killed(tmp_path: Path) -> None:
    """They waited for ever, and one at work went on writing beside the next run."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as parent:
        pid = tmp_path / "pid"
        _wait_until(lambda: pid.exists() and pid.read_text() != "")
        worker = int(pid.read_text())
        parent.kill()
    _wait_until(lambda: not _runs(worker))
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # an ended process that nobody has waited for


def _wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_that_cannot_load_the_work_end_the_run_and_drop_no_clip_silently() -> None:
    clips = [Clip(f"a{number}") for number in range(5)]
    reason = (
        r"end before they take a clip, 3 in a row; the last: ImportError: broken in a worker "
        r"\(test_pool.py:\d+\)"
    )
    with pytest.raises(WorkersFailedError, match=reason):
        list(map_clips(Unloadable(), clips, jobs=1, failed=failed))


@pytest.mark.slow
def test_workers_that_are_killed_while_they_start_cost_no_clip(tmp_path: Path) -> None:
    """One that the kernel ended for want of memory ended the run."""
    clips = [Clip("a"), Clip("b"), Clip("c")]
    results = sorted(map_clips(Scarce(tmp_path, {2}), clips, jobs=1, failed=failed))
    assert results == ["a done", "b done", "c done"]


@pytest.mark.slow
def test_only_as_many_workers_are_started_as_the_machine_bears(tmp_path: Path) -> None:
    clips = [Clip(f"a{number}") for number in range(7)]
    results = list(map_clips(Scarce(tmp_path, {0}), clips, jobs=3, failed=failed))
    assert sorted(results) == [f"a{number} done" for number in range(7)]
    # One for each job, and two more after the last that was ready.
    assert len(list(tmp_path.iterdir())) <= 1 + 3 + 2 + 2


@pytest.mark.slow
def test_workers_that_are_all_killed_while_they_start_end_the_run(tmp_path: Path) -> None:
    reason = r"\d in a row; the last: SIGKILL \(mostly too little memory: use fewer --jobs\)"
    with pytest.raises(WorkersFailedError, match=reason):
        list(map_clips(Scarce(tmp_path, set()), [Clip("a"), Clip("b")], jobs=2, failed=failed))
    assert len(list(tmp_path.iterdir())) in {4, 5}  # the last two may have started together


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        (resource.RLIMIT_NOFILE, 0, "Too many open files"),
        (resource.RLIMIT_FSIZE, 32, "File too large"),
    ],
)
def test_a_machine_that_starts_no_process_is_told_of_and_not_a_cache(
    limit: int, value: int, reason: str
) -> None:
    limits = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, limits[1]))
    try:
        with (
            EarlyWorkers(2, load="pipeline.workers.pool") as early,
            pytest.raises(WorkersFailedError, match=f"3 in a row; the last: .*{reason}"),
        ):
            list(map_clips(work, [Clip("a")], jobs=1, failed=failed, early=early))
    finally:
        resource.setrlimit(limit, limits)
