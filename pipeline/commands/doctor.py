"""``avfuse doctor``: check a corpus for what would spoil a long run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pipeline import doors
from pipeline.commands import options
from pipeline.doctor.settings import DoctorSettings


@click.command()
@options.MANIFEST
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of the cache; its persons (see avfuse persons) are looked for in several splits.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=DoctorSettings().sample,
    show_default=True,
    help="Number of frames per clip to look for a face in; 0 decodes no picture.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as faces.ladder=papers; may be given several times.",
)
@options.JOBS
@options.FOLLOW_LINKS
@options.JSON
@options.LOG_JSON
def doctor(
    manifest: Path,
    cache: Path | None,
    sample: int,
    overrides: tuple[str, ...],
    jobs: int | None,
    follow_links: bool,
    as_json: bool,
) -> None:
    """Find clips of MANIFEST that are broken, duplicate, silent, faceless or in two splits.

    Faces are looked for in some frames with the detectors of extract: it names clips in which
    extract will find a face in few frames or none, those with several faces at once, and those
    with faces of less than 32 pixels. With --cache it also names persons who are in several
    splits.

    Exit code 0: no problem that would spoil a run; 1: at least one; 2: wrong use.
    """
    from pipeline.workers.pool import WorkersFailedError

    try:
        diagnosis = doors.diagnose_corpus(
            manifest,
            cache=cache,
            sample=sample,
            settings=overrides,
            jobs=jobs,
            follow_links=follow_links,
            progress=True,
        )
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    # Every error of settings, caches, their persons and detectors is a ValueError.
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except WorkersFailedError as error:
        raise click.ClickException(str(error)) from error
    from pipeline.doctor.diagnosis import format_diagnosis  # loads OpenCV

    click.echo(
        json.dumps(diagnosis.to_json(), indent=2) if as_json else format_diagnosis(diagnosis)
    )
    sys.exit(1 if diagnosis.spoiled else 0)
