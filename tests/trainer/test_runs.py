"""The run folder: whole, or visibly unfinished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs import (
    RunError,
    RunWriter,
    check_writable,
    read_members,
    read_run,
    write_whole,
)

TABLE = predictions_of("ahs", "ahh")


def make_run(path: Path, *, overwrite: bool = False, kind: str = "train") -> Path:
    with RunWriter(path, {"kind": kind}, overwrite=overwrite) as writer:
        writer.write_predictions(TABLE, {"seed-0": TABLE})
        writer.write("epochs = 3\n", "config.toml")
        writer.write(b"\x00", "checkpoints", "seed-0.safetensors")
        writer.finish({"n": 3}, members=["seed-0"])
    return path


def test_a_finished_run_reads_back(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "deep" / "run"))
    assert run.info["kind"] == "train"
    assert run.info["state"] == "finished"
    assert run.metrics == {"n": 3}
    assert run.predictions.predictions == ("angry", "happy", "happy")
    assert run.classes == ("angry", "happy", "sad")
    assert list(read_members(run)) == ["seed-0"]
    assert read_members(run)["seed-0"].clips == TABLE.clips
    assert not list(run.path.rglob("*.tmp"))


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
    with pytest.raises(RunError, match=r"state is 'failed' \(OSError: disk full\); train it again"):
        read_run(tmp_path / "run")


def test_a_killed_run_never_looks_finished(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import os, signal, sys; from pathlib import Path; from trainer.runs import RunWriter\n"
        "writer = RunWriter(Path(sys.argv[1]), {'kind': 'second'}, overwrite=True)\n"
        "writer.write('clip', 'predictions.csv')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(RunError, match="is not finished: its state is 'running'"):
        read_run(tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    (path / "notes.txt").write_text("mine")
    (path / "checkpoints" / "fold-9-seed-9.safetensors").write_bytes(b"old")
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


def test_what_is_not_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it has no run\.json"):
        read_run(tmp_path)
    path = make_run(tmp_path / "run")
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**info, "format": 99}))
    with pytest.raises(RunError, match="has run format 99; this version reads 1"):
        read_run(path)
    for text in ("{", "[]", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")):
        (path / "run.json").write_text(text)
        with pytest.raises(RunError, match=r"run\.json is damaged"):
            read_run(path)


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_missing_or_damaged_file_of_a_run_is_named(tmp_path: Path, name: str) -> None:
    path = make_run(tmp_path / "run")
    (path / name).write_text("")
    with pytest.raises(RunError, match=f"damaged.*{name}|{name} is damaged"):
        read_run(path)
    (path / name).unlink()
    with pytest.raises(RunError, match=f"is damaged: .*{name}"):
        read_run(path)


def test_a_missing_member_of_a_run_is_named(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run"))
    (run.path / "members" / "seed-0.csv").unlink()
    with pytest.raises(RunError, match=r"is damaged: .*seed-0\.csv"):
        read_members(run)


def test_a_file_that_can_not_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a.txt", "old")

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_whole(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
