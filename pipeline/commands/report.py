"""``avfuse report``: write runs as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cache.manifest.clip import Clip
from cache.progress import Progress
from pipeline.commands import options
from trainer.runs.folder import RunError, read_run

if TYPE_CHECKING:
    from trainer.explain.pictures import Pictures
    from trainer.report.clips import Draw
    from trainer.report.embedding import Kind


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
    projection: Kind,
    overwrite: bool,
) -> None:
    """Write RUN as one HTML page: figures, clips with pictures, settings, provenance.

    Several RUNs stand side by side; the others are compared with the first. The page needs no
    other file and no network. Where the cache or the videos are gone, it says what it can't show.
    """
    if out.is_file() and not overwrite:
        raise click.UsageError(f"{out} exists; pass --overwrite to replace it")
    try:
        found = [read_run(run) for run in runs]
        from trainer.report.page import write_report  # loads PyTorch and scikit-learn

        folders = [cache, *(Path(str(run.info["cache"])) for run in found if "cache" in run.info)]
        folder = next(filter(None, folders), None)
        draw = None if no_pictures or folder is None else _draw_from(folder)
        with Progress("clips", keep=False) as progress:
            write_report(
                found,
                out,
                cache=cache,
                sheets=sheets,
                draw=draw,
                projection=projection,
                progress=progress.show,
            )
    except (RunError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}")


def _draw_from(folder: Path) -> Draw:
    """Return what draws clips by the faces that a cache knows."""

    def draw(clips: Sequence[Clip]) -> Mapping[str, Pictures]:
        from pipeline.inspect.thumbnails import draw_thumbnails  # loads OpenCV and PyAV

        return draw_thumbnails(clips, folder)

    return draw
