"""Figures of a run for its page: shares with intervals, the reliability curve, training curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.trainer.report.report_helper import make_run
from trainer.report.figures import draw_history, draw_reliability, gather_figures
from trainer.runs.history import HistoryRow
from trainer.runs.metrics import wilson_interval
from trainer.training.trained import EpochRecord


def row(seed: int, epoch: int, loss: float, held_out: float | None = None) -> HistoryRow:
    record = EpochRecord(epoch, loss, loss / 4, 0.1, 1.0, held_out, None)
    return HistoryRow(None, seed, "train", record)


def test_recall_and_speakers_are_counted_by_hand(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 35)
    figures = gather_figures(run, "run")
    table = run.predictions
    right = [x == y for x, y in zip(table.labels, table.predictions, strict=True)]
    for number, share in enumerate(figures.recall):
        own = right[number::5]
        assert (share.n, share.share) == (7, sum(own) / 7)
        assert share.interval == wilson_interval(sum(own), 7)
    expected = sorted(sum(right[number::7]) / 5 for number in range(7))
    assert [share.share for share in figures.speakers] == expected


def test_a_run_without_speakers_has_no_rows_of_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 10)
    table = replace(run.predictions, speakers=(None,) * 10)
    assert gather_figures(replace(run, predictions=table), "run").speakers == []


def test_the_reliability_curve_leaves_out_empty_bins_and_says_its_numbers() -> None:
    full = {"low": 0.7, "high": 0.8, "n": 4, "confidence": 0.75, "accuracy": 0.5}
    empty = {"low": 0.8, "high": 0.9, "n": 0, "confidence": None, "accuracy": None}
    chart = draw_reliability({"ece": 0.25, "bins": [full, empty]})
    assert chart is not None
    assert "<title>Reliability: 75 % sure, 50 % right</title>" in chart
    assert chart.count("<circle") == 1
    assert draw_reliability({"ece": None, "bins": [empty]}) is None


def test_training_curves_are_the_heads_and_their_mean() -> None:
    loss, accuracy = draw_history(
        [row(seed, epoch, epoch + seed) for seed in (1, 3) for epoch in (1, 2)]
    )
    assert loss.count('class="thin"') == 2
    assert loss.count('class="line"') == 1
    assert "the mean of all heads ends at 4<" in loss  # (3 + 5) / 2
    assert "ends at 1<" in accuracy
    assert "dasharray" not in loss


def test_clips_held_out_are_dashed_and_no_history_has_no_curves() -> None:
    loss, _ = draw_history([row(0, 1, 2.0, held_out=3.0), row(0, 2, 1.0, held_out=2.5)])
    assert loss.count("dasharray") == 1
    assert "ends at 1 and 2.5<" in loss
    assert draw_history([]) == []
