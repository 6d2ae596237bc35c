"""``avfuse explain``: draw attention and probabilities over a clip's time."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import check_file_place, write_whole
from cache.progress import Progress
from cache.signals import ends_by_signal
from cache.wording import number_of
from extractors.running.device import check_device
from pipeline.commands import options
from pipeline.extract.weights import parse_weights
from pipeline.workers.error import MachineError
from trainer.runs.folder import read_run

KINDS = (".html", ".png", ".pdf", ".svg")


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
    if out.suffix not in KINDS:
        raise click.UsageError(f"-o {out}: expected a name that ends in {', '.join(KINDS)}")
    if out.is_file() and not overwrite:
        raise click.UsageError(f"{out} exists; pass --overwrite to replace it")
    try:
        first, second = read_run(run), read_run(run2) if run2 else None
        choices = parse_weights(weights)
        check_device(device)
        check_file_place(out)
        if out.suffix != ".html":
            from trainer.explain.figure import check_number, draw_figure  # loads matplotlib

            check_number(len(clips))
        from pipeline.predict.explain import explain as explain_clips  # loads PyTorch and dlib

        with Progress("clips") as progress:
            found = explain_clips(
                first,
                clips,
                run2=second,
                cache=cache,
                manifest=manifest,
                weights=choices,
                device=device,
                jobs=jobs,
                progress=progress.show,
            )
        written = [out]
        out.parent.mkdir(parents=True, exist_ok=True)
        if not found.panels:
            written = []
        elif out.suffix == ".html":
            from trainer.explain.page import write_pages

            written = write_pages(out, found.panels, title=f"{first.path.name} explained")
        else:
            write_whole(out, draw_figure(found.panels, out.suffix[1:]))
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
    for path in written:
        click.echo(f"written: {path}")
    sys.exit(1 if found.unseen else 0)
