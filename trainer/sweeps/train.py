"""Train the cells of a sweep on worker processes, those that can be as one stack."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

from joblib import Parallel, delayed

from trainer.runs.listener import Forecast
from trainer.sweeps.cell import CellResult, Cells, Place, run_cells_and_tell, stack_cells
from trainer.sweeps.file import Sweep
from trainer.sweeps.forecast import forecasting
from trainer.sweeps.worker import call_in_worker

FORECASTS = "forecasts"


def train_cells(
    sweep: Sweep,
    cells: Cells,
    *,
    place: Place,
    jobs: int,
    on_forecast: Callable[[Forecast], None] | None = None,
    inside: bool = False,
) -> Iterator[CellResult]:
    """Train cells into their run folders; yield each result as it comes.

    Args:
        sweep: the sweep.
        cells: the cells, none of them an ensemble, with their run folders.
        place: where and on what.
        jobs: processes; see ``trainer.sweeps.sweep.run_sweep``.
        on_forecast: see there.
        inside: see ``trainer.sweeps.cell.run_cells``.
    """
    if not cells:
        return
    folders: dict[str, Path] = {cell.name: folder for cell, folder in cells}
    groups = [
        [(cell, folders[cell.name]) for cell in group]
        for group in stack_cells(sweep, [cell for cell, _ in cells], jobs)
    ]
    num_jobs = min(jobs, len(groups))
    parallel = Parallel(n_jobs=num_jobs, return_as="generator_unordered")
    told = {place.output / FORECASTS / str(n): len(group) for n, group in enumerate(groups)}
    calls = (
        delayed(call_in_worker)(
            os.getpid(),
            Path.cwd(),
            pickle.dumps(
                functools.partial(run_cells_and_tell, sweep, group, place, path, inside=inside)
            ),
        )
        for path, group in zip(told, groups, strict=True)
    )
    with forecasting(told, num_jobs, on_forecast) as forecaster:
        for path, done in parallel(calls):
            forecaster.close_group(path)
            yield from done
