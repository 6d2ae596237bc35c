"""``avfuse cache import``: import features made elsewhere as a feature set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import CacheWriteError
from cache.manifest.manifest import ManifestError, read_manifest
from cache.progress import Progress
from cache.sets.feature_set import list_sets
from cache.settings import settings_from
from cache.wording import number_of
from pipeline.commands import options
from pipeline.exchange.importing import ImportReport, import_features
from pipeline.exchange.settings import ImportSettings

MAX_SHOWN = 10


@click.command("import")
@options.CACHE_FOLDER
@options.SET
@click.option(
    "--from",
    "origin",
    required=True,
    metavar="FORMAT SOURCE",
    type=(click.Choice(["npz", "npy-folder", "csv"]), click.Path(path_type=Path, exists=True)),
    help="Features to import: npz FILE, npy-folder FOLDER, csv FILE or FOLDER (one file per clip).",
)
@click.option(
    "--manifest", required=True, type=click.Path(path_type=Path), help="Manifest of the clips."
)
@click.option(
    "--columns",
    default="",
    help="Columns that hold features, such as AU*_r,3 or 2:9 (default: all others).",
)
@click.option(
    "--time-column",
    default="",
    metavar="COLUMN",
    help="Column of the time in seconds; with --rate, in frames.",
)
@click.option("--rate", type=float, help="Rows per second; with --time-column, frames per second.")
@click.option(
    "--first-frame", type=int, default=0, show_default=True, help="Number of the frame at 0 s."
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=NUMBER",
    help="Keep only rows with this value; also >= and <=; may be given several times.",
)
@click.option(
    "--same-time",
    type=click.Choice(["refuse", "mean", "first"]),
    default="refuse",
    show_default=True,
    help="Rule for several rows of a clip at one time, such as several faces.",
)
@click.option("--id-column", default="", help="Column or array of the clip ids.  [default: clip]")
@click.option("--array", default="", help="Array of the features, in an npz with an array of ids.")
@click.option(
    "--id-pattern",
    default="",
    metavar="REGEX",
    help="Pattern for ids; only its group is compared between source and manifest.",
)
@click.option(
    "--clip-pattern",
    default="",
    metavar="REGEX",
    help="Pattern for the manifest's ids (default: that of --id-pattern).",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Record clips that the source lacks as failed, instead of refusing to import.",
)
def import_command(
    cache: Path,
    name: str,
    origin: tuple[str, Path],
    manifest: Path,
    allow_missing: bool,
    **options: object,
) -> None:
    """Import features made elsewhere into CACHE as the set SET, to train on like any other.

    \b
    One vector per clip; ids are compared without their first field:
      avfuse cache import CACHE au --from npz openface_au.npz --manifest m.csv
        --id-pattern '^\\d\\d-(.*)$'
    One row per face and frame; only the first face is kept:
      avfuse cache import CACHE scores --from npz frames.npz --manifest m.csv
        --columns 2:9 --time-column 0 --rate 25 --where 1=0
    OpenFace's output, one csv per clip:
      avfuse cache import CACHE au --from csv FOLDER --manifest m.csv
        --columns 'AU*_r' --time-column timestamp --where success=1

    Missing clips, numbers that are nan, wrong widths and repeated ids are named and refused before
    anything is written.
    """  # noqa: D301  # \\b is the character that keeps click from wrapping
    form, source = origin
    try:
        clips = [clip.id for clip in read_manifest(manifest, check_files=False).clips]
        settings = settings_from(ImportSettings, {**options, "format": form})
        with Progress("clips") as progress:
            report = import_features(
                cache,
                name,
                source,
                clips,
                settings,
                allow_missing=allow_missing,
                command=sys.argv,
                progress=progress.show,
            )
    except CacheWriteError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except (ManifestError, ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    for line in _lines(report):
        click.echo(line)
    others = [s.folder.name for s in list_sets(cache) if s.spec.name == name]
    if len(others) > 1:
        click.echo(
            f"{len(others)} sets are called {name}: {', '.join(others)}; name this one "
            f"{report.folder.name[: len(name) + 7]}, or remove others with avfuse cache gc --sets"
        )


def _lines(report: ImportReport) -> list[str]:
    lines = [
        f"{report.folder}: {number_of(report.clips, 'clip')} with "
        f"{number_of(report.width, 'feature')} a step; "
        f"{report.fresh} written now, {report.clips - report.fresh} were there"
    ]
    for clips, what in (
        (report.empty, "without a row, so partial"),
        (report.missing, "not in the source, recorded as failed"),
        (report.unused, "ids of the source belong to no clip"),
    ):
        if clips:
            more = ", ..." if len(clips) > MAX_SHOWN else ""
            lines.append(f"{len(clips)} {what}: {', '.join(clips[:MAX_SHOWN])}{more}")
    return lines
