"""The table of a sweep: which figure stands in which column."""

from __future__ import annotations

import csv
import io
from typing import Any

from trainer.sweeps.against import Against
from trainer.sweeps.cell import CellResult
from trainer.sweeps.file import Axis, Base, CellText, Paper, Sweep
from trainer.sweeps.markdown import format_markdown
from trainer.sweeps.table import describe_clips, format_csv, make_row, make_table


def figures(n: int, accuracy: float, deviation: float | None, speakers: int = 0) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "n": n,
        "accuracy": accuracy,
        "interval": [0.17, 0.73],
        "uar": 0.19,
        "macro_f1": 0.23,
    }
    if speakers:
        whole["by_speaker"] = {"speakers": speakers, "interval": [0.13, 0.79]}
    spread = {"mean": 0.29, "deviation": deviation, "count": 3}
    folds = {"mean": 0.31, "deviation": 0.047, "count": 5}
    return {
        "ensemble": whole,
        "over_members": {"accuracy": spread},
        "over_folds": {"accuracy": folds},
    }


def report(
    *, both: bool = True, deviation: float | None = 0.031, speakers: int = 0
) -> dict[str, Any]:
    return {
        "all": figures(41, 0.37, deviation, speakers),
        "both": figures(13, 0.43, None) if both else None,
        "missing": {"count": 7},
        "warnings": ["first", "second"],
        "untrained": False,
    }


CELL = CellText("a|b", paper=61.1, paper_note="note")
AGAINST = Against("c", 40, 0.05, (-0.02, 0.11), 0.0123, 0.0246, 2, "speaker", 24)


def sweep_of(*cells: CellText, **fields: Any) -> Sweep:
    return Sweep("s", "S", fields.pop("base", Base()), fields.pop("axes", ()), cells, **fields)


def test_every_figure_stands_in_its_column_in_percent() -> None:
    result = CellResult("a|b", "ok", report=report(speakers=24), against=AGAINST)
    assert make_row(sweep_of(CELL), CELL, result) == {
        "cell": "a|b",
        "state": "ok",
        "n": 41,
        "accuracy": 37.0,
        "interval_low": 17.0,
        "interval_high": 73.0,
        "speakers": 24,
        "interval_by_speaker_low": 13.0,
        "interval_by_speaker_high": 79.0,
        "uar": 19.0,
        "macro_f1": 23.0,
        "members": 3,
        "accuracy_mean": 28.999999999999996,
        "accuracy_deviation": 3.1,
        "folds": 5,
        "accuracy_folds": 31.0,
        "deviation_folds": 4.7,
        "n_both": 13,
        "accuracy_both": 43.0,
        "missing": 7,
        "against": "c",
        "against_n": 40,
        "difference": 5.0,
        "difference_low": -2.0,
        "difference_high": 11.0,
        "p_value": 0.0123,
        "p_holm": 0.0246,
        "tests": 2,
        "paired_by": "speaker",
        "paper": 61.1,
        "paper_note": "note",
        "reason": "",
        "warnings": "first; second",
    }


def test_what_is_not_defined_is_empty_and_what_was_told_of_some_cells_names_them() -> None:
    other = CellText("c")
    third = CellText("d")
    sweep = sweep_of(CELL, other, third)
    results = [
        CellResult("a|b", "ok", report=report(both=False, deviation=None), against=AGAINST),
        CellResult("c", "ok", report={**report(), "warnings": ["second"]}),
        CellResult("d", "failed", "=why()"),
    ]
    rows = list(csv.DictReader(io.StringIO(format_csv(sweep, results))))
    assert (rows[0]["n_both"], rows[0]["accuracy_both"]) == ("0", "")
    assert (rows[0]["accuracy_deviation"], rows[1]["accuracy_deviation"]) == ("", "3.100")
    assert (rows[2]["n"], rows[2]["reason"]) == ("", "'=why()")  # text for a spreadsheet too
    assert rows[0]["p_holm"] == "0.0246"
    lines = format_markdown(sweep, results).splitlines()
    figures = "41 | 37.0 % | - | [17.0, 73.0] | 19.0 % | 23.0 %"
    difference = "+5.0 [-2.0, +11.0], p 0.025"
    assert f"| a\\|b | {figures} | 29.0 % | {difference} | 61.1 % |" in lines
    assert f"| c | {figures} | 29.0 ± 3.1 % | - | - |" in lines
    assert "| d | failed | - | - | - | - | - | - | - | - |" in lines
    assert lines[-7].endswith("95 % intervals are Wilson's, which take clips as independent.")
    assert "p is corrected for 2 comparisons (Holm), the interval is not." in lines[-6]
    assert "- warning (a|b): first" in lines
    assert "- warning (every cell): second" in lines
    assert "- d: failed: =why()" in lines
    assert [row["cell"] for row in make_table(sweep, results)["cells"]] == ["a|b", "c", "d"]


