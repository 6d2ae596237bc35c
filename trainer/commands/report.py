"""``avfuse report``: write a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from cache.commit import check_file_place, write_whole
from trainer.runs.folder import RunError, read_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="HTML file to write."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def report(run: Path, out: Path, overwrite: bool) -> None:
    """Write RUN as one HTML page: figures, pictures, mistakes, settings, provenance."""
    if out.exists() and not overwrite:
        raise click.UsageError(f"{out} exists; pass --overwrite to replace it")
    try:
        found = read_run(run)
        check_file_place(out)
        from trainer.runs.page import format_html  # loads matplotlib and scikit-learn

        page = format_html(found)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, page)
    except (RunError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}")
