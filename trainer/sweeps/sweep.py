"""Run a sweep: every cell as a run folder, resumable per cell, one table out."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cache.codec import fields_to_json
from cache.commit import temporary_writer, write_whole
from cache.manifest.manifest import Manifest, read_manifest
from cache.sets.feature_set import SetError, find_set
from cache.settings import merge, read_toml
from trainer.data.folds import SplitError
from trainer.data.splits import plan_folds
from trainer.data.stand_in import replace_absent_network
from trainer.runs.folder import CONFIG, PREDICTIONS, RunError, format_json, read_json
from trainer.runs.listener import Forecast
from trainer.runs.lock import LOCK, FolderLock
from trainer.runs.predictions import read_predictions
from trainer.runs.run_writer import name_other_settings
from trainer.settings import used_set_names
from trainer.sweeps.against import compare_with_first
from trainer.sweeps.cell import (
    CellResult,
    Cells,
    Place,
    cell_settings,
    join_cells,
    why_not_trained,
)
from trainer.sweeps.choice import InnerScore
from trainer.sweeps.file import TABLE_JSON, CellText, Sweep, SweepError
from trainer.sweeps.heat_map import plot_heat_map
from trainer.sweeps.inner import choose_inside
from trainer.sweeps.markdown import format_markdown
from trainer.sweeps.table import format_csv, make_table
from trainer.sweeps.train import train_cells

CELLS, INFO = "cells", "sweep.json"
TABLE_CSV, TABLE_MARKDOWN, HEAT_MAP = "table.csv", "table.md", "heatmap.png"
FORMAT = 1
FOLDS_SKIP = "it adds a split to the training clips, and with folds there are none"


def run_sweep(
    sweep: Sweep,
    place: Place,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    on_cell: Callable[[CellResult], None] | None = None,
    on_forecast: Callable[[Forecast], None] | None = None,
) -> list[CellResult]:
    """Run every cell and write the table: ``table.csv``, ``.md``, ``.json``, ``heatmap.png``.

    With ``Base.select`` "inner" the rows are scored inside the training clips, and only the one
    that is chosen there for a fold is tested on it; see ``trainer.sweeps.inner``.

    A run that is there and the same (settings, clips, entries, seeds, device, threads) is kept,
    an interrupted one resumed. A cell that fails doesn't stop the others; one whose head can't take
    its features fails before any is trained. Cells that differ in attention and seeds alone are
    trained as one stack; see ``stack_cells``.

    Args:
        sweep: the sweep.
        place: where and on what.
        jobs: processes; each trains a cell, or a stack of cells, at a time. A stack is parted
            where there are more processes than stacks.
        overwrite: replace cells that were trained with other settings.
        on_cell: hears of each cell when it is done.
        on_forecast: hears twice a second, in another thread, how long the cells that are still to
            be trained take, as far as that is known.

    Returns:
        One result per row of the table, in its order: the cells, before them the choice where one
        is made. The same whatever ``jobs`` is, up to rounding.

    Raises:
        RunHeldError: another process runs a sweep into the output folder.
        SweepError: the output folder holds something else, cells trained with other settings and
            ``overwrite`` is false, or two cells have the same folder.
        ManifestError: the manifest can't be used.
        SplitError: its clips can't be divided as any cell asks; nothing was written.
        SetError: the cache lacks a set that a cell reads, or has several; nothing was written.
        OSError: a table can't be written.
    """
    folders = cell_folders(sweep)
    manifest = read_manifest(place.manifest, check_files=False)
    sweep = settle_sweep(sweep, manifest, place.cache)
    _check_division(sweep, manifest, place.cache)
    _check_sets(sweep, place.cache)
    with FolderLock(place.output):
        _prepare(sweep, place.output)
        results: dict[str, CellResult] = {}

        def take(result: CellResult) -> None:
            results[result.cell] = result
            if on_cell:
                on_cell(result)

        for cell in sweep.cells:
            if reason := _reason_to_skip(sweep, cell):
                take(CellResult(cell.name, "skipped", reason))
            elif not cell.ensemble and (reason := why_not_trained(sweep, cell, place, manifest)):
                take(CellResult(cell.name, "failed", reason))
        at = {cell.name: place.output / CELLS / folders[cell.name] for cell in sweep.cells}
        todo = [(cell, at[cell.name]) for cell in _trained(sweep) if cell.name not in results]
        if not overwrite:
            _refuse_other_settings(sweep, todo)
        train = functools.partial(
            train_cells, sweep, place=place, jobs=jobs, on_forecast=on_forecast
        )
        if sweep.base.chooses_row:
            sweep, ordered, scores = choose_inside(sweep, at, results, place.output, train, take)
            _write(sweep, ordered, place.output, scores)
            return ordered
        for result in train(todo):
            take(result)
        for cell in sweep.cells:
            if cell.name not in results:
                members = {folders[name]: results[name] for name in cell.ensemble}
                take(join_cells(cell, members, at[cell.name]))
        tables = {
            cell.name: read_predictions(at[cell.name] / PREDICTIONS)
            for cell in sweep.cells
            if results[cell.name].state == "ok"
        }
        against = compare_with_first(tables)
        ordered = [replace(results[c.name], against=against.get(c.name)) for c in sweep.cells]
        _write(sweep, ordered, place.output)
        return ordered


def settle_sweep(sweep: Sweep, manifest: Manifest, cache: Path) -> Sweep:
    """Fill in what a sweep leaves open: the split that it reports on, and absent networks.

    The cache's only face network takes the place of one that a preset names, or the table ``let``
    of a file of ours, as in ``avfuse train``. One that the cell itself names is never replaced:
    rows differ by it.

    Raises:
        OSError: the cache can't be read.
    """
    base = sweep.base
    if base.folds is None and base.split is None:
        labelled = any(clip.label for clip in manifest.splits.get("test", ()))
        base = replace(base, split="test" if labelled else "val")
    return replace(
        sweep, base=base, cells=tuple(_settle_cell(sweep, cell, cache) for cell in sweep.cells)
    )


def _settle_cell(sweep: Sweep, cell: CellText, cache: Path) -> CellText:
    if cell.ensemble:
        return cell  # it reads the predictions of others, no set
    given = merge(merge(sweep.base.set, sweep.overrides), cell.set)
    own, over = (values.get("video", {}) for values in (cell.set, sweep.overrides))
    named = given.get("video", {}).get("set")
    if named in sweep.stand_ins and "set" not in {*own, *over}:
        given["video"] = {key: value for key, value in given["video"].items() if key != "set"}
    try:
        settings, notes = replace_absent_network(
            cell_settings(sweep, cell), cache, sweep.base.preset, given
        )
    except ValueError:
        return cell  # it fails when it is run, with its reason in the table
    if not notes:
        return cell
    values = merge(cell.set, {"video": {"set": settings.video.set}})
    return replace(cell, set=values, notes=(*cell.notes, *notes))


def cell_folders(sweep: Sweep) -> dict[str, str]:
    """Name each cell's run folder.

    Raises:
        SweepError: two names differ only in what a folder's name can't hold.
    """
    folders: dict[str, str] = {}
    for cell in sweep.cells:
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", cell.name).strip("-.") or "cell"
        if name.lower() in (other.lower() for other in folders.values()):
            raise SweepError(f"two cells would be written to the folder {name}; rename one")
        folders[cell.name] = name
    return folders


def _reason_to_skip(sweep: Sweep, cell: CellText) -> str:
    """Say why a cell can't be run here; empty if it can."""
    if cell.skip:
        return cell.skip
    if cell.train_on and sweep.base.folds:
        return FOLDS_SKIP
    if sweep.base.split in (cell.train_on or ()):
        return f"it trains on {sweep.base.split}, which is the split to report on"
    if sweep.base.chooses_row and cell.train_on not in (None, sweep.base.train_on):
        return "it trains on other clips than the rows that it would be chosen from"
    if sweep.base.chooses_row and cell.method == "stack":
        return "its weights are fitted on the predictions that it would be chosen by"
    return ""


