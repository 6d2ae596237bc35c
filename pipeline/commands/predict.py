"""``avfuse predict``: classify any video with a run, or any video or picture without one."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from cache.commit import check_file_place
from cache.manifest.frame_folder import PICTURE_SUFFIXES, advise_to_join
from cache.signals import ends_by_signal
from extractors.running.device import check_device
from pipeline.commands import options
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import parse_weights
from pipeline.index.files import describe_names, did_you_mean, is_media
from pipeline.predict.curve import check_suffix, format_answer, write_curves
from pipeline.workers.error import MachineError
from trainer.runs.folder import INFO, read_run

# As a path has it, with one slash after the colon. A drive has one letter.
URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE)


@click.command()
@click.argument("paths", metavar="[RUN] FILE...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="Weight file of a network of RUN, if it was moved; without RUN, of a detector of faces.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as faces.policy=central; without RUN only.",
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
@options.LOG_JSON
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    help="File (.csv or .png) for every frame's probabilities; without RUN only.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file of --curve.")
@ends_by_signal("Nothing was predicted.")
def predict(
    paths: tuple[Path, ...],
    weights: tuple[str, ...],
    overrides: tuple[str, ...],
    device: str,
    jobs: int,
    as_json: bool,
    curve: Path | None,
    overwrite: bool,
) -> None:
    """Classify videos with the heads of RUN, or without it by the network that avfuse ships.

    With RUN, a folder that `avfuse train` wrote, each FILE is a video. It gets its probabilities
    (the mean over the run's heads), the state it was extracted in, and the attention weight of
    every frame and audio step with its time, as JSON. Exit code 1 if a video could not be read.

    Without it, the network that comes with avfuse looks at the face in every frame: seven classes,
    the mean over the frames with a face, and the curve over time. It was trained on still faces
    and hears nothing. A FILE may be a picture too, which gets an answer without a curve. --set
    changes how faces are found and chosen, as in `avfuse extract`: faces.ladder=papers. Exit code
    1 if a file could not be read or shows no face, 2 if none of the files is there.
    """
    run, videos = split_run(paths)
    if run is None:
        if curve is not None and curve.is_file() and not overwrite:
            raise click.UsageError(f"{curve} exists; pass --overwrite to replace it")
        _ask_default(
            videos,
            weights=weights,
            overrides=overrides,
            device=device,
            jobs=jobs,
            as_json=as_json,
            curve=curve,
        )
        return
    if overrides:
        raise click.UsageError(
            f"--set {overrides[0]}: the videos are extracted as the run's clips were; leave the "
            "option out, or leave out the run to ask the default network"
        )
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
    """Separate a run from the files after it: a run is a folder, a video or picture has a suffix.

    Raises:
        click.UsageError: there is no path, no file after the run, or a URL.
    """
    if not paths:
        raise click.UsageError("name a video, or a run and a video")
    for path in paths:
        if url := URL.match(str(path)):
            raise click.UsageError(
                f"{url[1]}://{url[2]} is a URL, and avfuse works offline: download the video, then "
                "name the file"
            )
    first, *rest = paths
    if not first.is_dir() and (first.exists() or first.suffix or not rest):
        return None, tuple(paths)
    if not rest:
        raise click.UsageError(describe_folder(first))
    return first, tuple(rest)


def describe_folder(folder: Path) -> str:
    """Say what to name instead of a folder alone."""
    if (folder / INFO).exists():
        return f"{folder} is a run: expected a video; name the videos to classify after it"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    suffixes = Counter(
        suffix
        for name in names
        if (suffix := Path(name).suffix).lower() in PICTURE_SUFFIXES or is_media(Path(name))
    )
    inside = f"it holds {describe_names(names)}" if names else "it is empty"
    for suffix, count in suffixes.most_common(1):
        inside = f"name its files, as with {folder}/*{suffix} ({count} there)"
    return f"{folder} is a folder: expected a video or picture; {inside}{advise_to_join(folder)}"


def _check(videos: Sequence[Path], device: str) -> None:
    """Refuse at once what can't be answered: a folder, no file there at all, or no such device.

    A file that lacks among others is answered for, as one that can't be read.
    """
    for video in videos:
        if video.is_dir():
            raise click.UsageError(describe_folder(video))
    if not any(video.exists() for video in videos):
        first = videos[0]
        if not first.parent.is_dir():
            raise click.UsageError(f"{first}: no such file; there is no folder {first.parent}")
        near = did_you_mean(first.name, (path.name for path in first.parent.iterdir()))
        raise click.UsageError(f"{first}: no such file{near}; name videos to classify")
    check_device(device)


def _ask_default(
    videos: Sequence[Path],
    *,
    weights: Sequence[str],
    overrides: Sequence[str],
    device: str,
    jobs: int,
    as_json: bool,
    curve: Path | None,
) -> None:
    """Print what the default network answers, and exit."""
    try:
        if curve is not None:
            check_suffix(curve)
            check_file_place(curve)
        choices, settings = parse_weights(weights), load_settings(overrides, views="basic")
        _check(videos, device)
        # Both load PyTorch, and one dlib.
        from pipeline.predict.by_default import ask_default_network
        from pipeline.predict.picture import is_picture

        if curve is not None and all(map(is_picture, videos)):
            raise click.UsageError(
                "--curve: a picture has no curve over time; leave the option out"
            )
        answers = ask_default_network(
            videos, settings=settings, weights=choices, device=device, jobs=jobs
        )
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
        if answers.note:
            click.echo(answers.note)
    sys.exit(1 if any(answer.prediction is None for answer in answers.videos) else 0)
