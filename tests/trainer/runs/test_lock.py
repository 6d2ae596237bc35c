"""One process writes a run folder; every other is told which."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cache.commit import CacheWriteError, this_host, this_writer
from cache.manifest.manifest import Manifest
from tests.pipeline.rights import no_rights
from tests.trainer.run_helper import make_run
from trainer.runs.folder import RunError, read_run
from trainer.runs.lock import LOCK, FolderLock, RunHeldError
from trainer.runs.run_writer import RunWriter, check_writable

PAIRS = 20
# Of each pair the first to come trains until the other has ended, so that both are there at once.
TWO_AT_ONCE = """
import json, os, sys, time
from pathlib import Path
from cache.manifest.manifest import read_manifest
from tests.trainer.experiment_helper import train
from trainer.runs import experiment, report
from trainer.runs.folder import RunError

manifest = read_manifest(Path(sys.argv[1]), check_files=False)
cache, folder = manifest.path.parent / "cache", Path(sys.argv[2])
ended, end = os.pipe()

def draw(*_, **__):
    os.read(ended, 1)
    return b"a picture"

experiment.plot_history, report.plot_confusion = draw, lambda *_, **__: b"a picture"
os.write(end, b"1")
train(manifest, cache, folder / "alone")

def fork(run, start):
    if pid := os.fork():
        return pid
    os.read(start, 1)
    try:
        train(manifest, cache, run)
    except RunError as error:
        print(json.dumps(str(error)), flush=True)
        os._exit(3)
    os._exit(0)

def wait(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)

for pair in range(int(sys.argv[3])):
    begun, begin = os.pipe()
    for _ in range(2):
        fork(folder / str(pair), begun)
    os.write(begin, b"12")
    first = wait(10)
    os.write(end, b"12" if first is None else b"1")
    last = wait(60)
    print(json.dumps([first, last]), flush=True)
"""


def files_of(run: Path) -> dict[str, bytes]:
    """The files of a run; empty for those that say when, how fast and by whom."""
    changing = ("run.json", "history.csv", "fold-0-seed-0.safetensors", "fold-1-seed-0.safetensors")
    return {
        str(path.relative_to(run)): b"" if path.name in changing else path.read_bytes()
        for path in run.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_of_two_trainings_into_one_folder_at_once_exactly_one_finishes_and_the_other_says_so(
    manifest: Manifest, tmp_path: Path
) -> None:
    """Two begun within 3 ms left a finished folder of two runs mixed."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_AT_ONCE, str(manifest.path), str(tmp_path), str(PAIRS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[1::2] == [[3, 0]] * PAIRS
    assert all("is being written by" in line for line in lines[::2])
    for pair in range(PAIRS):
        read_run(tmp_path / str(pair))
        assert files_of(tmp_path / str(pair)) == files_of(tmp_path / "alone")


