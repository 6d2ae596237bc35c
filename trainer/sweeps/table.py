"""Table of a sweep as rows, for CSV and JSON, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.cells import format_cells
from trainer.sweeps.cell import CellResult
from trainer.sweeps.choice import CRITERION, InnerScore
from trainer.sweeps.file import CellText, Sweep

COLUMNS = (
    "cell",
    "state",
    "n",
    "accuracy",
    "interval_low",
    "interval_high",
    "speakers",
    "interval_by_speaker_low",
    "interval_by_speaker_high",
    "uar",
    "macro_f1",
    "members",
    "accuracy_mean",
    "accuracy_deviation",
    "folds",
    "accuracy_folds",
    "deviation_folds",
    "n_both",
    "accuracy_both",
    "missing",
    "against",
    "against_n",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "p_holm",
    "tests",
    "paired_by",
    "paper",
    "paper_note",
    "reason",
    "warnings",
)
_SMALL = {"p_value", "p_holm"}  # three digits of these count, not three decimals
CHOOSING = (
    "These are test clips: taking the best row of this table is choosing on them, and its accuracy "
    "is then too optimistic. --select inner chooses inside the training clips."
)
INSIDE = (
    "For each fold the row was chosen inside its training clips, and tested on the fold alone: "
    "nothing was chosen on the clips that are reported on, and no other row was tested on them."
)
VALIDATION = (
    "This is a validation report: a row may be chosen by it, but its accuracy here is then too "
    "optimistic. Report the chosen row on test clips (--split test)."
)


def format_csv(sweep: Sweep, results: Sequence[CellResult]) -> str:
    """Write a row per cell; shares are in percent with three decimals, empty where undefined."""
    rows = _make_rows(sweep, results)
    return format_cells(COLUMNS, [[_text(name, row[name]) for name in COLUMNS] for row in rows])


def make_table(
    sweep: Sweep, results: Sequence[CellResult], scores: Sequence[InnerScore] = ()
) -> dict[str, Any]:
    """Return the title, the clips that it is about, and a row per cell, ready for JSON.

    Args:
        sweep: the sweep, settled; see ``settle_sweep``.
        results: of all its cells.
        scores: of the rows inside the training clips, where one was chosen so.
    """
    inner = {"criterion": CRITERION, "scores": [score.to_json() for score in scores]}
    return {
        "title": sweep.title,
        "reported_on": describe_clips(sweep, results),
        "inner": inner if sweep.base.chooses_row else None,
        "cells": _make_rows(sweep, results),
    }


def _make_rows(sweep: Sweep, results: Sequence[CellResult]) -> list[dict[str, Any]]:
    return [make_row(sweep, *pair) for pair in zip(sweep.cells, results, strict=True)]


def describe_clips(sweep: Sweep, results: Sequence[CellResult]) -> dict[str, Any]:
    """Say on which clips a table reports, and what choosing a row of it would be.

    Args:
        sweep: the sweep, its split settled; see ``settle_sweep``.
        results: of all cells.

    Returns:
        JSON: division, split and the splits trained on, the numbers of clips and speakers that
        rows report on, and the warning about choosing.
    """
    wholes = [result.report["all"]["ensemble"] for result in results if result.report]
    speakers = {found["speakers"] for whole in wholes if (found := whole.get("by_speaker"))}
    trained_on = {cell.train_on or sweep.base.train_on for cell in sweep.cells if not cell.ensemble}
    base = sweep.base
    validation = not base.folds and base.split == "val"
    choosing = INSIDE if base.chooses_row else VALIDATION if validation else CHOOSING
    return {
        "clips": name_division(sweep),
        "folds": base.folds,
        "split": None if base.folds else base.split,
        "trained_on": [] if base.folds else sorted("+".join(splits) for splits in trained_on),
        "n": sorted({whole["n"] for whole in wholes}),
        "speakers": sorted(speakers),
        "choosing": choosing,
    }


def name_division(sweep: Sweep) -> str:
    """Name the clips that a sweep reports on, in few words."""
    if sweep.base.folds:
        return f"every labelled clip ({sweep.base.folds})"
    return f"the split {sweep.base.split}"


def make_row(sweep: Sweep, cell: CellText, result: CellResult) -> dict[str, Any]:
    """Gather a cell's figures under ``COLUMNS``; shares in percent."""
    paper, note = find_paper(sweep, cell)
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "cell": cell.name,
        "state": result.state,
        "paper": paper,
        "paper_note": note,
        "reason": result.reason,
    }
    if against := result.against:
        row |= {
            "against": against.row,
            "against_n": against.n,
            "difference": _percent(against.difference),
            "difference_low": _percent(against.interval[0]),
            "difference_high": _percent(against.interval[1]),
            "p_value": against.p_value,
            "p_holm": against.p_holm,
            "tests": against.tests,
            "paired_by": against.paired_by,
        }
    if result.report is None:
        return row
    figures = result.report["all"]
    whole, spread = figures["ensemble"], figures["over_members"]["accuracy"]
    folds = figures["over_folds"]["accuracy"]
    both = (result.report["both"] or {"ensemble": {"n": 0, "accuracy": None}})["ensemble"]
    interval = whole["interval"] or (None, None)
    by_speaker = whole.get("by_speaker") or {"speakers": None, "interval": (None, None)}
    return row | {
        "n": whole["n"],
        "accuracy": _percent(whole["accuracy"]),
        "interval_low": _percent(interval[0]),
        "interval_high": _percent(interval[1]),
        "speakers": by_speaker["speakers"],
        "interval_by_speaker_low": _percent(by_speaker["interval"][0]),
        "interval_by_speaker_high": _percent(by_speaker["interval"][1]),
        "uar": _percent(whole["uar"]),
        "macro_f1": _percent(whole["macro_f1"]),
        "members": spread["count"],
        "accuracy_mean": _percent(spread["mean"]),
        "accuracy_deviation": _percent(spread["deviation"]),
        "folds": folds["count"],
        "accuracy_folds": _percent(folds["mean"]),
        "deviation_folds": _percent(folds["deviation"]),
        "n_both": both["n"],
        "accuracy_both": _percent(both["accuracy"]),
        "missing": result.report["missing"]["count"],
        "warnings": "; ".join(result.report["warnings"]),
    }


def find_paper(sweep: Sweep, cell: CellText) -> tuple[float | None, str]:
    """Return the paper's figure that belongs beside ours, and what it is of.

    On the split test that is the figure of test clips, where the paper prints both.
    """
    if sweep.base.split == "test" and not sweep.base.folds and sweep.paper.note_test:
        paper, note = cell.paper_test, sweep.paper.note_test
    else:
        paper, note = cell.paper, sweep.paper.note
    return paper, cell.paper_note or (note if paper is not None else "")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if name in _SMALL else f"{value:.3f}"
    return str(value)
