"""``avfuse predict``: classify any video file, with a run or with the default network alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cache.commit import check_file_place
from cache.signals import ends_by_signal
from extractors.running.device import check_device
from pipeline.commands import options
from pipeline.extract.weights import parse_weights
from pipeline.predict.curve import check_suffix, format_answer, write_curves
from pipeline.workers.error import MachineError
from trainer.runs.folder import read_run


@click.command()
@click.argument("paths", metavar="[RUN] VIDEO...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="Weight file of a network of RUN, if it was moved.",
)
@options.DEVICE
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of worker processes; 0 works in this one.",
)
@options.JSON
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    help="File (.csv or .png) for every frame's probabilities; without RUN only.",
)
@ends_by_signal("Nothing was predicted.")
def predict(
    paths: tuple[Path, ...],
    weights: tuple[str, ...],
    device: str,
    jobs: int,
    as_json: bool,
    curve: Path | None,
) -> None:
    """Classify videos with the heads of RUN, or without it by the network that avfuse ships.

    With RUN, a folder that `avfuse train` wrote, each video gets its probabilities (the mean over
    the run's heads), the state it was extracted in, and the attention weight of every frame and
    audio step with its time, as JSON. Exit code 1 if a video could not be read.

    Without it, the network that comes with avfuse looks at the face in every frame: seven classes,
    the mean over the frames with a face, and the curve over time. It was trained on still faces
    and hears nothing. Exit code 1 if a video could not be read or shows no face.
    """
    run, videos = split_run(paths)
    if run is None:
        if weights:
            raise click.UsageError("--weights is for a run: name the run before the videos")
        _ask_default(videos, device=device, jobs=jobs, as_json=as_json, curve=curve)
        return
    if curve is not None:
        raise click.UsageError("--curve is drawn by the default network; leave out the run")
    try:
        found, choices = read_run(run), parse_weights(weights)
        _check(videos, device)
        from pipeline.predict.by_run import predict_videos  # loads PyTorch and dlib

        answer = predict_videos(found, videos, weights=choices, device=device, jobs=jobs)
    # Every error of runs, checkpoints, plans, sets and weights is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except MachineError as error:
        raise click.ClickException(str(error)) from error
    if answer["untrained"]:
        click.echo(
            "Warning: the features of this run come from random weights. Its predictions are "
            "marked untrained and say nothing about emotions.",
            err=True,
        )
    click.echo(json.dumps(answer, indent=2, allow_nan=False))
    sys.exit(1 if any(video["state"] == "failed" for video in answer["videos"]) else 0)


def split_run(paths: Sequence[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """Separate a run from the videos after it: a run is a folder, a video has a suffix.

    Raises:
        click.UsageError: there is no path, or no video after the run.
    """
    if not paths:
        raise click.UsageError("name a video, or a run and a video")
    first, *rest = paths
    if not first.is_dir() and (first.exists() or first.suffix):
        return None, tuple(paths)
    if not rest:
        raise click.UsageError(
            f"{first}: expected a video; after a run folder, name the videos to classify"
        )
    return first, tuple(rest)


def _check(videos: Sequence[Path], device: str) -> None:
    """Refuse at once what can't be answered: no video is there, or no such device.

    A video that lacks among others is answered for, as one that can't be read.
    """
    if not any(video.exists() for video in videos):
        raise click.UsageError(f"{videos[0]}: no such file; name videos to classify")
    check_device(device)


def _ask_default(
    videos: Sequence[Path], *, device: str, jobs: int, as_json: bool, curve: Path | None
) -> None:
    """Print what the default network answers, and exit."""
    try:
        if curve is not None:
            check_suffix(curve)
            check_file_place(curve)
        _check(videos, device)
        from pipeline.predict.by_default import ask_default_network  # loads PyTorch and dlib

        answers = ask_default_network(videos, device=device, jobs=jobs)
        if curve is not None:
            write_curves(curve, answers.videos)
    # Every error of plans, weights and curves is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except MachineError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(answers.to_json(), indent=2, allow_nan=False))
    else:
        encoding = (sys.stdout.encoding or "ascii").lower()
        for answer in answers.videos:
            click.echo(format_answer(answer, ascii_only=not encoding.startswith("utf")))
        if any(answer.prediction is not None for answer in answers.videos):
            click.echo(f"From {answers.note}.")
    sys.exit(1 if any(answer.prediction is None for answer in answers.videos) else 0)
