"""``avfuse cache import``: import features made elsewhere as a feature set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import CacheWriteError
from cache.manifest.manifest import ManifestError
from cache.sets.feature_set import list_sets
from cache.wording import number_of
from pipeline import doors
from pipeline.commands import options
from pipeline.exchange.importing import ImportReport
from pipeline.exchange.layouts import LAYOUTS
from pipeline.exchange.settings import Format

MAX_SHOWN = 10


@click.command("import")
@options.CACHE_FOLDER
@options.SET
@click.argument(
    "sources", nargs=-1, metavar="[SOURCE]...", type=click.Path(path_type=Path, exists=True)
)
@click.option(
    "--like",
    type=click.Choice(list(LAYOUTS)),
    help="Tool that wrote SOURCE: a file, a folder, or several files of one clip each.",
)
@click.option(
    "--from",
    "origin",
    metavar="FORMAT SOURCE",
    type=(click.Choice(["npz", "npy-folder", "csv"]), click.Path(path_type=Path, exists=True)),
    help="Features of no such tool: npz FILE, npy-folder FOLDER, csv FILE or FOLDER (one file per "
    "clip).",
)
@click.option(
    "--manifest", required=True, type=click.Path(path_type=Path), help="Manifest of the clips."
)
@click.option(
    "--columns",
    default="",
    help="Columns that hold features, such as AU*_r,3 or 2:9 (default: those of the tool, or all "
    "others that hold numbers).",
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
@click.option(
    "--nan",
    type=click.Choice(["refuse", "drop"]),
    default="refuse",
    show_default=True,
    help="Rule for rows with nan or inf; those left out are counted in the clip's entry.",
)
@click.option(
    "--delimiter",
    default="",
    metavar="CHAR",
    help="Character between fields, or tab (default: detected).",
)
@click.option(
    "--max-gib",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="Memory, in GiB, that the numbers read at once may take.",
)
@click.option("--id-column", default="", help="Column or array of the clip ids.  [default: clip]")
@click.option(
    "--array",
    default="",
    help="Array of the features, in an npz with an array of ids, such as vision.",
)
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
@options.LOG_JSON
def import_command(
    cache: Path,
    name: str,
    sources: tuple[Path, ...],
    like: str | None,
    origin: tuple[Format, Path] | None,
    manifest: Path,
    allow_missing: bool,
    delimiter: str,
    max_gib: float,
    **options: object,
) -> None:
    """Import features made elsewhere into CACHE as the set SET, to train on like any other.

    \b
    OpenFace, a csv per clip; of several faces the one with most rows is taken,
    frames without success are left out and counted:
      avfuse cache import CACHE au processed/ --like openface --manifest m.csv
    openSMILE: SMILExtract's tables or opensmile-python's, of steps or of clips:
      avfuse cache import CACHE egemaps func.csv --like opensmile --manifest m.csv
    py-feat, whose times are in whole seconds, so that frames are counted:
      avfuse cache import CACHE fex fex/*.csv --like pyfeat --rate 25 --manifest m.csv
    MMSA, as an npz (avfuse opens no pickle, and says how to make one):
      avfuse cache import CACHE face mosi.npz --like mmsa --array vision --rate 30
        --manifest m.csv
    One vector per clip; ids are compared without their first field:
      avfuse cache import CACHE au --from npz openface_au.npz --manifest m.csv
        --id-pattern '^\\d\\d-(.*)$'
    One row per face and frame; only the first face is kept:
      avfuse cache import CACHE scores --from npz frames.npz --manifest m.csv
        --columns 2:9 --time-column 0 --rate 25 --where 1=0

    Missing clips, numbers that are nan, wrong widths and repeated ids are named and refused before
    anything is written.
    """  # noqa: D301  # \\b is the character that keeps click from wrapping
    form, files = None, list(sources)
    if origin and not sources and not like:
        form, *files = origin
    elif not (like and sources and not origin):
        raise click.UsageError("pass either SOURCE... --like TOOL or --from FORMAT SOURCE")
    try:
        report = doors.import_features(
            cache,
            name,
            files,
            manifest=manifest,
            like=like,
            format=form,
            settings={
                **options,
                "delimiter": "\t" if delimiter in ("tab", "\\t") else delimiter,
            },
            allow_missing=allow_missing,
            max_gib=max_gib,
            progress=True,
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
    steps = report.steps.values()
    least, most = min(steps), max(steps)
    lines = [
        f"{report.folder}: {number_of(report.clips, 'clip')} with "
        f"{number_of(report.width, 'feature')} a step; "
        f"{report.fresh} written now, {report.clips - report.fresh} were there",
        f"steps a clip: {least if least == most else f'{least} to {most}'}, {sum(steps)} in all; "
        f"features: {_shown(report.names)}",
    ]
    if report.skipped:
        lines.append(f"skipped, as they hold no numbers: {_shown(report.skipped)}")
    if report.by_path:
        lines.append(f"{number_of(report.by_path, 'clip')} found by the end of the path")
    lines += [f"{number_of(count, 'clip')}: {note}" for note, count in report.notes.items()]
    if report.partial:
        clip, why = next(iter(report.partial.items()))
        lines.append(f"{number_of(len(report.partial), 'clip')} partial, such as {clip}: {why}")
    for clips, what in (
        (report.empty, "without a row, so partial"),
        (report.missing, "not in the source, recorded as failed"),
        (report.unused, "ids of the source belong to no clip"),
    ):
        if clips:
            lines.append(f"{len(clips)} {what}: {_shown(clips)}")
    return lines


def _shown(texts: tuple[str, ...]) -> str:
    return ", ".join(texts[:MAX_SHOWN]) + (", ..." if len(texts) > MAX_SHOWN else "")
