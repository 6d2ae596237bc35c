"""``avfuse predict``: classify any video with a run, or any video or picture without one."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cache.commit import check_file_place, write_whole
from cache.manifest.clip import Clip
from cache.manifest.frame_folder import PICTURE_SUFFIXES, advise_to_join
from cache.progress import Progress
from cache.signals import ends_by_signal
from extractors.running.device import check_device
from extractors.view_settings import PREDICTED_VIEWS
from pipeline.commands import options
from pipeline.extract.settings import StageOneSettings, load_settings
from pipeline.extract.weights import WeightsChoice, parse_weights
from pipeline.index.files import describe_names, did_you_mean, is_media
from pipeline.predict.curve import check_suffix, format_answer, write_curves
from pipeline.predict.outputs import check_kind, plan_films
from pipeline.workers.error import MachineError
from trainer.runs.folder import INFO, Run, read_run

if TYPE_CHECKING:
    from pipeline.predict.band import Course
    from trainer.explain.panel import Panel

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
@options.JOBS_FROM_0
@options.JSON
@options.LOG_JSON
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    help="CSV file for every frame's probabilities; without RUN only.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Picture (.png, .pdf or .svg) of the probabilities over time.",
)
@click.option(
    "--video",
    "film",
    type=click.Path(path_type=Path),
    help="MP4 file, or folder for several: the video with its faces and curves drawn in.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace existing files of --curve, --plot and --video."
)
@ends_by_signal("Nothing was predicted.")
def predict(
    paths: tuple[Path, ...],
    weights: tuple[str, ...],
    overrides: tuple[str, ...],
    device: str,
    jobs: int,
    as_json: bool,
    curve: Path | None,
    plot: Path | None,
    film: Path | None,
    overwrite: bool,
) -> None:
    """Classify videos with the heads of RUN, or without it by the network that avfuse ships.

    With RUN, a folder that `avfuse train` wrote, each FILE is a video. It gets its probabilities
    (the mean over the run's heads), the state it was extracted in, and the attention weight of
    every frame and audio step with its time, as JSON. Exit code 1 if a video could not be read.

    Without it, the network that comes with avfuse looks at the face in every frame and at its
    mirror image: seven classes, the mean over the frames with a face, and the curve over time. It
    was trained on still faces and hears nothing; on film, treat it as a hint. A FILE may be a
    picture too, which gets an answer without a curve. --set changes how faces are found and chosen
    and what the network sees, as in `avfuse extract`: faces.ladder=papers,
    network.views.flip=false for no mirror image. Exit code 1 if a file could not be read or shows
    no face, 2 if none of the files is there.

    Both say how often they were right where that was measured ("worth" in the JSON).

    --video writes each video again with the box of its face (dashed where it was only followed),
    its answer and its curves, its sound and times kept. With RUN the curves are of windows of one
    second, each as if it were the clip.
    """
    run, videos = split_run(paths)
    if run is not None and overrides:
        raise click.UsageError(
            f"--set {overrides[0]}: the videos are extracted as the run's clips were; leave the "
            "option out, or leave out the run to ask the default network"
        )
    if run is not None and curve is not None:
        raise click.UsageError(
            "--curve is of the default network's frames; leave out the run, or pass --plot"
        )
    try:
        choices = parse_weights(weights)
        drawn = _check_outputs(videos, curve, plot, film, overwrite)
        if run is None:
            code = _ask_default(
                videos,
                drawn,
                weights=choices,
                settings=load_settings(overrides, views=PREDICTED_VIEWS),
                device=device,
                jobs=jobs,
                as_json=as_json,
            )
        else:
            found = read_run(run)
            _check(videos, device)
            code = _ask_run(found, videos, drawn, weights=choices, device=device, jobs=jobs)
    # Every error of runs, checkpoints, plans, sets, weights and curves is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except MachineError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


@dataclass(frozen=True)
class Drawn:
    """Files to draw an answer into; ``films`` has the film of each video."""

    curve: Path | None
    plot: Path | None
    films: Mapping[Path, Path]


def _check_outputs(
    videos: Sequence[Path],
    curve: Path | None,
    plot: Path | None,
    film: Path | None,
    overwrite: bool,
) -> Drawn:
    """Refuse at once what can't be written.

    Raises:
        ValueError: a name ends in another way than it has to.
        OSError: a file exists, or nothing can be written there.
    """
    films = {}
    if curve is not None:
        check_suffix(curve)
    if plot is not None:
        check_kind(plot)
    if film is not None:
        films = dict(zip(videos, plan_films(film, videos), strict=True))
    for path in (curve, plot, *films.values()):
        if path is not None:
            check_file_place(path, overwrite=overwrite)
    return Drawn(curve, plot, films)


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


def _ask_run(
    run: Run,
    videos: Sequence[Path],
    drawn: Drawn,
    *,
    weights: Mapping[str, WeightsChoice],
    device: str,
    jobs: int,
) -> int:
    """Print what a run's heads answer; return the exit code."""
    from pipeline.predict.by_run import Answered, predict_videos  # loads PyTorch and dlib

    courses: dict[Path, Course] = {}
    panels: list[Panel] = []

    def look(clips: Sequence[Clip], cache: Path, answered: Answered) -> None:
        from pipeline.predict.courses import read_courses
        from pipeline.predict.explain import draw_panels

        if drawn.films:
            courses.update(read_courses(run.path.name, clips, cache, answered))
        if drawn.plot is not None:
            panels.extend(draw_panels(run, clips, cache, answered))

    if drawn.plot is not None:
        from trainer.explain.figure import check_number, draw_figure  # loads matplotlib

        check_number(len(videos))
    asked = look if drawn.films or drawn.plot else None
    answer = predict_videos(run, videos, weights=weights, device=device, jobs=jobs, look=asked)
    if answer["untrained"]:
        click.echo(
            "Warning: the features of this run come from random weights. Its predictions are "
            "marked untrained and say nothing about emotions.",
            err=True,
        )
    click.echo(json.dumps(answer, indent=2, allow_nan=False))
    if drawn.plot is not None and panels:
        write_whole(drawn.plot, draw_figure(panels, check_kind(drawn.plot)))
        _say_written(drawn.plot)
    whole = _write_films(drawn.films, courses)
    failed = any(video["state"] == "failed" for video in answer["videos"])
    return 1 if failed or not whole else 0


def _ask_default(
    videos: Sequence[Path],
    drawn: Drawn,
    *,
    weights: Mapping[str, WeightsChoice],
    settings: StageOneSettings,
    device: str,
    jobs: int,
    as_json: bool,
) -> int:
    """Print what the default network answers; return the exit code."""
    _check(videos, device)
    # Both load PyTorch, and one dlib.
    from pipeline.predict.by_default import ask_default_network
    from pipeline.predict.picture import is_picture

    outputs = {"--curve": drawn.curve, "--plot": drawn.plot, "--video": drawn.films}
    for option, output in outputs.items():
        if output and all(map(is_picture, videos)):
            raise click.UsageError(
                f"{option}: a picture has no curve over time; leave the option out"
            )
    answers = ask_default_network(
        videos, settings=settings, weights=weights, device=device, jobs=jobs
    )
    if drawn.curve is not None:
        write_curves(drawn.curve, answers.videos)
    if drawn.plot is not None:
        from pipeline.predict.plot import draw_plot  # half a second that only this takes

        write_whole(drawn.plot, draw_plot(answers.videos, check_kind(drawn.plot)))
    if as_json:
        click.echo(json.dumps(answers.to_json(), indent=2, allow_nan=False))
    else:
        encoding = (sys.stdout.encoding or "ascii").lower()
        for answer in answers.videos:
            click.echo(format_answer(answer, ascii_only=not encoding.startswith("utf")))
        for note in answers.notes:
            click.echo(note)
    for output in (drawn.curve, drawn.plot):
        if output is not None:
            _say_written(output)
    whole = True
    if drawn.films:
        from pipeline.predict.courses import course_of_answer

        courses = {answer.video: course_of_answer(answer) for answer in answers.videos}
        whole = _write_films(drawn.films, courses)
    unanswered = any(answer.prediction is None for answer in answers.videos)
    return 1 if unanswered or not whole else 0


def _write_films(films: Mapping[Path, Path], courses: Mapping[Path, Course | None]) -> bool:
    """Write the films of those that have a course; say which, and what they lack.

    Args:
        films: video, as it was named, to its film.
        courses: absolute path of a video to its course.
    """
    if not films:
        return True
    from pipeline.predict.film import write_films  # loads PyAV and OpenCV

    found = ((video, courses.get(video.absolute())) for video in films)
    known = {video: course for video, course in found if course is not None}
    with Progress("frames") as progress:
        lacking = write_films(films, known, progress=progress)
    for video, film in films.items():
        if video in lacking:
            click.echo(f"{video}: {lacking[video]}", err=True)
        if film.is_file() and video in known:
            _say_written(film)
    return not lacking


def _say_written(file: Path) -> None:
    click.echo(f"written: {file}", err=True)
