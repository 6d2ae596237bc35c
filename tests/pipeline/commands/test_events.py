"""Standard error as a log of events, of real commands in real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
FEW = str(GOLDEN / "corpus" / "few.csv")
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "log.json").read_text())


def avfuse(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


def read_events(stderr: str) -> list[dict[str, Any]]:
    """Every line of standard error, each held against the schema; the last says how all ended."""
    validator = pytest.importorskip("jsonschema").Draft202012Validator(SCHEMA)
    events = [json.loads(line) for line in stderr.splitlines()]
    for event in events:
        validator.validate(event)
    assert [event["event"] for event in events].index("done") == len(events) - 1
    return events


@pytest.mark.slow
def test_a_cache_is_verified_with_the_same_output_and_a_log(tmp_path: Path) -> None:
    cache = str(shutil.copytree(GOLDEN / "layout-2" / "cache", tmp_path / "cache"))
    plain, logged = avfuse("cache", "verify", cache), avfuse("cache", "verify", cache, "--log-json")
    assert (logged.stdout, logged.returncode) == (plain.stdout, plain.returncode) != ("", 2)
    *_, last, done = read_events(logged.stderr)
    assert (last["event"], last["command"], last["unit"]) == ("progress", "cache verify", "files")
    assert last["done"] == last["total"] > 0
    assert done["exit_code"] == plain.returncode


def test_wrong_use_is_a_failure_of_the_log_and_the_word_may_be_an_argument(tmp_path: Path) -> None:
    note, failure, done = read_events(avfuse("cache", "verify", "--jbos", "--log-json").stderr)
    assert note["text"].startswith("Usage: ")
    assert failure["event"] == "failure"
    assert failure["text"].startswith("Error: No such option")
    assert (done["command"], done["exit_code"]) == ("cache verify", 2)
    said = avfuse("cache", "status", "--", "--log-json", cwd=tmp_path, env=env()).stderr
    said = said.removeprefix("loading ...\n")  # where the machine is slow
    assert said.startswith("Error: --log-json does not exist")


def env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


# A command that writes to descriptor 2 past Python, warns, prints half a line, and then fails.
UNFORESEEN = """
import os, subprocess, sys, warnings
from pipeline.commands.events import logged_events
with logged_events(sys.stderr):
    subprocess.run(["sh", "-c", "echo of a library >&2"])
    warnings.warn("of Python")
    sys.stderr.write("half a ")
    sys.stderr.write("line\\n\\x1b[2J\\u202e\\n")
    os.write(2, b"x" * (3 << 20))  # more than fits into the pipe: it must not hold up anything
    sys.stderr.write("without an end")
    {end}
"""


def test_what_libraries_and_python_say_becomes_notes_and_an_error_is_told_before_the_end() -> None:
    program = UNFORESEEN.format(end="raise LookupError('nowhere')")
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env(), timeout=60
    )
    assert ended.returncode == 1
    assert not {*ended.stderr} & {"\x1b", "\u202e"}
    events = read_events(ended.stderr)
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert "of a library" in notes
    assert any("UserWarning: of Python" in note for note in notes)
    assert "half a line\n\x1b[2J\u202e" in notes
    assert "without an end" in notes
    failure = next(event for event in events if event["event"] == "failure")
    assert failure["text"] == "Error: LookupError: nowhere"
    assert failure["traceback"].startswith("Traceback")
    assert events[-1]["exit_code"] == 1


def test_sigterm_of_a_command_that_notes_no_signals_ends_the_log() -> None:
    program = UNFORESEEN.format(end="os.kill(os.getpid(), 15)")
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env(), timeout=60
    )
    done = read_events(ended.stderr)[-1]
    assert (ended.returncode, done["exit_code"], done["signal"]) == (143, 143, "SIGTERM")


def test_a_log_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "pipeline", "cache", "verify", str(tmp_path), "--log-json"],
            stderr=full,
            stdout=subprocess.PIPE,
            env=env(),
            timeout=60,
        )
    assert ended.returncode == 2


def test_ctrl_c_ends_the_log(tmp_path: Path) -> None:
    (tmp_path / "dlib.py").write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    found = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = avfuse("doctor", FEW, "--log-json", env=os.environ | found)
    *_, note, done = read_events(ended.stderr)
    assert (ended.returncode, done["exit_code"], done["signal"]) == (130, 130, "SIGINT")
    assert note["text"] == "Stopped (SIGINT)."


@pytest.mark.slow
def test_an_extraction_logs_its_frames_and_failures(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    words = ("extract", FEW, "--cache", str(cache), "--sets", "faces", "--jobs", "1")
    ended = avfuse(*words, "--log-json")
    events = read_events(ended.stderr)
    failures = {event["clip"]: event["reason"] for event in events if event["event"] == "failure"}
    report = json.loads((cache / "extract-report.json").read_text())
    assert (
        failures.keys() == {c["clip"] for c in report["clips"] if c["state"] == "failed"} != set()
    )
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["done"], last["share"], last["unit"]) == (len(report["clips"]), 1.0, "clips")
    assert (last["failed"], last["waiting"]) == (len(failures), 0)
    assert last["frames"] > 0