def start_holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds a folder until it is killed."""
    code = (
        "import sys; from pathlib import Path; from trainer.runs.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])):\n    print('held', flush=True); input()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_who_holds_a_folder_is_said_and_a_kill_lets_it_go(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start_holder(run) as holder:
        with pytest.raises(
            RunHeldError,
            match=rf"run is being written by process {holder.pid} on \S+ since 20\S+; wait for it",
        ):
            RunWriter(run, {}, overwrite=True)
        holder.send_signal(signal.SIGKILL)
    assert [path.name for path in run.iterdir()] == [LOCK]  # left over, and of no meaning
    check_writable(run, overwrite=False)
    assert read_run(make_run(run)).info["kind"] == "train"
    assert not (run / LOCK).exists()


@pytest.mark.parametrize(
    "content", [b"", b"[", b"\xff", b"[1]", b'{"pid": "\\u001b[2J"}', b"9" * 9]
)
def test_what_a_lock_says_of_its_holder_is_shown_only_if_it_is_plain(
    content: bytes, tmp_path: Path
) -> None:
    with FolderLock(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(RunHeldError, match="is being written by another process; wait"):
            FolderLock(tmp_path)


def test_a_process_that_the_holder_began_does_not_keep_the_folder(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with FolderLock(tmp_path):
        forked = os.fork()
        if not forked:
            os.read(reading, 1)
            os._exit(0)
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with FolderLock(tmp_path) as held:
            assert held.is_held
    finally:
        os.write(writing, b"1")
        os.waitpid(forked, 0)
        child.kill()
        child.wait()
        os.close(reading)
        os.close(writing)


def test_a_fork_that_ends_as_its_parent_would_leaves_the_parents_lock(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "run") as held:
        forked = os.fork()
        if not forked:
            held.release()
            os._exit(0)
        os.waitpid(forked, 0)
        with pytest.raises(RunHeldError):
            FolderLock(tmp_path / "run")


def test_folders_that_were_made_for_a_lock_alone_go_with_it(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "b") as held:
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    held.release()
    assert not list(tmp_path.iterdir())
    with FolderLock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "notes.txt").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["notes.txt"]


def test_a_refused_run_leaves_nothing_and_no_lock(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    with pytest.raises(RunError, match="pass --overwrite"):
        make_run(tmp_path / "run")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(RunError, match="so it is not a run"):
        make_run(tmp_path / "photos", overwrite=True)
    assert not list(tmp_path.rglob(LOCK))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file; a run is written to a folder"):
        FolderLock(tmp_path / "file")


def test_a_lock_that_another_user_left_is_replaced() -> None:
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        run.chmod(0o777)
        left = run / LOCK
        left.touch()
        with no_rights(left):
            with FolderLock(run) as held:
                assert held.is_held
            assert not left.exists()
            left.touch()


def test_a_folder_that_must_not_be_made_is_an_error_that_says_so() -> None:
    """It said that the folder was gone."""
    said = r"\[Errno 13\] .*; make the folder writable"
    with (
        tempfile.TemporaryDirectory() as name,
        no_rights(Path(name)),
        pytest.raises(CacheWriteError, match=said),
    ):
        FolderLock(Path(name) / "run")


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"its lock can't be written to .*\.lock"):
        FolderLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_leaves_what_run_json_says(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunWriter(tmp_path / "run", {}):
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
        with pytest.raises(
            RunHeldError, match=f"is being written by process {os.getpid()} on .* since 2"
        ):
            RunWriter(tmp_path / "run", {}, overwrite=True)


@pytest.mark.slow
def test_two_processes_that_take_and_leave_a_folder_never_hold_it_both(tmp_path: Path) -> None:
    """The file goes with each hold, so that the next may lock one that is gone."""
    code = (
        "import sys; from pathlib import Path; from trainer.runs.lock import *\n"
        "run, taken = Path(sys.argv[1]) / 'run', 0\n"
        "while taken < 300:\n"
        "    try:\n"
        "        with FolderLock(run):\n"
        "            (run / 'mine').touch(exist_ok=False)\n"
        "            (run / 'mine').unlink()\n"
        "            taken += 1\n"
        "    except RunHeldError: pass\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert errors == ["", ""]
    assert not list(tmp_path.glob("run/*"))


@pytest.mark.parametrize(
    "writer",
    [
        None,
        [],
        "me",
        {"host": "HERE", "pid": "1", "started": 1},
        {"host": 1, "pid": 1, "started": 1},
        {"host": "0" * 16, "pid": 1.5, "started": 0},
        {"host": "0" * 16, "pid": None, "started": 0},
        *({"host": "HERE", "pid": pid, "started": 0} for pid in (0, -1, 10**20, 2**31)),
        {"host": "HERE", "pid": "SELF", "started": 10**30},
        {"host": "HERE", "pid": "SELF"},
    ],
)
def test_a_forged_writer_in_run_json_is_nobody_and_no_signal_is_sent(
    writer: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(pid: int, number: int) -> None:
        raise AssertionError((pid, number))

    run = make_run(tmp_path / "run")
    forged = json.dumps(writer).replace('"SELF"', str(os.getpid())).replace("HERE", this_host())
    (run / "run.json").write_text(f'{{"state": "running", "writer": {forged}}}')
    monkeypatch.setattr(os, "kill", send)
    check_writable(run, overwrite=True)


def test_a_run_of_this_machine_before_it_was_started_anew_can_be_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunWriter(run, {"identity": "a"}):
        pass
    info = json.loads((run / "run.json").read_text())
    info["writer"] |= {"host": "f" * 8 + this_writer().host[8:]}
    (run / "run.json").write_text(json.dumps(info))
    left = run / f".metrics.{info['writer']['host']}.{os.getpid()}-1.00aaff.tmp"
    left.touch()
    with RunWriter(run, {"identity": "a"}, resume=True):
        assert not left.exists()


def test_the_start_of_a_process_counts_whatever_version_began_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for host, started, held in (
        ("01234567", this_writer().started, True),
        ("01234567", this_writer().started + 1, False),
        ("0" * 16, this_writer().started, False),
    ):
        writer = {"host": host, "pid": os.getpid(), "started": started}
        (run / "run.json").write_text(json.dumps({"state": "running", "writer": writer}))
        if held:
            with pytest.raises(RunHeldError, match="is being written"):
                check_writable(run, overwrite=True)
        else:
            check_writable(run, overwrite=True)
