"""``avfuse sweep``: a table of experiments from a file, on joblib, resumable per cell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cache.signals import ends_by_signal
from trainer import doors
from trainer.commands import options
from trainer.runs.folder import format_json
from trainer.sweeps.file import WorkerKilledError, sweep_names


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
@click.option(
    "--select",
    metavar="HOW",
    help="Number of epochs: fixed, or chosen on a share of the training clips, as in inner:0.2. "
    "With inner alone the row of the table is chosen instead, for each fold inside its training "
    "clips, and tested alone.",
)
@options.FOLDS
@options.SPLIT
@options.ALLOW_SHARED_SPEAKERS
@options.ALLOW_COPIES
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
    as_json: bool,
    **options_of_sweep: Any,
) -> None:
    """Train every cell of FILE on MANIFEST's clips and write one table.

    FILE is a TOML file or the name of one that comes with avfuse. --out gets a run folder per
    cell under cells/, table.csv, table.md, table.json and, for a grid of two axes, heatmap.png.
    The same command again goes on where it stopped: cells that are trained and unchanged are
    kept. Cells that were trained with other settings are replaced only with --overwrite.

    The best row of the table is chosen on the clips that are reported on. With --select inner
    rows are scored inside the training clips, and only the chosen one is tested; its run is in
    chosen/, the scores of all rows in inner.csv.

    Exit code 0: every cell is done, or skipped for a reason in the table; 1: some failed.
    """
    try:
        swept = doors.sweep(
            file,
            manifest,
            cache=cache,
            out=out,
            settings=overrides,
            progress=True,
            **options_of_sweep,
        )
    # Every error of manifests, settings, splits, sets and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except WorkerKilledError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(format_json(swept.to_json()), nl=False)
    else:
        from trainer.sweeps.sweep import TABLE_MARKDOWN  # loads PyTorch

        click.echo((out / TABLE_MARKDOWN).read_text(encoding="utf-8"), nl=False)
    sys.exit(1 if any(cell.state == "failed" for cell in swept.cells) else 0)
