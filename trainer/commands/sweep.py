"""``avfuse sweep``: a table of experiments from a file, on joblib, resumable per cell."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cache.commit import check_place
from cache.manifest.manifest import read_manifest
from cache.progress import Progress
from cache.signals import ends_by_signal
from cache.wording import number_of
from extractors.running.device import check_device, choose_device
from trainer.commands import options
from trainer.runs.folder import format_json
from trainer.sweeps.file import read_sweep, sweep_names

if TYPE_CHECKING:
    from trainer.sweeps.cell import CellResult

SERIAL = (
    "Warning: {jobs} processes need semaphores, which Linux keeps in /dev/shm, and none can be "
    "made there. Make room or give access; until then one process trains cell after cell."
)


@click.command(epilog=f"Sweeps that come with avfuse: {', '.join(sweep_names())}.")
@click.argument("file")
@options.MANIFEST
@options.CACHE
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the table and the cells' runs.",
)
@options.OVERRIDES
@click.option(
    "--let",
    multiple=True,
    metavar="NAME=SET",
    help="Feature set for a name that the file leaves open.",
)
@click.option("--preset", help="Settings to start from (default: those of the file).")
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Heads per fold (for cells that set none)."
)
@options.SELECT
@options.FOLDS
@options.SPLIT
@options.ALLOW_SHARED_SPEAKERS
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    show_default="one a core",
    help="Number of worker processes.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="PyTorch threads (of each process).",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Device to compute on: auto, cpu, cuda or cuda:N.",
)
@options.PACKS
@click.option(
    "--overwrite", is_flag=True, help="Train cells anew that the folder has with other settings."
)
@options.JSON
@options.LOG_JSON
@ends_by_signal(
    "At most the last 5 seconds of each cell's work are lost. Run the same command again to go on."
)
def sweep(
    file: str,
    manifest: Path,
    cache: Path,
    out: Path,
    overrides: tuple[str, ...],
    let: tuple[str, ...],
    jobs: int | None,
    threads: int,
    device: str,
    packs: Path | None,
    overwrite: bool,
    as_json: bool,
    **base: Any,
) -> None:
    """Train every cell of FILE on MANIFEST's clips and write one table.

    FILE is a TOML file or the name of one that comes with avfuse. --out gets a run folder per
    cell under cells/, table.csv, table.md and, for a grid of two axes, heatmap.png. The same
    command again goes on where it stopped: cells that are trained and unchanged are kept. Cells
    that were trained with other settings are replaced only with --overwrite.

    Exit code 0: every cell is done, or skipped for a reason in the table; 1: some failed.
    """
    given = {key: value for key, value in base.items() if value not in (None, False)}
    try:
        found = read_sweep(file, base=given, overrides=overrides, let=let)
        read_manifest(manifest, check_files=False)
        if not cache.is_dir():
            raise click.UsageError(f"{cache} is not a folder; expected one that extract wrote")
        for folder in (out, packs):
            if folder is not None:
                check_place(folder)
        check_device(device)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    # What is cheap to refuse has been; the rest loads PyTorch.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*serial mode")  # we say it below, and what to do
        from joblib import cpu_count, effective_n_jobs
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    from trainer.runs.display import ForecastDisplay
    from trainer.runs.terminal import describe_unchecked
    from trainer.sweeps.cell import Place
    from trainer.sweeps.sweep import TABLE_MARKDOWN, run_sweep
    from trainer.sweeps.table import make_table

    try:
        jobs = jobs or cpu_count()
        if effective_n_jobs(jobs) < jobs:
            click.echo(SERIAL.format(jobs=jobs), err=True)
            jobs = 1
        place = Place(manifest, cache, out, choose_device(device), threads, packs)
        with Progress("cells") as progress:
            done, total = 0, len(found.cells)
            progress.show(done, total)

            def show(result: CellResult) -> None:
                nonlocal done
                done += 1
                progress.say(f"{done}/{total} {_describe(result)}")
                progress.show(done, total)

            results = run_sweep(
                found,
                place,
                jobs=jobs,
                overwrite=overwrite,
                on_cell=show,
                on_forecast=ForecastDisplay(progress, f"on {number_of(jobs, 'process')}").show,
            )
    except TerminatedWorkerError as error:
        raise click.ClickException(
            "a worker process was killed (out of memory?); run the same command again to go on, "
            "with fewer --jobs"
        ) from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    for line in {describe_unchecked(result.report) for result in results if result.report}:
        if line:
            click.echo(line, err=True)
    if as_json:
        click.echo(format_json(make_table(found, results)), nl=False)
    else:
        click.echo((out / TABLE_MARKDOWN).read_text(encoding="utf-8"), nl=False)
    sys.exit(1 if any(result.state == "failed" for result in results) else 0)


def _describe(result: CellResult) -> str:
    from trainer.runs.terminal import format_percent

    if result.report is None:
        return f"{result.cell}: {result.state}: {result.reason}"
    return f"{result.cell}: {format_percent(result.report['all']['ensemble']['accuracy'])}"
