"""``avfuse doctor``: look a corpus over before a long run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cache.manifest.manifest import ManifestError, read_manifest
from cache.progress import Progress
from pipeline.doctor.diagnosis import Finding, format_diagnosis, format_findings
from pipeline.doctor.doctor import diagnose, examine_corpus
from pipeline.doctor.examine import Examination
from pipeline.extract.run import num_cores
from pipeline.workers.pool import WorkersFailedError


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Frames of each clip to look for a face in; 0 decodes no picture.",
)
@click.option("--jobs", type=click.IntRange(min=0), help="Worker processes; default: every core.")
@click.option("--follow-links", is_flag=True, help="Allow links that lead out of the corpus.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every clip.")
def doctor(
    manifest: Path, sample: int, jobs: int | None, follow_links: bool, as_json: bool
) -> None:
    """Look into every clip of MANIFEST: unreadable, duplicate, silent, faceless, leaking.

    Exit code 0: nothing would spoil a run; 1: something would; 2: wrong use.
    """
    if not manifest.is_file():
        raise click.UsageError(f"{manifest} is not a file; expected a manifest, see avfuse index")
    try:
        clips = read_manifest(manifest, check_files=False).clips
        problems = [] if follow_links else _leaving_links(manifest)
    except ManifestError as error:
        findings = [Finding("spoils", "manifest", problem) for problem in error.problems]
        click.echo(
            json.dumps({"spoiled": True, "findings": [vars(finding) for finding in findings]})
            if as_json
            else format_findings(findings)
        )
        sys.exit(1)
    jobs = num_cores() if jobs is None else jobs
    examined: dict[str, Examination] = {}
    try:
        with Progress("clips") as progress:
            progress.show(0, len(clips))
            for found in examine_corpus(clips, sample=sample, jobs=jobs):
                examined[found.clip] = found
                progress.show(len(examined), len(clips))
    except WorkersFailedError as error:
        raise click.ClickException(str(error)) from error
    diagnosis = diagnose(clips, examined, problems)
    report = json.dumps(diagnosis.to_json(), indent=2) if as_json else format_diagnosis(diagnosis)
    click.echo(report)
    sys.exit(1 if diagnosis.spoiled else 0)


def _leaving_links(manifest: Path) -> list[str]:
    """Links out of the corpus, which ``extract`` refuses; missing files are findings of clips."""
    try:
        read_manifest(manifest)
    except ManifestError as error:
        return [problem for problem in error.problems if "by a symbolic link" in problem]
    return []
