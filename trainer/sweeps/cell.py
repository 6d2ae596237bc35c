"""Cells of a sweep: each is a run of its own; those that can be are trained as one stack."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.manifest.manifest import Manifest, read_manifest
from cache.settings import merge, settings_from
from trainer.data.features import peek_shape
from trainer.runs.checks import check_head
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.experiment import Protocol, run_experiments
from trainer.runs.head_trainer import MOST_HEADS, are_stacked, without_seed
from trainer.runs.listener import RunListener
from trainer.runs.lock import RunHeldError
from trainer.settings import TrainSettings, load_preset
from trainer.sweeps.against import Against
from trainer.sweeps.file import CellText, Sweep
from trainer.sweeps.forecast import Teller

POLL_SECONDS = 1.0
SCORED = "scored"


@dataclass(frozen=True)
class Place:
    """Manifest, cache, folders and machine of a sweep; sent to every worker.

    Args:
        manifest: the manifest's file.
        cache: the cache's folder.
        output: the sweep's folder.
        device: where to compute.
        threads: threads a cell; part of a run's identity.
        packs: folder of the packs; None: in the cache.
    """

    manifest: Path
    cache: Path
    output: Path
    device: str = "cpu"
    threads: int = 1
    packs: Path | None = None


@dataclass(frozen=True)
class CellResult:
    """Outcome of a cell.

    Args:
        cell: its name.
        state: "ok", "failed" or "skipped"; "scored" of a row that was scored inside the training
            clips and has no figure on others.
        reason: why it isn't ok.
        report: the contents of its ``metrics.json``.
        against: how it compares with the table's first row; None for that row itself, and where
            it can't be compared.
    """

    cell: str
    state: str
    reason: str = ""
    report: Mapping[str, Any] | None = None
    against: Against | None = None


Cells = Sequence[tuple[CellText, Path]]


def stack_cells(sweep: Sweep, cells: Sequence[CellText], jobs: int) -> list[list[CellText]]:
    """Group the cells whose heads are trained as one.

    Args:
        sweep: the sweep.
        cells: the cells to train; every one comes back in one group.
        jobs: groups to have at least, as far as there are cells: no process is left without work.
    """
    settings: dict[str, TrainSettings] = {}
    groups: list[list[CellText]] = []
    for cell in cells:
        try:
            settings[cell.name] = cell_settings(sweep, cell)
        except (ValueError, OSError):
            groups.append([cell])  # it fails when it is run, with its reason in the table
    seeds: dict[TrainSettings, set[int]] = {}  # that all cells together want of each head
    for cell in cells:
        if own := settings.get(cell.name):
            numbers = range(own.seed, own.seed + (cell.seeds or sweep.base.seeds))
            seeds.setdefault(without_seed(own), set()).update(numbers)

    def fits(cell: CellText, other: CellText) -> bool:
        pair = [settings[other.name], settings[cell.name]]
        wanted, others = (seeds[without_seed(one)] for one in pair)
        alike = (cell.train_on, cell.notes) == (other.train_on, other.notes)
        return alike and wanted == others and are_stacked(pair)

    stacks: list[list[CellText]] = []
    for cell in cells:
        if cell.name in settings:
            stack = next((stack for stack in stacks if fits(cell, stack[0])), None)
            if stack is None:
                stacks.append([cell])
            else:
                stack.append(cell)
    most = min(-(-len(cells) // jobs), MOST_HEADS)
    return groups + [
        stack[start : start + most] for stack in stacks for start in range(0, len(stack), most)
    ]


def cell_settings(sweep: Sweep, cell: CellText) -> TrainSettings:
    """Put a cell's settings together: the preset, the base, the command line, the cell.

    Raises:
        SettingsError: an unknown preset or key, or a refused value.
        OSError: the preset's file can't be read.
    """
    values = merge(load_preset(sweep.base.preset), sweep.base.set)
    if sweep.base.select is not None and not sweep.base.chooses_row:
        values["selection"] = sweep.base.select
    return settings_from(TrainSettings, merge(merge(values, sweep.overrides), cell.set))


def why_not_trained(sweep: Sweep, cell: CellText, place: Place, manifest: Manifest) -> str:
    """Say why no head of a cell can take its features; empty if one can.

    Args:
        sweep: the sweep.
        cell: no ensemble.
        place: where its features are.
        manifest: the clips.
    """
    try:
        settings = cell_settings(sweep, cell)
        clip_ids = [clip.id for clip in manifest.clips if clip.label]
        shapes = {}
        for name in settings.modalities:
            own = settings.modality(name)
            shapes[name] = peek_shape(place.cache, own.set.split("+"), clip_ids, own.features)
        check_head(settings, shapes, sorted({clip.label or "" for clip in manifest.clips} - {""}))
    except (ValueError, OSError) as error:
        return _reason(error)
    return ""


def run_cells(
    sweep: Sweep,
    cells: Cells,
    place: Place,
    listener: RunListener | None = None,
    *,
    inside: bool = False,
) -> list[CellResult]:
    """Train cells as one, or keep the runs that their folders hold if they are the same.

    Whatever goes wrong is a cell's own failure, so that the others go on.

    Args:
        sweep: the sweep.
        cells: the cells, of one group of ``stack_cells``, with their run folders.
        place: where and on what.
        listener: hears how the training goes on.
        inside: train the heads of nested predictions alone, and leave the runs unfinished; the
            cells are then ``scored``, not ``ok``.
    """
    while True:
        try:
            return _run_cells(sweep, cells, place, listener, inside)
        except RunHeldError:
            # A worker of a sweep that was killed ends with its cells, which are then kept.
            time.sleep(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001  # told in the table; the other cells go on
            if len(cells) > 1:
                # One of them may have failed all: by itself, each has no failure but its own.
                return [
                    one
                    for cell in cells
                    for one in run_cells(sweep, [cell], place, listener, inside=inside)
                ]
            return [CellResult(cells[0][0].name, "failed", _reason(error))]


def _run_cells(
    sweep: Sweep, cells: Cells, place: Place, listener: RunListener | None, inside: bool
) -> list[CellResult]:
    reports = run_experiments(
        read_manifest(place.manifest, check_files=False),
        place.cache,
        {
            folder: (
                cell_settings(sweep, cell),
                Protocol(
                    folds=sweep.base.folds,
                    report_on=sweep.base.split,
                    train_on=cell.train_on or sweep.base.train_on,
                    split_seed=sweep.base.fold_seed,
                    allow_shared_speakers=sweep.base.allow_shared_speakers,
                    allow_copies=sweep.base.allow_copies,
                    num_seeds=cell.seeds or sweep.base.seeds,
                    nested=sweep.base.chooses_row or cell.name in sweep.stacked,
                ),
            )
            for cell, folder in cells
        },
        preset=sweep.base.preset,
        device=place.device,
        threads=place.threads,
        keep=True,
        packs=place.packs,
        notes=cells[0][0].notes,  # of a set that all of a stack read
        nested_alone=inside,
        listener=listener,
    )
    if inside:
        return [CellResult(cell.name, SCORED) for cell, _ in cells]
    return [
        CellResult(cell.name, "ok", report=report)
        for (cell, _), report in zip(cells, reports, strict=True)
    ]


def run_cells_and_tell(
    sweep: Sweep, cells: Cells, place: Place, told: Path, *, inside: bool = False
) -> tuple[Path, list[CellResult]]:
    """Run cells, and tell in a file how long they take.

    Args:
        sweep: see ``run_cells``, as for the next two arguments.
        cells: see there.
        place: see there.
        told: file for the forecasts of these cells; returned beside the results.
        inside: see there.
    """
    return told, run_cells(sweep, cells, place, Teller(told), inside=inside)


def join_cells(cell: CellText, members: Mapping[str, CellResult], folder: Path) -> CellResult:
    """Join the probabilities of other cells; their runs stand beside ``folder``.

    Args:
        cell: an ensemble.
        members: the results of its cells, by the name of the folder.
        folder: the run folder.
    """
    for result in members.values():
        if result.state != "ok":
            return CellResult(cell.name, result.state, f"{result.cell}: {result.reason}")
    try:
        report = ensemble_runs(
            [folder.parent / name for name in members], folder, method=cell.method, overwrite=True
        )
    except (ValueError, OSError) as error:
        return CellResult(cell.name, "failed", _reason(error))
    return CellResult(cell.name, "ok", report=report)


def _reason(error: Exception) -> str:
    """The error in one line; its kind too, where it was not foreseen."""
    text = " ".join(str(error).split())
    foreseen = isinstance(error, (ValueError, OSError))
    return text if foreseen and text else f"{type(error).__name__}: {text}"
