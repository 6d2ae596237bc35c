"""One cell of a sweep: a run of its own, kept where it is the same, and never more than itself."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.manifest.manifest import read_manifest
from cache.settings import merge, settings_from
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import INFO, RunError, read_json
from trainer.runs.run_writer import is_being_written
from trainer.settings import TrainSettings, load_preset
from trainer.sweeps.file import CellText, Sweep

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """Where and on what the cells of a sweep are run; sent to every worker.

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
    """What became of a cell.

    Args:
        cell: its name.
        state: "ok", "failed" or "skipped".
        reason: why it isn't ok.
        report: the contents of its ``metrics.json``.
    """

    cell: str
    state: str
    reason: str = ""
    report: Mapping[str, Any] | None = None


def run_cell(sweep: Sweep, cell: CellText, place: Place, folder: Path) -> CellResult:
    """Train a cell, or keep the run that its folder holds if it is the same.

    Whatever goes wrong is the cell's own failure, so that the others go on.

    Args:
        sweep: the sweep.
        cell: the cell; not an ensemble.
        place: where and on what.
        folder: the run folder.
    """
    try:
        while _is_being_written(folder):
            # A worker of a sweep that was killed ends with its cell, which is then kept.
            time.sleep(POLL_SECONDS)
        values = merge(load_preset(sweep.base.preset), sweep.base.set)
        if sweep.base.select is not None:
            values["selection"] = sweep.base.select
        values = merge(merge(values, sweep.overrides), cell.set)
        report = run_experiment(
            read_manifest(place.manifest, check_files=False),
            place.cache,
            settings_from(TrainSettings, values),
            folder,
            Protocol(
                folds=sweep.base.folds,
                report_on=sweep.base.split,
                train_on=cell.train_on or sweep.base.train_on,
                split_seed=sweep.base.fold_seed,
                allow_shared_speakers=sweep.base.allow_shared_speakers,
                num_seeds=cell.seeds or sweep.base.seeds,
            ),
            preset=sweep.base.preset,
            device=place.device,
            threads=place.threads,
            keep=True,
            packs=place.packs,
        )
    except Exception as error:  # noqa: BLE001  # told in the table; the other cells go on
        return CellResult(cell.name, "failed", _reason(error))
    return CellResult(cell.name, "ok", report=report)


def run_cell_in_worker(
    parent: int, sweep: Sweep, cell: CellText, place: Place, folder: Path
) -> CellResult:
    """Run a cell in a process that ends with the one that began the sweep.

    Args:
        parent: number of that process.
        sweep: the sweep.
        cell: the cell; not an ensemble.
        place: where and on what.
        folder: the run folder.
    """
    if os.getpid() != parent:
        _end_with(parent)
    return run_cell(sweep, cell, place, folder)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process when its parent is gone: what it trains would have nobody to report to."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def join_cells(cell: CellText, members: Mapping[str, CellResult], folder: Path) -> CellResult:
    """Average the probabilities of other cells; their runs stand beside ``folder``.

    Args:
        cell: an ensemble.
        members: the results of its cells, by the name of the folder.
        folder: the run folder.
    """
    for result in members.values():
        if result.state != "ok":
            return CellResult(cell.name, result.state, f"{result.cell}: {result.reason}")
    try:
        report = ensemble_runs([folder.parent / name for name in members], folder, overwrite=True)
    except (ValueError, OSError) as error:
        return CellResult(cell.name, "failed", _reason(error))
    return CellResult(cell.name, "ok", report=report)


def _reason(error: Exception) -> str:
    """The error in one line; its kind too, where it was not foreseen."""
    text = " ".join(str(error).split())
    foreseen = isinstance(error, (ValueError, OSError))
    return text if foreseen and text else f"{type(error).__name__}: {text}"


def _is_being_written(folder: Path) -> bool:
    try:
        info = read_json(folder / INFO)
    except (RunError, OSError):
        return False
    return info.get("state") == "running" and is_being_written(info)
