"""``avfuse report``: write runs as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from cache.commit import CacheWriteError
from pipeline import doors
from pipeline.commands import options
from trainer.runs.folder import RunError


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="HTML file to write."
)
@options.MOVED_CACHE
@click.option(
    "--sheets",
    type=click.Path(path_type=Path),
    help="Folder that avfuse inspect faces wrote; the page links to its contact sheets.",
)
@click.option("--no-pictures", is_flag=True, help="Leave out frames and spectrograms of clips.")
@click.option(
    "--projection",
    type=click.Choice(["pca", "tsne", "none"]),
    default="pca",
    show_default=True,
    help="Projection of the clips' features onto a map: pca, tsne (slower), or none for no map.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@options.LOG_JSON
def report(
    runs: Sequence[Path],
    out: Path,
    cache: Path | None,
    sheets: Path | None,
    no_pictures: bool,
    projection: Literal["pca", "tsne", "none"],
    overwrite: bool,
) -> None:
    """Write RUN as one HTML page: figures, clips with pictures, settings, provenance.

    Several RUNs stand side by side; the others are compared with the first. The page needs no
    other file and no network. Where the cache or the videos are gone, it says what it can't show.
    """
    try:
        doors.write_report(
            runs,
            out,
            cache=cache,
            sheets=sheets,
            pictures=not no_pictures,
            projection=projection,
            overwrite=overwrite,
            progress=True,
        )
    except (RunError, FileExistsError, CacheWriteError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}")
