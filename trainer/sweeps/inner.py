"""Choose the row of a sweep for each fold inside its training clips, and test that row alone.

Rows are scored by nested predictions (``trainer.runs.nested``): no head that is tested is trained
before the choice is made, and of rows that no fold chooses none ever is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any, Protocol

from cache.cells import format_cells
from cache.commit import write_whole
from trainer.runs.ensemble import join_facts
from trainer.runs.folder import CONFIG, Run, read_nested, read_run
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    mean_predictions,
    pool_predictions,
)
from trainer.runs.report import finish_run, read_missing
from trainer.runs.run_writer import RunWriter
from trainer.settings import format_toml
from trainer.sweeps.cell import SCORED, CellResult, Cells
from trainer.sweeps.choice import CRITERION, InnerScore, choose_rows
from trainer.sweeps.file import CellText, Paper, Sweep

CHOSEN, SCORES_CSV = "chosen", "inner.csv"
ROW = "chosen inside the training clips"


class Train(Protocol):
    """Trainer of cells; see ``trainer.sweeps.train.train_cells``."""

    def __call__(self, cells: Cells, *, inside: bool = False) -> Iterator[CellResult]:
        """Train cells, yielding each result."""
        ...


def choose_inside(
    sweep: Sweep,
    folders: Mapping[str, Path],
    skipped: Mapping[str, CellResult],
    output: Path,
    train: Train,
    tell: Callable[[CellResult], None],
) -> tuple[Sweep, list[CellResult], list[InnerScore]]:
    """Score all rows inside the training clips, choose one for each fold, and test it there.

    Args:
        sweep: the sweep.
        folders: run folders of its cells, by name.
        skipped: the results of cells that can't be run, or not be chosen.
        output: the sweep's folder; ``chosen`` in it becomes the run of the choice, and
            ``inner.csv`` its table of scores.
        train: trains cells, or the heads of their nested predictions alone.
        tell: hears of each row that is scored, and of the choice.

    Returns:
        The sweep with the choice as its first row; the results of all rows, those of the others
        ``scored`` or with the reason why they couldn't be; and the scores.
    """
    results = dict(skipped)
    rows = [cell for cell in sweep.cells if cell.name not in skipped]
    plain = [(cell, folders[cell.name]) for cell in rows if not cell.ensemble]
    for result in train(plain, inside=True):
        results[result.cell] = result
        tell(result)
    nested: dict[str, Mapping[int | None, Predictions]] = {}
    for cell in rows:
        members = cell.ensemble or (cell.name,)
        broken = [results[name] for name in members if results[name].state != SCORED]
        if cell.ensemble and broken:
            reason = f"{broken[0].cell}: {broken[0].reason}"
            results[cell.name] = CellResult(cell.name, broken[0].state, reason)
        elif not broken:
            try:
                nested[cell.name] = _read_nested(cell, [folders[name] for name in members])
                results[cell.name] = CellResult(cell.name, SCORED)
            except (ValueError, OSError) as error:
                results[cell.name] = CellResult(cell.name, "failed", str(error))
        if cell.ensemble:
            tell(results[cell.name])
    scores = choose_rows(nested) if nested else []
    choice = _test(sweep, folders, output, scores, train)
    tell(choice)
    ordered = [choice, *(results[cell.name] for cell in sweep.cells)]
    cells = (CellText(ROW), *sweep.cells)
    return replace(sweep, cells=cells, axes=(), paper=Paper()), ordered, scores


def _test(
    sweep: Sweep,
    folders: Mapping[str, Path],
    output: Path,
    scores: Sequence[InnerScore],
    train: Train,
) -> CellResult:
    """Train the chosen rows, and put the folds together that each was chosen for."""
    if not scores:
        return CellResult(ROW, "failed", "no row could be scored")
    write_whole(output / SCORES_CSV, _format_scores(scores))
    cells = {cell.name: cell for cell in sweep.cells}
    chosen = {score.fold: cells[score.cell] for score in scores if score.chosen}
    names = {name for cell in chosen.values() for name in cell.ensemble or (cell.name,)}
    tested = list(train([(cell, folders[cell.name]) for cell in sweep.cells if cell.name in names]))
    if failed := [f"{one.cell}: {one.reason}" for one in tested if one.state != "ok"]:
        return CellResult(ROW, "failed", "; ".join(failed))
    runs = {name: read_run(folders[name]) for name in sorted(names)}
    return CellResult(ROW, "ok", report=_write_run(output / CHOSEN, chosen, runs, scores))


def _read_nested(cell: CellText, folders: Sequence[Path]) -> dict[int | None, Predictions]:
    """Read the nested predictions of a row, joined over its members."""
    members = [read_nested(folder) for folder in folders]
    if any(member.keys() != members[0].keys() for member in members):
        raise PredictionsError("its cells have features in different folds")
    return {fold: _join(cell, [member[fold] for member in members]) for fold in members[0]}


def _join(cell: CellText, tables: Sequence[Predictions]) -> Predictions:
    return mean_predictions(tables, product=cell.method == "product")


def _write_run(
    output: Path,
    chosen: Mapping[int | None, CellText],
    runs: Mapping[str, Run],
    scores: Sequence[InnerScore],
) -> Mapping[str, Any]:
    """Write the predictions of the chosen rows, each in its fold alone, as a run."""
    parts, missing = [], []
    for fold, cell in chosen.items():
        members = [runs[name] for name in cell.ensemble or (cell.name,)]
        table = _join(cell, [run.predictions for run in members])
        inside = [number == fold for number in table.folds]
        parts.append(table.select(inside.__getitem__))
        missing += [clip for clip in read_missing(members[0]) if clip.fold == fold]
    pooled = pool_predictions(parts)
    facts, warnings = join_facts(list(runs.values()))
    info = {
        "kind": "choice",
        "classes": list(pooled.classes),
        **facts,
        "choice": {"criterion": CRITERION, "scores": [score.to_json() for score in scores]},
    }
    rows = {"split" if fold is None else str(fold): cell.name for fold, cell in chosen.items()}
    with RunWriter(output, info, overwrite=True) as writer:
        writer.write(format_toml({"choice": rows}), CONFIG)
        return finish_run(
            writer,
            title=f"one of {len({score.cell for score in scores})} rows a fold, chosen inside its "
            "training clips",
            pooled=pooled,
            members={},
            members_are="runs",
            missing=missing,
            warnings=warnings,
        )


def _format_scores(scores: Sequence[InnerScore]) -> str:
    rows = [[*astuple(score)[:-1], str(score.chosen).lower()] for score in scores]
    return format_cells([field.name for field in fields(InnerScore)], rows)
