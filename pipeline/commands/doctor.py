"""``avfuse doctor``: check a corpus for what would spoil a long run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cache.progress import Progress
from pipeline.commands import options


@click.command()
@options.MANIFEST
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Number of frames per clip to look for a face in; 0 decodes no picture.",
)
@options.JOBS
@options.FOLLOW_LINKS
@options.JSON
def doctor(
    manifest: Path, sample: int, jobs: int | None, follow_links: bool, as_json: bool
) -> None:
    """Find clips of MANIFEST that are broken, duplicate, silent, faceless or in two splits.

    Exit code 0: no problem that would spoil a run; 1: at least one; 2: wrong use.
    """
    if not manifest.is_file():
        raise click.UsageError(f"{manifest} is not a file; expected a manifest, see avfuse index")
    from pipeline.doctor.diagnosis import format_diagnosis  # these load dlib and OpenCV
    from pipeline.doctor.doctor import diagnose_manifest
    from pipeline.workers.pool import WorkersFailedError

    try:
        with Progress("clips") as progress:
            diagnosis = diagnose_manifest(
                manifest,
                sample=sample,
                jobs=jobs,
                follow_links=follow_links,
                progress=progress.show,
            )
    except WorkersFailedError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        json.dumps(diagnosis.to_json(), indent=2) if as_json else format_diagnosis(diagnosis)
    )
    sys.exit(1 if diagnosis.spoiled else 0)
