"""Reading a run folder: finished and whole, or refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.commit import write_whole
from tests.trainer.run_helper import TABLE, make_run
from trainer.runs.folder import Run, RunError, read_members, read_run, shared_target
from trainer.runs.report import evaluate_run


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


def test_runs_whose_labels_are_of_different_things_are_not_put_together(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run"))

    def of(*targets: str | None) -> list[Run]:
        return [replace(run, info={"label_target": target}) for target in targets]

    assert shared_target(of(None, "acted", None, "acted")) == "acted"
    assert shared_target(of(None, None)) is None
    with pytest.raises(RunError, match=r"different things .*'acted' in .* and 'crowd' in"):
        shared_target(of("acted", None, "crowd"))


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_missing_or_damaged_file_of_a_run_is_named(tmp_path: Path, name: str) -> None:
    path = make_run(tmp_path / "run")
    (path / name).write_text("")
    with pytest.raises(RunError, match=f"damaged.*{name}|{name} is damaged"):
        read_run(path)
    (path / name).unlink()
    with pytest.raises(RunError, match=f"is damaged: .*{name}"):
        read_run(path)


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_file_of_a_run_that_is_no_text_or_takes_the_memory_is_not_read(
    tmp_path: Path, name: str
) -> None:
    path = make_run(tmp_path / "run")
    (path / name).write_bytes(b"\xff\0" * 99)
    with pytest.raises(RunError, match=f"is damaged.*{name}|{name} is damaged"):
        read_run(path)
    os.truncate(path / name, 1 << 40)  # a hole, of which the disk holds nothing
    with pytest.raises(RunError, match="it has 1099511627776 bytes, expected at most"):
        read_run(path)
    (path / name).unlink()
    os.mkfifo(path / name)  # would block until somebody writes to it
    with pytest.raises(RunError, match="it is not a file"):
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


@pytest.mark.parametrize(
    ("file", "field", "value", "said"),
    [
        (
            "run.json",
            "warnings",
            "none",
            r"run\.json is damaged: warnings is 'none', expected a li",
        ),
        ("run.json", "members", [3], r"run\.json is damaged: members\[0\] is 3, expected a text"),
        ("run.json", "warnings", ..., r"run\.json is damaged: warnings is missing"),
        ("metrics.json", "title", None, r"metrics\.json is damaged: title is None, expected a te"),
        ("metrics.json", "missing", ..., r"metrics\.json is damaged: missing is missing"),
        ("metrics.json", "missing", {}, r"is damaged: missing\.clips is missing, expected a list"),
        ("metrics.json", "missing", {"clips": [{}]}, r"missing\.clips\[0\]\.clip is missing, exp"),
        ("metrics.json", "missing", {"clips": [7]}, r"missing\.clips\[0\] is 7, expected an obj"),
    ],
)
def test_a_field_of_another_type_or_a_missing_one_is_damage(
    file: str, field: str, value: object, said: str, tmp_path: Path
) -> None:
    """It was a KeyError or TypeError in evaluate, report and ensemble."""
    run = make_run(tmp_path / "run")
    info = json.loads((run / "run.json").read_text())
    whole: dict[str, dict[str, object]] = {
        "run.json": {**info, "members_are": "seeds", "warnings": []},
        "metrics.json": {"title": "t", "missing": {"clips": []}},
    }
    if value is ...:
        del whole[file][field]
    else:
        whole[file][field] = value
    for name, values in whole.items():
        (run / name).write_text(json.dumps(values))
    with pytest.raises(RunError, match=said):
        evaluate_run(read_run(run))
