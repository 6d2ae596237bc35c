"""``avfuse finetune``: fine-tune a face network on still images."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.progress import Progress
from cache.signals import StopRequest
from extractors.networks import NETWORKS
from extractors.running.device import check_device, check_precision, choose_device
from trainer.commands import options
from trainer.runs.folder import INFO, format_json, is_finished
from trainer.runs.run_writer import check_writable
from trainer.settings import list_toml
from trainer.stills.images.layouts import LAYOUTS, find_layout
from trainer.stills.settings import PRESETS, load_config


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
    try:
        chosen = (*overrides, *([f'network="{network}"'] if network else []))
        settings = load_config(preset, config, chosen)
        find_layout(data, layout)
        if not (run / "progress.safetensors").is_file() or (run / INFO).exists():
            check_writable(run, overwrite=True)
        if weights is not None and not weights.is_file():
            raise click.UsageError(f"--weights {weights} does not exist, or is no file")
        check_device(device)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    # What is cheap to refuse has been; the rest loads PyTorch.
    from pipeline.align_stills import framing_of, read_images
    from trainer.stills.finetune import DivergedError, StillEpoch, Stopped
    from trainer.stills.run import Callbacks, run_finetuning
    from trainer.stills.still_report import format_still_report
    from trainer.stills.weights_file import describe_start

    finished = is_finished(run) and not overwrite
    request, display = StopRequest(), Progress("updates")

    def show(done: int, total: int, loss: float) -> None:
        display.show(done, total, f"loss {loss:.4f}")

    def say_epoch(row: StillEpoch) -> None:
        valid = f", validation {row.valid_accuracy:.2%}" if row.valid_loss else ""
        display.say(
            f"epoch {row.epoch} of {settings.training.epochs}, {row.image_size} pixels: loss "
            f"{row.loss:.4f}{valid}"
        )

    report = None
    try:
        device = choose_device(device)
        if not finished:
            check_precision(settings.training.precision, device)
        with Progress("images") as reading:
            parts = read_images(data, settings, layout=layout, align=align, progress=reading.show)
        if weights is not None:
            display.say(describe_start(weights, parts.classes))
        with request.noted(), request.breaks_off(at=2):
            report = run_finetuning(
                parts,
                settings.training,
                run,
                data=settings.data,
                source=str(data),
                framing=framing_of(parts.layout) if align else None,
                weights=weights,
                device=device,
                threads=threads or settings.threads,
                half=half,
                overwrite=overwrite,
                callbacks=Callbacks(show, say_epoch, request.asked),
            )
    except Stopped as stop:
        display.close()
        click.echo(
            f"stopped after update {stop.update} of {stop.total}; its state is in {run}. "
            "Run the same command again (without --overwrite) to go on.",
            err=True,
        )
        sys.exit(128 + request.number)
    except DivergedError as error:
        raise click.ClickException(f"{run}: {error}") from error
    # Every error of settings, images, weights, states and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    finally:
        display.close()
    if report is None:
        click.echo(
            f"stopped during an update; the last saved state is in {run}. "
            "Run the same command again (without --overwrite) to go on.",
            err=True,
        )
        sys.exit(128 + request.number)
    if finished:
        click.echo(f"{run} is finished already; nothing was trained.", err=True)
    click.echo(format_json(report).rstrip("\n") if as_json else format_still_report(report))
