"""``avfuse finetune``: fine-tune a face network on still images."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.signals import StopRequest
from extractors.networks import NETWORKS
from pipeline import doors
from trainer.commands import options
from trainer.runs.folder import format_json, is_finished
from trainer.settings import list_toml
from trainer.stills.images.layouts import LAYOUTS
from trainer.stills.settings import PRESETS


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@options.RUN
@click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="Layout of the images in DATA.",
)
@click.option(
    "--network",
    type=click.Choice(list(NETWORKS)),
    help="Network to fine-tune (default: that of the settings).",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weight file to start from (default: random weights).",
)
@click.option(
    "--teacher",
    "teachers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Weight file whose answers the targets are mixed with; may be given several times.",
)
@click.option("--preset", type=click.Choice(list_toml(PRESETS)), help="Settings to start from.")
@options.CONFIG
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as epochs=5; may be given several times.",
)
@click.option(
    "--align",
    is_flag=True,
    help="Detect and align faces first (skipped where the data set gives boxes).",
)
@click.option("--half", is_flag=True, help="Store the weights in half precision.")
@options.DEVICE
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="PyTorch threads (default: that of the settings).",
)
@options.OVERWRITE
@options.JSON
@options.LOG_JSON
def finetune(
    data: Path,
    run: Path,
    layout: str,
    network: str | None,
    weights: Path | None,
    teachers: tuple[Path, ...],
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    align: bool,
    half: bool,
    device: str,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fine-tune a face network on the still images of DATA.

    Without --weights training starts from random weights. If DATA has no validation or test images,
    shares of the training images are held out. The test images are scored once, at the end.

    To use the result: avfuse extract --weights resnet18=RUN/weights.safetensors

    SIGINT or SIGTERM saves the state after the current update; a second one stops at once. The
    same command again goes on with the same result, and prints the figures of a finished run.
    Other settings or data are refused, unless --overwrite is given.
    """
    finished = is_finished(run) and not overwrite
    request = StopRequest()
    try:
        train = doors.begin_finetuning(
            data,
            run,
            layout=layout,
            network=network,
            weights=weights,
            teachers=teachers,
            preset=preset,
            config=config,
            settings=overrides,
            align=align,
            half=half,
            device=device,
            threads=threads,
            overwrite=overwrite,
        )
    # Every error of settings, images, weights, states and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    from trainer.stills.finetune import DivergedError, Stopped
    from trainer.stills.still_report import format_still_report

    found = None
    stopped = f"stopped during an update; the last saved state is in {run}"
    try:
        with request.noted(), request.breaks_off(at=2):
            found = train(request.asked)
    except Stopped as stop:
        stopped = f"stopped after update {stop.update} of {stop.total}; its state is in {run}"
    except DivergedError as error:
        raise click.ClickException(f"{run}: {error}") from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if found is None:
        click.echo(
            f"{stopped}. Run the same command again (without --overwrite) to go on.", err=True
        )
        sys.exit(128 + request.number)
    if finished:
        click.echo(f"{run} is finished already; nothing was trained.", err=True)
    report = found.metrics
    click.echo(format_json(report).rstrip("\n") if as_json else format_still_report(report))
