"""A word while a command loads, on real terminals and in real pipes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pipeline.commands.loading import LINE_SECONDS, TERMINAL_SECONDS

ROOT = Path(__file__).parents[3]
# A command that loads for a while, shows something or says something, and ends.
COMMAND = """
import sys, time
from cache.progress import Progress
from pipeline.commands.streams import shown_streams
with shown_streams():
    time.sleep({seconds})
    {then}
"""
SHOW = "with Progress('clips') as progress: progress.show(1, 1)"


def run(seconds: float, then: str) -> list[str]:
    return [sys.executable, "-c", COMMAND.format(seconds=seconds, then=then)]


def on_a_terminal(command: list[str], columns: int = 40) -> tuple[str, float]:
    """What a command writes to a terminal, and after how many seconds the first of it."""
    terminal, other = pty.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    started = time.monotonic()
    with subprocess.Popen(command, stderr=other, stdout=other, env=env()) as process:
        os.close(other)
        said = os.read(terminal, 1 << 16)
        first = time.monotonic() - started
        process.wait()
    try:
        while more := os.read(terminal, 1 << 16):
            said += more
    except OSError:  # Linux says so of the end
        pass
    os.close(terminal)
    return said.decode(), first


def env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}


@pytest.mark.slow
def test_a_terminal_shows_it_within_a_second_and_takes_it_back() -> None:
    blank = " " * len("loading ...")
    said, first = on_a_terminal(run(TERMINAL_SECONDS + 0.5, SHOW))
    assert first < 10  # half a second, and what a busy machine takes to start Python
    assert said.startswith(f"\rloading ...\r{blank}\r")
    assert said.endswith("1/1 clips\r\n")
    assert "\x1b" not in said
    said, _ = on_a_terminal(run(TERMINAL_SECONDS + 0.5, "print('words')"))
    assert said == f"\rloading ...\r{blank}\rwords\r\n"
    said, _ = on_a_terminal(run(TERMINAL_SECONDS + 0.5, "sys.exit(3)"))
    assert said == f"\rloading ...\r{blank}\r"


@pytest.mark.slow
def test_quick_work_says_nothing_of_it_and_a_pipe_gets_one_line() -> None:
    said, _ = on_a_terminal(run(0.0, "print('words')"))
    assert said == "words\r\n"
    for seconds, expected in ((0.2, ""), (LINE_SECONDS + 0.5, "loading ...\n")):
        ended = subprocess.run(
            run(seconds, SHOW), capture_output=True, text=True, env=env(), check=True
        )
        assert (ended.stdout, ended.stderr) == ("", expected)


@pytest.mark.slow
def test_no_thread_is_left_behind_and_a_closed_stream_harms_nothing() -> None:
    command = " ".join(["exec", sys.executable, "-c", '"$0"', "2>&-"])
    program = COMMAND.format(seconds=LINE_SECONDS + 0.2, then="print('words')")
    ended = subprocess.run(
        ["bash", "-c", command, program], capture_output=True, text=True, env=env(), check=True
    )
    assert (ended.stdout, ended.stderr) == ("words\n", "")
