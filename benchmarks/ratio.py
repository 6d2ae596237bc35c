"""Row of the table of ratios: a measured value beside its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A measured value beside its target.

    Args:
        what: the task, for a reader.
        measured: the figure.
        target: what it shall reach.
        unit: of both; a ratio's is "x".
        most: whether the target is the largest allowed figure instead of the smallest.
        source: where the target comes from, if it is another's figure.
    """

    what: str
    measured: float
    target: float
    unit: str = "x"
    most: bool = False
    source: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is reached."""
        return self.measured <= self.target if self.most else self.measured >= self.target

    def to_json(self) -> dict[str, Any]:
        """Return the row for a result file."""
        return {**vars(self), "measured": float(f"{self.measured:.5g}"), "holds": self.holds}


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows of result files as a Markdown table."""
    lines = ["| What | Measured | Target | |", "|---|---|---|---|"]
    for row in rows:
        bound = "at most" if row["most"] else "at least"
        unit = f" {row['unit']}" if row["unit"] else ""
        source = f" ({row['source']})" if row.get("source") else ""
        verdict = "holds" if row["holds"] else "**missed**"
        lines.append(
            f"| {row['what']} | {row['measured']:.4g}{unit} | "
            f"{bound} {row['target']:g}{unit}{source} | {verdict} |"
        )
    return "\n".join(lines)
