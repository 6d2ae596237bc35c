"""The table of a sweep: which figure stands in which column."""

from __future__ import annotations

import csv
import io
from typing import Any

from trainer.sweeps.cell import CellResult
from trainer.sweeps.file import Base, CellText, Sweep
from trainer.sweeps.table import format_csv, format_markdown, make_row, make_table


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
    return {"ensemble": whole, "over_members": {"accuracy": spread}}


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


def test_every_figure_stands_in_its_column_in_percent() -> None:
    assert make_row(CELL, CellResult("a|b", "ok", report=report(speakers=24))) == {
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
        "n_both": 13,
        "accuracy_both": 43.0,
        "missing": 7,
        "paper": 61.1,
        "paper_note": "note",
        "reason": "",
        "warnings": "first; second",
    }


def test_what_is_not_defined_is_empty_and_what_was_told_of_some_cells_names_them() -> None:
    other = CellText("c")
    third = CellText("d")
    sweep = Sweep("s", "S", Base(), (), (CELL, other, third))
    results = [
        CellResult("a|b", "ok", report=report(both=False, deviation=None)),
        CellResult("c", "ok", report={**report(), "warnings": ["second"]}),
        CellResult("d", "failed", "=why()"),
    ]
    rows = list(csv.DictReader(io.StringIO(format_csv(sweep, results))))
    assert (rows[0]["n_both"], rows[0]["accuracy_both"]) == ("0", "")
    assert (rows[0]["accuracy_deviation"], rows[1]["accuracy_deviation"]) == ("", "3.100")
    assert (rows[2]["n"], rows[2]["reason"]) == ("", "'=why()")  # text for a spreadsheet too
    lines = format_markdown(sweep, results).splitlines()
    assert "| a\\|b | 41 | 37.0 % | [17.0, 73.0] | 19.0 % | 23.0 % | 29.0 % | 61.1 % |" in lines
    assert "| c | 41 | 37.0 % | [17.0, 73.0] | 19.0 % | 23.0 % | 29.0 ± 3.1 % | - |" in lines
    assert "| d | failed | - | - | - | - | - | - |" in lines
    assert lines[-6].endswith("Intervals are Wilson's, which take clips as independent.")
    assert "- warning (a|b): first" in lines
    assert "- warning (every cell): second" in lines
    assert "- d: failed: =why()" in lines
    assert [row["cell"] for row in make_table(sweep, results)["cells"]] == ["a|b", "c", "d"]


def test_intervals_by_speaker_stand_in_the_table_and_are_named() -> None:
    sweep = Sweep("s", "S", Base(), (), (CELL, CellText("c")))
    results = [
        CellResult("a|b", "ok", report=report(speakers=24)),
        CellResult("c", "ok", report=report()),
    ]
    text = format_markdown(sweep, results)
    assert "| a\\|b | 41 | 37.0 % | [13.0, 79.0] |" in text
    assert "| c | 41 | 37.0 % | [17.0, 73.0] |" in text
    named = "Intervals are by speaker (cluster bootstrap, 24 speakers)"
    assert f"{named}; Wilson's where speakers aren't known." in text
    assert f"{named}." in format_markdown(sweep, [results[0]] * 2)
