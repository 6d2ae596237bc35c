"""What a training shows while it goes on."""

from __future__ import annotations

import io

import pytest

from cache.progress import Progress
from trainer.runs.display import Display, ForecastDisplay
from trainer.runs.listener import Forecast
from trainer.training.trained import EpochRecord


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.75, 1e-3, 0.1)


def test_away_from_a_terminal_each_head_is_a_line() -> None:
    stream = io.StringIO()
    display = Display(stream=stream)
    display.start(2, 3)
    display.epoch("fold-0-seed-0", "train", record(1))
    display.head("fold-0-seed-0", record(3), resumed=False)
    display.head("fold-1-seed-0", record(3), resumed=True)
    display.close()
    assert stream.getvalue().splitlines() == [
        "training 2 heads of at most 3 epochs",
        "1/2 fold-0-seed-0: 3 epochs, loss 0.5000",
        "2/2 fold-1-seed-0: 3 epochs, kept from before",
    ]


def test_heads_that_are_fitted_at_once_have_no_epochs_in_their_lines() -> None:
    stream = io.StringIO()
    display = Display(at_once=True, stream=stream)
    display.start(2, 1)
    display.head("fold-0-seed-0", record(1), resumed=False)
    display.head("fold-1-seed-0", record(1), resumed=True)
    assert stream.getvalue().splitlines() == [
        "fitting 2 heads",
        "1/2 fold-0-seed-0: loss 0.5000",
        "2/2 fold-1-seed-0: kept from before",
    ]


def test_heads_trained_in_a_moment_share_a_line() -> None:
    stream = io.StringIO()
    display = Display(stream=stream)
    display.start(4, 3)
    for number in range(4):
        display.head(f"seed-{number}", record(3), resumed=False)
    assert stream.getvalue().splitlines()[1:] == [
        "1/4 seed-0: 3 epochs, loss 0.5000",
        "4/4 seed-3: 3 epochs, loss 0.5000",
    ]


def test_on_a_terminal_a_bar_counts_epochs_and_jumps_over_those_not_needed() -> None:
    stream = Terminal()
    display = Display(stages=2, stream=stream)
    display.start(2, 3)
    display.epoch("seed-0", "choose", record(1))
    assert (display.progress.done, display.progress.total) == (1, 12)
    display.head("seed-0", record(2), resumed=False)
    assert display.progress.done == 6
    display.head("seed-1", record(3), resumed=True)
    assert display.progress.done == 12
    assert "seed-0, choosing epochs" in stream.getvalue()
    display.close()


def test_a_long_training_says_its_time_and_what_is_cheaper_and_corrects_what_is_off() -> None:
    stream = io.StringIO()
    display = Display(stream=stream)
    for seconds in (1080.0, 1100.0, 2400.0):
        display.forecast(Forecast(seconds, seconds / 150, ("--preset fast: no encoder",)))
    assert stream.getvalue().splitlines() == [
        "about 18 minutes left; an epoch of a head takes 7.2 s",
        "cheaper would be",
        "  --preset fast: no encoder",
        "about 40 minutes left; an epoch of a head takes 16 s",
    ]


def test_a_short_training_says_no_more_than_it_must() -> None:
    stream = io.StringIO()
    display = Display(stream=stream)
    display.forecast(Forecast(9.0, 0.1, ("--preset fast: no encoder",)))
    assert stream.getvalue() == ""
    display.forecast(Forecast(31.0, 0.3, ("--preset fast: no encoder",)))
    assert stream.getvalue() == "about 31 s left; an epoch of a head takes 0.3 s\n"


def test_a_time_left_is_news_if_it_is_long_and_differs_from_what_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("trainer.runs.display.time.monotonic", lambda: now)
    stream = io.StringIO()
    display = ForecastDisplay(Progress("cells", stream), "on 3 processes")
    display.show(Forecast(100.0, 1.0))
    now = 20.0
    for seconds in (80.0, 103.0, 105.0, 96.0, 70.0):  # the first is as was said
        display.show(Forecast(seconds, 1.0))
    assert stream.getvalue().splitlines() == [
        "about 2 minutes left on 3 processes; an epoch of a head takes 1.0 s",
        "about 2 minutes left on 3 processes; an epoch of a head takes 1.0 s",
        "about 70 s left on 3 processes; an epoch of a head takes 1.0 s",
    ]


def test_what_is_read_before_the_heads_is_shown_and_leaves_nothing_behind() -> None:
    stream = Terminal()
    display = Display(stream=stream)
    display.read("files", 1, 40)
    display.read("files", 40, 40)
    display.read("entries", 5, 20)
    display.start(1, 3)
    shown = [part.strip() for part in stream.getvalue().split("\r")]
    assert [part for part in shown if part] == [
        "2% ░░░░░░░░░ 1/40 files",
        "100% █████████ 40/40 files",
        "25% ██░░░░░░░ 5/20 entries",
        "training 1 head of at most 3 epochs",
    ]
    assert stream.getvalue().split("training")[0].endswith(" \r")  # cleared
