"""``avfuse explain``: draw attention and probabilities over a clip's time."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.signals import ends_by_signal
from cache.wording import number_of
from pipeline import doors
from pipeline.commands import options
from pipeline.workers.error import MachineError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("clips", metavar="FILE_OR_CLIP...", nargs=-1, required=True)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Page (.html), or figure for a paper (.png, .pdf or .svg), to write.",
)
@click.option(
    "--run2", type=click.Path(path_type=Path), help="Another run, drawn dashed over the first."
)
@options.MOVED_CACHE
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Manifest of the clips (default: that of RUN).",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="Weight file of a network of RUN, if it was moved; for files that are no clips of RUN.",
)
@options.DEVICE
@options.JOBS_FROM_0
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@ends_by_signal("Nothing was written.")
@options.LOG_JSON
def explain(
    run: Path,
    clips: tuple[str, ...],
    out: Path,
    run2: Path | None,
    cache: Path | None,
    manifest: Path | None,
    weights: tuple[str, ...],
    device: str,
    jobs: int,
    overwrite: bool,
) -> None:
    """Draw why RUN predicts what it predicts: attention and probabilities over a clip's time.

    Each FILE_OR_CLIP is the id of a clip that RUN was tested on, as in its predictions.csv, or a
    video file. A clip is explained from the cache, by the heads that never saw it; another video
    is extracted first, as in `avfuse predict`.

    Shown are frames with their faces, the attention weight of each frame under them, the
    spectrogram with the attention of the sound over it, and what the heads say of each second of
    the clip alone. --cache and --manifest are needed only where those of RUN were moved. Exit code
    1 if a video could not be read.
    """
    try:
        found = doors.explain_clips(
            run,
            clips,
            out=out,
            run2=run2,
            cache=cache,
            manifest=manifest,
            weights=weights,
            device=device,
            jobs=jobs,
            overwrite=overwrite,
            progress=True,
        )
    # Every error of runs, checkpoints, caches, plans and weights is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except MachineError as error:
        raise click.ClickException(str(error)) from error
    for name, why in found.unseen.items():
        click.echo(f"not shown: {name}: {why}", err=True)
    for panel in found.panels:
        if panel.pictures is not None and panel.pictures.why:
            click.echo(f"{panel.first.clip}: {panel.pictures.why}", err=True)
    click.echo(f"{number_of(len(found.panels), 'clip')} explained")
    for path in found.files:
        click.echo(f"written: {path}")
    sys.exit(1 if found.unseen else 0)