def test_intervals_by_speaker_stand_in_the_table_and_are_named() -> None:
    sweep = sweep_of(CELL, CellText("c"))
    results = [
        CellResult("a|b", "ok", report=report(speakers=24)),
        CellResult("c", "ok", report=report()),
    ]
    text = format_markdown(sweep, results)
    assert "| a\\|b | 41 | 37.0 % | [13.0, 79.0] | [17.0, 73.0] |" in text
    assert "| c | 41 | 37.0 % | - | [17.0, 73.0] |" in text
    assert "intervals are by speaker (cluster bootstrap, 24 speakers) and Wilson's" in text
    few = [CellResult("a|b", "ok", report=report(speakers=4))] * 2
    assert "4 speakers; so few speakers make them too narrow)" in format_markdown(sweep, few)


def test_the_table_says_which_clips_it_is_about_and_what_choosing_a_row_would_be() -> None:
    results = [CellResult("a|b", "ok", report=report(speakers=24))]
    said = {
        split or folds: (describe_clips(sweep, results), format_markdown(sweep, results))
        for split, folds in (("test", None), ("val", None), (None, "speaker:3"))
        for sweep in [sweep_of(CELL, base=Base(split=split, folds=folds))]
    }
    facts, text = said["test"]
    assert facts | {"choosing": ""} == {
        "clips": "the split test",
        "folds": None,
        "split": "test",
        "trained_on": ["train"],
        "n": [41],
        "speakers": [24],
        "choosing": "",
    }
    assert "the split test, heads trained on train: n 41, 24 speakers. These are test" in text
    assert "taking the best row of this table is choosing on them" in text
    facts, text = said["val"]
    assert "This is a validation report" in text
    assert "These are test clips" not in text
    facts, text = said["speaker:3"]
    assert (facts["split"], facts["folds"], facts["trained_on"]) == (None, "speaker:3", [])
    assert "tested once, by heads that were not trained on its fold" in text
    assert "These are test clips" in text


def test_a_papers_table_stands_in_its_own_columns_with_ours_beside_it() -> None:
    first = CellText("one", printed={"Sub": "(1)", "Fusion": "x"}, paper_test=13.1)
    second = CellText("two", printed={"Sub": "(2)", "Fusion": "y"}, paper=11.9, paper_test=17.0)
    paper = Paper(
        caption="Table 4: Submissions.",
        columns=("Sub", "Val", "Test", "Fusion"),
        accuracies=("Val", "Test"),
        note="19 clips",
        note_test="23 clips",
    )
    sweep = sweep_of(first, second, CELL, paper=paper, base=Base(split="val"))
    results = [
        CellResult("one", "skipped", "why"),
        CellResult("two", "ok", report=report()),
        CellResult("a|b", "ok", report=report()),
    ]
    text = format_markdown(sweep, results)
    table = text.split("**Table 4: Submissions.**\n\n")[1].split("\n\n")[0].splitlines()
    assert table == [
        "| Sub | Val | Test | Fusion | ours |",
        "|---|---|---|---|---:|",
        "| (1) | -- | 13.1 % | x | - |",
        "| (2) | 11.9 % | 17 % | y | 37.0 % |",
    ]
    assert "ours, on the split val; the others are the paper's (Val: 19 clips; Test: 23" in text
    assert [row["paper"] for row in make_table(sweep, results)["cells"]] == [None, 11.9, 61.1]
    tested = sweep_of(first, second, paper=paper, base=Base(split="test"))
    rows = make_table(tested, results[:2])["cells"]
    assert [(row["paper"], row["paper_note"]) for row in rows] == [
        (13.1, "23 clips"),
        (17.0, "23 clips"),
    ]


def test_a_papers_grid_stands_as_rows_and_columns() -> None:
    axes = tuple(
        Axis(name, labels, ({}, {})) for name, labels in (("V", ("p", "q")), ("A", ("s", "t")))
    )
    cells = [CellText(f"{v} / {a}", paper=11.5) for v in "pq" for a in "st"]
    paper = Paper(caption="Table 2", note="19 clips")
    sweep = sweep_of(*cells, axes=axes, paper=paper, base=Base(folds="clip:2"))
    results = [CellResult(cell.name, "ok", report=report()) for cell in cells]
    text = format_markdown(sweep, results)
    assert "| V \\ A | s | t |\n|---|---:|---:|\n| p | 37.0 % (11.5 %) | 37.0 % (11.5 %) |" in text
    assert "Ours, on every labelled clip (clip:2); in brackets the paper's (19 clips)." in text
