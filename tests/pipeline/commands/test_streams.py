"""Standard streams that are closed, full or gone, and what stands in foreign files."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cache.wording import show_controls

GOLDEN = Path(__file__).parents[2] / "golden"
OUT = GOLDEN.parent / "out"  # stands for a path in tmp_path
# What a terminal would act on: clear it, set its title, turn a line around, and a C1 escape.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\u2066\r"

Words = list[str | Path]
QUICK: dict[str, Words] = {
    "help": ["extract", "--help"],
    "version": ["--version"],
    "index": ["index", "folder", GOLDEN / "corpus", "-o", OUT, "--overwrite"],
    "status": ["cache", "status", GOLDEN / "layout-1" / "cache"],
}
SLOW: dict[str, Words] = {
    "report": ["report", GOLDEN / "layout-1" / "run", "-o", OUT, "--overwrite"]
}


def avfuse(name: str | list[str], streams: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a real process whose streams a shell redirects."""
    words = name if isinstance(name, list) else (QUICK | SLOW)[name]
    words = [str(out if word == OUT else word) for word in words]
    return subprocess.run(
        ["bash", "-c", f'"$@" {streams}', "bash", sys.executable, "-m", "pipeline", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", [*QUICK, pytest.param("report", marks=pytest.mark.slow)])
def test_a_closed_or_full_output_is_named_and_nothing_else_is_lost(
    name: str, tmp_path: Path
) -> None:
    expected = avfuse(name, "", tmp_path / "as_ever")
    for streams, reason in (
        (">&-", "standard output is closed"),
        (">/dev/full", "standard output can't be written: No space left on device"),
    ):
        done = avfuse(name, streams, tmp_path / "new")
        assert done.returncode == 1
        assert done.stderr == (
            f"{expected.stderr}Error: {reason}; send it to another place and run the same command "
            "again\n"
        )
        if (tmp_path / "as_ever").exists():
            assert (tmp_path / "new").read_bytes() == (tmp_path / "as_ever").read_bytes()
            (tmp_path / "new").unlink()


@pytest.mark.parametrize("name", QUICK)
def test_work_goes_on_where_errors_can_not_be_said(name: str, tmp_path: Path) -> None:
    expected = avfuse(name, "", tmp_path / "out")
    for streams in ("2>&-", "2>/dev/full <&-"):
        done = avfuse(name, streams, tmp_path / "out")
        assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)
        assert done.stderr == ""
    assert avfuse(name, "<&- >&- 2>&-", tmp_path / "out").returncode == 1


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path) -> None:
    done = avfuse("version", '| false; exit "${PIPESTATUS[0]}"', tmp_path)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.slow
def test_an_extraction_and_its_workers_go_on_without_any_stream(tmp_path: Path) -> None:
    command = [
        "extract",
        str(GOLDEN / "corpus" / "manifest.csv"),
        "--sets",
        "logmel",
        "--jobs",
        "2",
    ]
    done = avfuse([*command, "--cache", str(tmp_path / "cache")], "<&- >&- 2>&-", tmp_path)
    assert done.returncode == 1  # of an empty file among the clips; and of what can't be said
    report = json.loads((tmp_path / "cache" / "extract-report.json").read_text())
    assert [clip["state"] for clip in report["clips"]].count("ok") == 6
    assert len([*(tmp_path / "cache").glob("logmel-*/*/*.h5")]) == 6


@pytest.mark.parametrize("name", ["index", "status", "version"])
def test_a_removed_working_folder_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f'cd {tmp_path}/gone && rmdir {tmp_path}/gone && "$@"'
    words = [str(tmp_path / "out" if word == OUT else word) for word in QUICK[name]]
    done = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "pipeline", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(GOLDEN.parents[1])},
    )
    if name == "version":
        assert done.stdout.startswith("avfuse, version 0.1.0\nPython ")
    else:
        assert (done.returncode, done.stderr) == (
            1,
            "Error: the working folder was removed; change to another (cd) and run the same "
            "command again\n",
        )


def make_foreign_run(path: Path) -> Path:
    """Copy a run and put what a terminal acts on wherever it has text."""
    shutil.copytree(GOLDEN / "layout-1" / "run", path)
    for name in ("predictions.csv", *(f"members/{p.name}" for p in (path / "members").iterdir())):
        file = path / name
        file.write_text(file.read_text().replace("sad", f"sad{HOSTILE[:-1]}"))
    info = json.loads((path / "run.json").read_text())
    info["warnings"] = [f"clip{HOSTILE} is missing"]
    (path / "run.json").write_text(json.dumps(info))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("words", [["evaluate"], ["evaluate", "--json"], ["compare", "RUN"]])
def test_what_a_foreign_run_holds_moves_no_terminal(words: list[str], tmp_path: Path) -> None:
    run = make_foreign_run(tmp_path / f"run{HOSTILE}")
    done = avfuse([str(run) if word == "RUN" else word for word in [*words, str(run)]], "", run)
    assert done.returncode == 0, done.stderr
    for said in (done.stdout, done.stderr):
        assert show_controls(said) == said
        assert "\r" not in said
    if words[-1] == "--json":
        assert f"sad{HOSTILE[:-1]}" in json.loads(done.stdout)["classes"]
    else:
        assert "\\x1b[2J\\x1b]0;owned\\x07\\u202e\\u009b31m\\u2066" in done.stdout


# Shows a bar, and a line and a detail from a foreign file, as long work does.
BAR = f"""
import sys
from cache.progress import Progress
from pipeline.commands.streams import shown_streams
with shown_streams(), Progress("clips") as progress:
    for done in range(4):
        progress.show(done, 3, {HOSTILE!r})
        progress.say({HOSTILE!r})
print("done")
"""


def test_a_bar_moves_on_a_terminal_and_foreign_text_does_not() -> None:
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 200))
    done = subprocess.run([sys.executable, "-c", BAR], stderr=stderr, check=True)
    os.close(stderr)
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert said.count("\r") > 3
    assert "3/3" in said
    assert not {*said} & {"\x1b", "\x07", "\u202e", "\x9b", "\u2066"}


def test_a_terminal_that_goes_away_stops_no_work() -> None:
    terminal, stderr = pty.openpty()
    os.close(terminal)
    done = subprocess.run(
        [sys.executable, "-c", BAR], stderr=stderr, stdout=subprocess.PIPE, check=False, text=True
    )
    os.close(stderr)
    assert (done.returncode, done.stdout) == (0, "done\n")