def _trained(sweep: Sweep) -> Iterator[CellText]:
    """Yield the cells that train heads."""
    for cell in sweep.cells:
        if not cell.ensemble and not _reason_to_skip(sweep, cell):
            yield cell


def _check_sets(sweep: Sweep, cache: Path) -> None:
    """Refuse a sweep whose cells read sets that the cache lacks, before any head is trained."""
    lacking: dict[str, list[str]] = {}
    for cell in _trained(sweep):
        try:
            names = used_set_names(cell_settings(sweep, cell))
        except (ValueError, OSError):
            continue  # it fails when it is run, with its reason in the table
        for name in names:
            try:
                find_set(cache, name)
            except SetError as error:
                lacking.setdefault(str(error), []).append(cell.name)
    if lacking:
        cells = "; ".join(f"{text} ({', '.join(names)})" for text, names in lacking.items())
        raise SetError(
            f"{cells}. Nothing was trained: add what is missing (avfuse extract --sets NAME), name "
            "a set of yours where the file leaves one open (--let NAME=SET, or NAME= to skip its "
            "cells), or take these cells out"
        )


def _check_division(sweep: Sweep, manifest: Manifest, cache: Path) -> None:
    """Refuse clips that can't be divided for any cell: all would fail for the same reason."""
    refusals = []
    for train_on in {cell.train_on or sweep.base.train_on for cell in _trained(sweep)}:
        try:
            plan_folds(
                manifest.clips,
                folds=sweep.base.folds,
                report_on=sweep.base.split,
                train_on=train_on,
                seed=sweep.base.fold_seed,
                allow_shared_speakers=sweep.base.allow_shared_speakers,
                allow_copies=sweep.base.allow_copies,
                cache=cache,
            )
        except SplitError as error:
            refusals.append(error)
        else:
            return
    if refusals:
        raise refusals[0]


