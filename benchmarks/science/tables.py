"""Shared by the accuracy benchmarks: importing, figures of predictions, Markdown tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.runs.compare import compare_predictions
from trainer.runs.metrics import measure, spread
from trainer.runs.predictions import Predictions, mean_predictions


def import_set(work: Path, manifest: Path, name: str, source: Path, *options: str) -> None:
    """Import an npz into the cache of a benchmark, by the real command."""
    command = [sys.executable, "-m", "pipeline", "cache", "import", str(work / "cache"), name]
    command += ["--from", "npz", str(source), "--manifest", str(manifest), "--allow-missing"]
    subprocess.run([*command, *options], check=True)


def keep(table: Predictions, clips: set[str]) -> Predictions:
    """Keep the rows of some clips."""
    return table.select(lambda i: table.clips[i] in clips)


def describe(members: Sequence[Predictions]) -> dict[str, Any]:
    """Figures of the mean of some members, and their spread over the members."""
    together = mean_predictions(members)
    found = measure(together.labels, together.predictions, together.classes)
    single = spread([measure(m.labels, m.predictions, m.classes).accuracy for m in members])
    return {
        "n": found.n,
        "correct": found.correct,
        "accuracy": found.accuracy,
        "interval": found.interval,
        "uar": found.uar,
        "macro_f1": found.macro_f1,
        "member_mean": single.mean,
        "member_deviation": single.deviation,
        "members": single.count,
    }


def describe_gain(before: Predictions, after: Predictions) -> dict[str, Any]:
    """The paired difference of two systems on the same clips."""
    found = compare_predictions(before, after).to_json()
    return {key: found[key] for key in ("n", "difference", "interval", "p_value")} | {
        "only_before_right": found["only_a_right"],
        "only_after_right": found["only_b_right"],
    }


def percent(share: float | None) -> str:
    """A share in percent with one digit."""
    return "" if share is None else f"{100 * share:.1f}"


def accuracy_cells(figures: Mapping[str, Any]) -> list[str]:
    """Accuracy of the ensemble with its interval, and mean and deviation of its members."""
    low, high = figures["interval"]
    cells = [f"{percent(figures['accuracy'])} [{percent(low)}, {percent(high)}]"]
    members = percent(figures["member_mean"])
    if figures["member_deviation"] is not None:
        members += f" ± {percent(figures['member_deviation'])}"
    return [*cells, members, percent(figures["uar"])]


def gain_cell(gain: Mapping[str, Any]) -> str:
    """A paired difference in points, its interval and McNemar's p."""
    low, high = gain["interval"]
    return (
        f"{100 * gain['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}], "
        f"p = {gain['p_value']:.2g}"
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"
