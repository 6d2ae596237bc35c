from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm.utils import disp_len

from cache.progress import Progress, format_seconds

ROOT = Path(__file__).parents[2]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("cache.progress.time.monotonic", lambda: self.now)
        monkeypatch.setattr("tqdm.std.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Log(io.StringIO):
    """Standard error as a log of events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))


class RealTerminal:
    """A pseudo-terminal of some columns, and what was written to it."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self._terminal, self._other = pty.openpty()
        self.resize(columns)
        self.stream = os.fdopen(self._other, "w", encoding=encoding, errors="backslashreplace")

    def resize(self, columns: int) -> None:
        termios.tcsetwinsize(self._terminal, (24, columns))

    def read(self) -> str:
        self.stream.flush()
        os.set_blocking(self._terminal, False)
        parts = []
        try:
            while part := os.read(self._terminal, 1 << 16):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts).decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._terminal)


@pytest.fixture
def terminal() -> Iterator[RealTerminal]:
    made = RealTerminal(40)
    yield made
    made.close()


def rows(written: str) -> list[str]:
    """What stood on the line that moves, one after another, without the spaces that clear it."""
    return [row.rstrip() for row in written.replace("\n", "\r").split("\r") if row.strip()]


def test_plain_lines_say_soon_and_then_now_and_then_how_far_it_is(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("updates", stream) as progress:
        progress.show(3, 17)  # three were done by an earlier process
        clock.now += 4
        progress.show(4, 17)
        clock.now += 4
        progress.show(5, 17, "loss 1.5000")  # 2 in 8 s
        clock.now += 29
        progress.show(6, 17)
        clock.now += 3
        progress.show(7, 17)  # 4 in 40 s
        progress.say("epoch 1")
        progress.show(17, 17, "loss 0.2500")
    assert stream.getvalue().splitlines() == [
        "5 of 17 updates, loss 1.5000, 0.25 updates/s, 48 s left",
        "7 of 17 updates, 0.10 updates/s, 2 minutes left",
        "epoch 1",
        "17 of 17 updates, loss 0.2500, 0.35 updates/s",
    ]


def test_work_that_is_soon_done_says_nothing_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress("clips") as progress:
        progress.show(0, 2)
        progress.show(2, 2)
        progress.fail("a", "no sound")
    assert capsys.readouterr().err == "a: failed: no sound\n"


def test_what_takes_long_each_is_said_so(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("clips", stream) as progress:
        progress.show(0, 3)
        clock.now += 7200
        progress.show(1, 3)
    assert stream.getvalue() == "1 of 3 clips, 2.0 hours each, 4.0 hours left\n"


def test_on_a_terminal_a_line_appears_at_once_and_others_go_above_it(clock: Clock) -> None:
    stream = Terminal()
    with Progress("clips", stream) as progress:
        progress.show(0, 5)
        assert rows(stream.getvalue()) == ["  0% ░░░░░░░░░ 0/5 clips"]
        clock.now += 1
        progress.show(2, 8, "loss 0.5")
        assert (progress.done, progress.total) == (2, 8)
        progress.say("a: failed")
    assert progress.line is None
    before, _, after = stream.getvalue().partition("a: failed\n")
    assert before.endswith("\r")  # what stood there was cleared
    assert rows(after)[-1].startswith(" 25% ██░░░░░░░ 2/8 clips, 3.0 s left, loss 0.5, 2.00")
    assert after.endswith("\n")


def test_the_line_is_drawn_at_most_ten_times_a_second(clock: Clock) -> None:
    stream = Terminal()
    with Progress("epochs", stream) as progress:
        for done in range(1000):
            clock.now += 0.001
            progress.show(done, 1000)
        drawn = stream.getvalue().count("\r")
    assert 9 <= drawn <= 11


def test_a_share_of_what_is_in_work_moves_the_bar_and_counts_nothing(clock: Clock) -> None:
    stream = Terminal()
    with Progress("clips", stream) as progress:
        progress.show(0, 2)
        clock.now += 30
        progress.show(0, 2, in_work=0.5)
    assert rows(stream.getvalue())[-1] == " 25% ██░░░░░░░ 0/2 clips, 2 minutes left, 60 s each"


def test_a_first_frame_of_a_long_clip_foretells_nothing(clock: Clock) -> None:
    log = Log()
    progress = Progress("clips", log)
    progress.show(0, 20)
    forecasts = []
    for in_work in (1 / 400, 19 / 400, 20 / 400):  # the network was loaded meanwhile
        clock.now += 5
        progress.show(0, 20, in_work=in_work)
        forecasts.append(log.events[-1][1].get("seconds_left"))
    assert forecasts == [None, None, pytest.approx((20 - 0.05) / (0.05 / 15))]


@pytest.mark.parametrize("columns", [1, 20, 40, 41, 80, 200])
def test_no_line_is_wider_than_its_terminal_also_behind_a_resize(
    terminal: RealTerminal, clock: Clock, columns: int
) -> None:
    with Progress("clips", terminal.stream) as progress:
        for number, width in enumerate((columns, max(1, columns // 2), columns)):
            terminal.resize(width)
            clock.now += 1
            progress.show(number, 7, "12 frames, 大きな顔, 3 working, 1234 waiting", in_work=0.5)
            drawn = terminal.read()
            assert max(map(disp_len, drawn.split("\r"))) < max(2, width)
    terminal.read()


def test_forty_columns_have_room_for_what_matters(terminal: RealTerminal, clock: Clock) -> None:
    with Progress("clips", terminal.stream) as progress:
        progress.show(0, 9)
        clock.now += 8
        progress.show(4, 9, "1 failed, 1234 frames, 97% with a face")
    assert rows(terminal.read())[-1] == " 44% 4/9 clips, 10 s left, 1 failed"


def test_a_terminal_without_utf_8_gets_a_bar_and_names_that_it_can_show(clock: Clock) -> None:
    made = RealTerminal(80, "ascii")
    with Progress("epochs", made.stream) as progress:
        progress.show(0, 2)
        clock.now += 1
        progress.show(1, 2, "é")
    last = rows(made.read())[-1]
    made.close()
    assert last == " 50% ####----- 1/2 epochs, 1.0 s left, \\xe9, 1.00 epochs/s"


def test_a_terminal_that_knows_neither_rows_nor_columns_gets_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    made = RealTerminal(0)
    termios.tcsetwinsize(made.stream.fileno(), (0, 0))
    with Progress("clips", made.stream) as progress:
        progress.show(0, 12345678)
        assert made.read() == "\r  0% 0/12345678 cli"  # 19 columns
    made.close()


def test_a_terminal_that_takes_no_more_stops_no_work() -> None:
    class Busy(Terminal):
        def write(self, text: str) -> int:
            raise BlockingIOError(len(text))

    with Progress("clips", Busy()) as progress:
        progress.show(0, 2)
        progress.say("a: failed: no sound")
        progress.show(2, 2)


def test_a_line_costs_no_thread_and_nothing_before_it_is_drawn(terminal: RealTerminal) -> None:
    threads = threading.active_count()
    with Progress("clips", terminal.stream) as progress:
        progress.show(0, 2)
        assert threading.active_count() == threads
    code = "import sys, pipeline.commands.streams; assert 'tqdm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_who_wants_no_line_gets_the_words_alone(terminal: RealTerminal) -> None:
    code = (
        "from cache.progress import Progress\n"
        "with Progress('clips') as progress: progress.show(0, 2); progress.say('a: failed')"
    )
    env = os.environ | {"TQDM_DISABLE": "1", "TERM": "xterm"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=ROOT, env=env, stderr=terminal.stream, timeout=60)
    assert terminal.read() == "a: failed\r\n"


def test_a_dumb_terminal_gets_lines(
    terminal: RealTerminal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Progress("clips", terminal.stream) as progress:
        progress.show(0, 2)
        clock.now += 10
        progress.show(1, 2)
    assert terminal.read() == "1 of 2 clips, 0.10 clips/s, 10 s left\r\n"


def test_in_a_notebook_the_line_is_written_again_twice_a_second(clock: Clock) -> None:
    kernel = types.ModuleType("ipykernel.iostream")
    stream = type("OutStream", (io.StringIO,), {"__module__": kernel.__name__})()
    with Progress("clips", stream) as progress:
        for done in range(100):
            clock.now += 0.1
            progress.show(done, 100)
        assert 19 <= stream.getvalue().count("\r") <= 21
    assert rows(stream.getvalue())[-1].startswith(" 99%")


@pytest.mark.slow
def test_a_real_notebook_shows_the_line_and_no_warning() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cell = nbformat.v4.new_code_cell(
        "import time\nfrom cache.progress import Progress\n"
        "with Progress('clips') as progress:\n"
        "    for done in range(4):\n        progress.show(done, 3)\n        time.sleep(0.6)\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    said = "".join(output.get("text", "") for output in cell["outputs"])
    assert {output["name"] for output in cell["outputs"]} == {"stderr"}
    assert [row.partition(" clips")[0][-3:] for row in rows(said)][:4] == [
        "0/3",
        "1/3",
        "2/3",
        "3/3",
    ]


def test_a_log_gets_an_event_a_second_and_one_at_the_end(clock: Clock) -> None:
    stream = Log()
    with Progress("clips", stream) as progress:
        for done in range(1, 5):
            progress.show(done, 7, "loss 0.5", in_work=0.25, facts={"frames": 11})
            clock.now += 0.5
        progress.expect(12.34)
        progress.expect(12.0)
        progress.fail("b", "no sound")
        progress.show(7, 7)
    assert stream.getvalue() == ""
    shown = {"total": 7, "unit": "clips"}
    assert stream.events == [
        ("progress", {"done": 1, **shown, "share": 0.178571}
         | {"detail": "loss 0.5", "frames": 11}),
        ("progress", {"done": 3, **shown, "share": 0.464286, "rate": 2.25, "seconds_left": 1.667}
         | {"detail": "loss 0.5", "frames": 11}),
        ("forecast", {"seconds": 12.3}),
        ("failure", {"text": "b: failed: no sound", "clip": "b", "reason": "no sound"}),
        ("progress", {"done": 7, **shown, "share": 1.0, "rate": 3.0}),
    ]  # fmt: skip


def test_a_time_left_that_the_caller_knows_better_stands_in_the_line(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("cells", stream) as progress:
        progress.show(0, 17)
        clock.now += 50
        progress.expect(300.0)
        clock.now += 60
        progress.show(1, 17)
    assert stream.getvalue() == "1 of 17 cells, 2 minutes each, 4 minutes left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.4, "9.4 s"), (89.0, "89 s"), (91.0, "2 minutes"), (5399, "90 minutes"),
        (9000.0, "2.5 hours"), (216000.0, "2.5 days"),
    ],
)  # fmt: skip
def test_a_time_is_written_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