def _refuse_other_settings(sweep: Sweep, cells: Cells) -> None:
    """Refuse to replace cells that were trained with other settings; name what differs."""
    for cell, folder in cells:
        try:
            there = read_toml(folder / CONFIG)
            here = fields_to_json(cell_settings(sweep, cell))
        except (ValueError, OSError):
            continue  # nothing is there, or the cell fails with its own reason
        if differences := name_other_settings(there, here):
            raise SweepError(
                f"{folder} was trained with other settings: {'; '.join(differences)}. Repeat the "
                "command that began the sweep to go on, pass --overwrite to train such cells anew, "
                "or choose another folder"
            )


def _prepare(sweep: Sweep, output: Path) -> None:
    """Mark the folder as this sweep's; refuse one that holds anything else."""
    marker = output / INFO
    if marker.exists():
        try:
            there = read_json(marker).get("sweep")
        except RunError as error:
            raise SweepError(f"{error}; remove it if {output} is the sweep's folder") from error
        if there != sweep.name:
            raise SweepError(f"{output} holds the sweep {there}; choose another folder")
    elif any(path.name != LOCK and not temporary_writer(path) for path in output.iterdir()):
        raise SweepError(f"{output} holds files and no {INFO}; choose another folder")
    write_whole(marker, format_json({"format": FORMAT, "sweep": sweep.name, "title": sweep.title}))
    (output / CELLS).mkdir(exist_ok=True)


def _write(
    sweep: Sweep,
    results: Sequence[CellResult],
    output: Path,
    scores: Sequence[InnerScore] = (),
) -> None:
    write_whole(output / TABLE_CSV, format_csv(sweep, results))
    write_whole(output / TABLE_MARKDOWN, format_markdown(sweep, results, scores))
    write_whole(output / TABLE_JSON, format_json(make_table(sweep, results, scores)))
    if len(sweep.axes) == 2:
        write_whole(output / HEAT_MAP, plot_heat_map(sweep, results))
