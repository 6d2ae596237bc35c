from __future__ import annotations

import io

import pytest

from cache import progress as module
from cache.progress import Progress, format_seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_say_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Progress("updates", stream) as progress:
        progress.show(3, 17)  # three were done by an earlier process
        now = 29.0
        progress.show(4, 17)
        now = 40.0
        progress.show(5, 17, "loss 1.5000")
        progress.show(6, 17, "loss 1.2500")
        progress.say("epoch 1")
        progress.show(17, 17, "loss 0.2500")
    assert stream.getvalue().splitlines() == [
        "5 of 17 updates, loss 1.5000, 0.05 updates/s, 4 minutes left",
        "epoch 1",
        "17 of 17 updates, loss 0.2500, 0.35 updates/s",
    ]


def test_work_that_is_soon_done_says_nothing_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress("clips") as progress:
        progress.show(0, 2)
        progress.show(2, 2)
        progress.say("a: failed")
    assert capsys.readouterr().err == "a: failed\n"


def test_on_a_terminal_a_bar_appears_at_once_and_lines_go_above_it() -> None:
    stream = Terminal()
    with Progress("clips", stream) as progress:
        progress.show(0, 5)
        assert progress.bar is not None
        progress.show(2, 7, "loss 0.5")
        assert (progress.bar.n, progress.bar.total) == (2, 7)
        progress.say("a: failed")
    assert progress.bar is None
    assert "a: failed\n" in stream.getvalue()


def test_a_time_left_that_the_caller_knows_better_stands_in_the_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Progress("cells", stream) as progress:
        progress.show(0, 17)
        now = 50.0
        progress.expect(300.0)
        now = 110.0
        progress.show(1, 17)
    assert stream.getvalue() == "1 of 17 cells, 0.01 cells/s, 4 minutes left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.4, "9.4 s"), (89.0, "89 s"), (91.0, "2 minutes"), (5399, "90 minutes"),
        (9000.0, "2.5 hours"), (216000.0, "2.5 days"),
    ],
)  # fmt: skip
def test_a_time_is_written_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
