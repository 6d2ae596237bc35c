"""``avfuse finetune``: a face network on still images. Composes both stages.

The training is the trainer's; the face detector, for those who ask for alignment, is stage one's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from cache.progress import Progress
from cache.signals import StopRequest
from extractors.networks import NETWORKS
from extractors.running.device import choose_device
from trainer.commands import options
from trainer.runs.folder import INFO, to_json
from trainer.runs.run_writer import check_writable
from trainer.settings import list_toml
from trainer.stills.finetune import DivergedError, StillEpoch, Stopped
from trainer.stills.images.image_files import Aligner, Reading
from trainer.stills.images.layouts import LAYOUTS, find_layout, read_stills
from trainer.stills.prepare import PROGRESS
from trainer.stills.run import Watcher, run_finetuning
from trainer.stills.settings import PRESETS, load_config
from trainer.stills.still_report import format_still_report
from trainer.stills.weights_file import describe_start


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@options.RUN
@click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="How DATA is laid out.",
)
@click.option("--network", type=click.Choice(list(NETWORKS)), help="Default: the settings' own.")
@click.option("--weights", type=click.Path(path_type=Path), help="Start here, not at random.")
@click.option("--preset", type=click.Choice(list_toml(PRESETS)), help="Settings to start from.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings over those, as TOML.")
@options.OVERRIDES
@click.option("--align", is_flag=True, help="Find and align faces; not where boxes are given.")
@click.option("--half", is_flag=True, help="Store the weights in half precision.")
@options.DEVICE
@click.option("--threads", type=click.IntRange(min=1), help="Threads; default: the settings'.")
@options.RESUME
@options.OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
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
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fine-tune a face network on the still images of DATA.

    Without --weights it learns from random weights. Where DATA has no validation or test images,
    shares are held out. The test images are scored once, at the end. The run's
    weights.safetensors serves as weights: avfuse extract --weights resnet18=RUN/weights.safetensors

    SIGINT or SIGTERM saves the state after the update at hand, a second one stops at once;
    --resume goes on with the same result.
    """
    if overwrite and resume:
        raise click.UsageError("choose one of --overwrite and --resume")
    request, reader, display = StopRequest(), Progress("images"), Progress("updates")
    try:
        chosen = (*overrides, *([f'network="{network}"'] if network else []))
        settings = load_config(preset, config, chosen)
        if not (resume and (run / PROGRESS).is_file() and not (run / INFO).exists()):
            check_writable(run, overwrite=overwrite, resume=resume)
        found = find_layout(data, layout)
        if align and found.faces_given:
            raise click.UsageError(
                f"--align finds faces in image files; {data} ({found.name}) holds faces cut out "
                "already"
            )
        size = settings.stored_size()
        reading = Reading(
            settings.data,
            size,
            settings.training.grey,
            align=make_aligner(size) if align else None,
            hear=reader.show,
        )
        parts = read_stills(data, found.name, reading)
        reader.close()
        if weights is not None:
            display.say(describe_start(weights, parts.classes))

        def hear(row: StillEpoch) -> None:
            valid = f", validation {row.valid_accuracy:.2%}" if len(parts.valid) else ""
            display.say(
                f"epoch {row.epoch} of {settings.training.epochs}, {row.image_size} pixels: loss "
                f"{row.loss:.4f}{valid}"
            )

        def show(done: int, total: int, loss: float) -> None:
            display.show(done, total, f"loss {loss:.4f}")

        report = None
        with request.noted(), request.breaks_off(at=2):
            report = run_finetuning(
                parts,
                settings.training,
                run,
                data=settings.data,
                source=str(data),
                framing=framing_of(parts.layout) if align else None,
                weights=weights,
                device=choose_device(device),
                threads=threads or settings.threads,
                half=half,
                overwrite=overwrite,
                resume=resume,
                watcher=Watcher(show, hear, request.asked),
            )
    except Stopped as stop:
        display.close()
        click.echo(
            f"stopped after update {stop.update} of {stop.total}; its state is in {run}. To go on, "
            "run the same command with --resume (and without --overwrite).",
            err=True,
        )
        sys.exit(128 + request.number)
    except DivergedError as error:
        raise click.ClickException(f"{run}: {error}") from error
    # Every error of settings, images, weights, states and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    finally:
        reader.close()
        display.close()
    if report is None:
        click.echo(
            f"stopped in the midst of an update; the state last saved is in {run}. To go on, run "
            "the same command with --resume (and without --overwrite).",
            err=True,
        )
        sys.exit(128 + request.number)
    click.echo(to_json(report).rstrip("\n") if as_json else format_still_report(report))


def framing_of(layout: str) -> dict[str, float] | None:
    """How ``make_aligner`` frames faces; None for a layout that gives boxes, which are used."""
    from pipeline.faces.crops import CropSettings

    settings = CropSettings()
    aligned = layout != "affectnet"
    return {"extend": settings.extend, "lift": settings.lift} if aligned else None


def make_aligner(size: int) -> Aligner:
    """Make what cuts the largest face out of an image, aligned by its landmarks.

    Args:
        size: side of the crop in pixels.

    Source:
        Zhou et al., ICMI 2019, section 2.1: dlib's detection and alignment, the box extended by
        30 %; the whole image where no face is found.
    """
    # dlib and OpenCV, for those who ask for alignment alone.
    from pipeline.faces.crops import CropSettings, crop_faces
    from pipeline.faces.detect import FivePointPredictor, HogDetector
    from pipeline.faces.tracks import BoxSource

    detector, predictor, settings = HogDetector(), FivePointPredictor(), CropSettings(size=size)

    def align(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        found = detector.detect(image, 0.0)
        if not found:
            return None
        box = max((face.box for face in found), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        landmarks = predictor.predict(image, box)[None]
        rungs = np.array([BoxSource.DETECT])
        crops = crop_faces(image[None], landmarks, np.array([box]), rungs, settings)
        return np.asarray(crops[0], np.uint8)

    return align
