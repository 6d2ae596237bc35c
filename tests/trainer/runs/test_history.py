"""The history of a run as a table and as curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from trainer.runs import history
from trainer.runs.history import HistoryRow, format_history, plot_history, read_history
from trainer.training.trained import EpochRecord

ROWS = [
    HistoryRow(None, 3, "choose", EpochRecord(1, 0.1 + 0.2, 0.5, 1e-3, 0.25, 0.75, 1 / 3)),
    HistoryRow(2, 3, "train", EpochRecord(1, 0.5, 0.25, 1e-3, 0.125)),
]


def test_every_figure_of_an_epoch_is_a_cell() -> None:
    assert format_history(ROWS[1:]) == (
        "fold,seed,stage,epoch,loss,train_accuracy,validation_loss,validation_accuracy,"
        "learning_rate,seconds\n2,3,train,1,0.5,0.25,,,0.001,0.125\n"
    )


def test_a_history_reads_back(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(format_history(ROWS))
    assert read_history(tmp_path / "h.csv") == ROWS


def test_another_table_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"h\.csv is not a history: expected the columns fold"):
        read_history(tmp_path / "h.csv")


def test_curves_are_of_kept_heads_and_of_held_out_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Mapping[str, object]] = []

    def keep(points: list[Mapping[str, object]], **_: object) -> bytes:
        drawn.extend(points)
        return b""

    monkeypatch.setattr(history, "plot_curves", keep)
    plot_history(ROWS, title="t")
    # The training that only chose the epochs shows its held-out clips, the other its training.
    assert [point["training clips"] for point in drawn] == [None, 0.5]
    assert [point["held-out clips"] for point in drawn] == [0.75, None]


def test_a_history_is_drawn() -> None:
    assert plot_history(ROWS, title="t", untrained=True).startswith(b"\x89PNG")
