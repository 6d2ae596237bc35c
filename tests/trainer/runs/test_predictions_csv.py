"""Predictions as CSV: every digit comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.predictions import (
    PredictionsError,
    format_predictions,
    mean_predictions,
    read_predictions,
)

TABLE = predictions_of(
    "ah", "as", folds=(3, None), modalities=("audio", "audio+video"), speakers=(None, "s7")
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_written_as_the_columns_say() -> None:
    table = replace(TABLE, probabilities=np.array([[0.5, 0.25, 0.25], [0.125, 0.25, 0.625]]))
    assert format_predictions(table) == (
        "clip,label,prediction,p_angry,p_happy,p_sad,fold,split,modalities,untrained,speaker\n"
        "c00,angry,angry,0.5,0.25,0.25,3,,audio,false,\n"
        "c01,happy,sad,0.125,0.25,0.625,,,audio+video,false,s7\n"
    )


def test_everything_reads_back_and_the_ensemble_of_what_was_read_is_the_same(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(0)
    classes = ('a, "quoted" class', "p_p_", "ünïcode")
    tables = []
    for seed in range(3):
        probabilities = generator.dirichlet(np.ones(3), size=97)
        tables.append(
            replace(
                predictions_of("a" * 97, "a" * 97, folds=[seed % 2] * 97, untrained=seed == 1),
                classes=classes,
                labels=(classes[0],) * 97,
                probabilities=probabilities,
            )
        )
    read = [
        read_predictions(write(tmp_path / f"{i}.csv", format_predictions(table)))
        for i, table in enumerate(tables)
    ]
    for before, after in zip(tables, read, strict=True):
        assert (before.probabilities == after.probabilities).all()
        # Equal arrays have no one truth: columns are compared without them.
        assert vars(before) | {"probabilities": None} == vars(after) | {"probabilities": None}
    assert format_predictions(mean_predictions(read)) == format_predictions(
        mean_predictions(tables)
    )


def test_a_table_of_an_older_run_has_no_speakers(tmp_path: Path) -> None:
    lines = format_predictions(TABLE).splitlines()
    text = "".join(line.rpartition(",")[0] + "\n" for line in lines)
    assert text.startswith("clip,label,prediction,p_angry,p_happy,p_sad,fold,split,modalities,untr")
    read = read_predictions(write(tmp_path / "old.csv", text))
    assert read.speakers == (None, None)
    assert (read.folds, read.modalities) == (TABLE.folds, TABLE.modalities)
    assert read_predictions(write(tmp_path / "n.csv", format_predictions(TABLE))).speakers == (
        None, "s7",
    )  # fmt: skip


def test_a_class_that_a_spreadsheet_would_run_is_refused_where_it_comes_in(tmp_path: Path) -> None:
    text = format_predictions(TABLE)
    with pytest.raises(
        PredictionsError, match=r"p\.csv: class '=sad' has '=' where a formula begi"
    ):
        read_predictions(write(tmp_path / "p.csv", text.replace("sad", "=sad")))
    numbers = replace(TABLE, classes=("-1", "0", "+1"), labels=("+1", "-1"))
    assert read_predictions(write(tmp_path / "p.csv", format_predictions(numbers))).labels == (
        "+1", "-1",
    )  # fmt: skip


def test_another_table_is_refused(tmp_path: Path) -> None:
    for text in ("", "clip,label\n", "clip,label,prediction,angry,fold,split,modalities,untrained"):
        with pytest.raises(PredictionsError, match="is not a table of predictions: expected"):
            read_predictions(write(tmp_path / "t.csv", text))


def test_a_damaged_row_is_named_by_its_line(tmp_path: Path) -> None:
    text = format_predictions(TABLE)
    cut = text[: text.rindex(",audio")] + "\n"
    with pytest.raises(PredictionsError, match=r"t\.csv, line 3: 8 values for 11 columns"):
        read_predictions(write(tmp_path / "t.csv", cut))
    with pytest.raises(PredictionsError, match="line 2: could not convert string to float: 'x'"):
        read_predictions(write(tmp_path / "t.csv", text.replace("0.7", "x", 1)))
    with pytest.raises(
        PredictionsError, match=r"line 3: .* most probable class 'sad', got 'happy'"
    ):
        read_predictions(write(tmp_path / "t.csv", text.replace("happy,sad", "happy,angry")))
    with pytest.raises(PredictionsError, match=r"line 2: expected a label of angry.*got 'bored'"):
        read_predictions(write(tmp_path / "t.csv", text.replace("c00,angry", "c00,bored")))
    with pytest.raises(PredictionsError, match=r"t\.csv: clip c00 stands twice"):
        read_predictions(write(tmp_path / "t.csv", text.replace("c01", "c00")))
