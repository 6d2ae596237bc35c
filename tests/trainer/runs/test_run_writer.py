"""Writing a run folder: whole, or visibly unfinished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cache.commit import temporary_path
from tests.trainer.run_helper import TABLE, make_run
from trainer.runs.folder import RunError, read_run
from trainer.runs.run_writer import RunWriter, check_writable
from trainer.training.identity import OtherTrainingError


def test_a_run_says_that_it_runs_until_it_is_finished(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", {}) as writer:
        writer.write_predictions(TABLE)
        with pytest.raises(RunError, match="is not finished: its state is 'running'"):
            read_run(tmp_path / "run")
        writer.finish({})
    assert read_run(tmp_path / "run").metrics == {}


def test_an_error_leaves_its_reason_in_the_run(tmp_path: Path) -> None:
    def fail() -> None:
        with RunWriter(tmp_path / "run", {}) as writer:
            writer.write_predictions(TABLE)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    with pytest.raises(RunError, match=r"state is 'failed' \(OSError: disk full\); the same command again"):
        read_run(tmp_path / "run")


def test_a_killed_run_never_looks_finished(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from trainer.runs.run_writer import RunWriter\n"
        "writer = RunWriter(Path(sys.argv[1]), {'kind': 'second'}, overwrite=True)\n"
        "writer.write('clip', 'predictions.csv')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(RunError, match="is not finished: its state is 'running'"):
        read_run(tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("rename", [1, 2, 3])
def test_a_run_killed_while_a_file_appears_can_be_begun_or_resumed_and_leaves_nothing(
    rename: int, tmp_path: Path
) -> None:
    """Killed before run.json appeared, its folder was taken for somebody's own files."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from trainer.runs.run_writer import RunWriter\n"
        "left = [int(sys.argv[2])]\n"
        "def kill(event, _):\n"
        "    left[0] -= event == 'os.rename'\n"
        "    if event == 'os.rename' and not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(kill)\n"
        "writer = RunWriter(Path(sys.argv[1]), {'identity': 'a'})\n"
        "writer.write('weights', 'checkpoints', 'seed-0.safetensors')\n"
        "writer.write('clip', 'predictions.csv')\n"
    )
    run = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", code, str(run), str(rename)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(list(run.rglob(".*.tmp"))) == 1
    mine = temporary_path(run / "mine")
    mine.write_text("of a process that runs")
    if rename > 1:
        with RunWriter(run, {"identity": "a"}, resume=True):
            pass
        assert list(run.rglob(".*.tmp")) == [mine]
        return
    with pytest.raises(RunError, match=r"holds files and no run\.json, so it is not a run"):
        RunWriter(run, {"identity": "a"})
    mine.unlink()
    with RunWriter(run, {"identity": "a"}):
        pass
    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_a_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    (path / "notes.txt").write_text("mine")
    (path / "checkpoints" / "fold-9-seed-9.safetensors").write_bytes(b"old")
    (path / "checkpoints" / "fold-9-seed-9.progress").write_bytes(b"old")
    with pytest.raises(RunError, match=r"holds a run \(finished\); pass --overwrite"):
        make_run(path)
    assert read_run(make_run(path, overwrite=True, kind="second")).info["kind"] == "second"
    assert (path / "notes.txt").read_text() == "mine"
    assert [p.name for p in (path / "checkpoints").iterdir()] == ["seed-0.safetensors"]


def test_what_is_not_a_run_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file; a run is written to a folder"):
        make_run(tmp_path / "file", overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "config.toml").write_text("mine")
    with pytest.raises(RunError, match=r"holds files and no run\.json, so it is not a run"):
        make_run(tmp_path / "photos", overwrite=True)
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"holds a run \(damaged\)"):
        check_writable(tmp_path / "broken", overwrite=False)


def test_a_folder_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "parent").write_text("a file where a folder is needed")
    else:
        (tmp_path / "parent").mkdir(mode=0o500)
    with pytest.raises(OSError, match="parent"):
        make_run(tmp_path / "parent" / "run")


def leave_unfinished(path: Path, identity: str) -> None:
    """A run that failed after its first head."""
    with suppress(OSError), RunWriter(path, {"identity": identity}) as writer:
        writer.write("rows", "history.csv")
        writer.write(b"head", "checkpoints", "seed-0.safetensors")
        writer.write_predictions(TABLE, {"seed-0": TABLE})
        raise OSError("power cut")


def test_an_unfinished_run_is_resumed_with_its_checkpoints_and_history(tmp_path: Path) -> None:
    leave_unfinished(tmp_path / "run", "same")
    with RunWriter(tmp_path / "run", {"identity": "same"}, resume=True) as writer:
        assert (writer.path / "checkpoints" / "seed-0.safetensors").read_bytes() == b"head"
        assert (writer.path / "history.csv").read_text() == "rows"
        assert not (writer.path / "predictions.csv").exists()
        assert not list((writer.path / "members").iterdir())


def test_only_the_same_unfinished_run_is_resumed(tmp_path: Path) -> None:
    leave_unfinished(tmp_path / "run", "same")
    with pytest.raises(OtherTrainingError, match="holds an unfinished training with other"):
        RunWriter(tmp_path / "run", {"identity": "other"}, resume=True)
    with pytest.raises(RunError, match=r"\(failed\); pass --overwrite to replace it"):
        RunWriter(tmp_path / "run", {"identity": "same"})
    RunWriter(tmp_path / "new", {"identity": "same"}, resume=True)
    make_run(tmp_path / "done")
    with pytest.raises(RunError, match=r"\(finished\), which can't be resumed; use --overwrite"):
        RunWriter(tmp_path / "done", {}, resume=True)


def test_a_run_that_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run", {"identity": "same"})
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError, match=f"is being written by process {os.getpid()}"):
            RunWriter(tmp_path / "run", {"identity": "same"}, **options)


def test_what_a_kill_leaves_of_trying_a_place_is_no_obstacle(tmp_path: Path) -> None:
    """It was a folder of another name, and the run folder was refused for ever."""
    code = (
        "import os, pathlib, sys; from cache.commit import check_place\n"
        "pathlib.Path.rmdir = lambda path: os._exit(9)\n"
        "check_place(pathlib.Path(sys.argv[1]))"
    )
    path = tmp_path / "run"
    path.mkdir()
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == 9
    assert len(list(path.iterdir())) == 1
    with RunWriter(path, {}) as writer:
        writer.finish({})
    assert sorted(item.name for item in path.iterdir()) == ["metrics.json", "run.json"]
