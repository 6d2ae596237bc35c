"""``avfuse report``: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from cache.commit import write_whole
from trainer.runs.folder import RunError, read_run
from trainer.runs.page import format_html


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="HTML file.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def report(run: Path, out: Path, overwrite: bool) -> None:
    """Write RUN as one HTML page: figures, pictures, mistakes, settings, provenance."""
    if out.exists() and not overwrite:
        raise click.UsageError(f"{out} exists; pass --overwrite to replace it")
    try:
        page = format_html(read_run(run))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, page)
    except (RunError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}")
