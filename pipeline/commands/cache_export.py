"""``avfuse cache export``: a set's features for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import CacheWriteError
from cache.entries.entry import EntryError
from cache.manifest.manifest import ManifestError
from cache.sets.feature_set import SetError
from cache.wording import name_some, number_of
from pipeline import doors
from pipeline.commands import options
from pipeline.exchange.exported import ExportError
from pipeline.exchange.exporting import FORMS


@click.command("export")
@options.CACHE_FOLDER
@click.argument("sets", metavar="SET...", nargs=-1, required=True)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="File or folder to write.",
)
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(list(FORMS)),
    help="Form of the output: an npz, csv or parquet file; a folder with one npy file per clip, or "
    "that Hugging Face's datasets reads (hf); the pickle of MMSA and MMSA-FET.",
)
@click.option(
    "--array",
    "arrays",
    required=True,
    multiple=True,
    help="Array to export, such as basic, mean or spectrogram; of several sets, one each in their "
    "order.",
)
@options.CLIPS
@click.option(
    "--skip-missing", is_flag=True, help="Leave out clips without an entry, and list them."
)
def export_command(
    cache: Path,
    sets: tuple[str, ...],
    out: Path,
    form: str,
    arrays: tuple[str, ...],
    manifest: Path | None,
    skip_missing: bool,
) -> None:
    """Export one array of each SET from CACHE for other tools.

    Each array is named by its clip id; its times, in seconds, are written beside it, and with
    --manifest the clips' labels, splits, folds and speakers. parquet, hf and mmsa hold several
    sets.
    """
    try:
        done = doors.export_features(
            cache,
            sets,
            out=out,
            to=form,
            arrays=arrays,
            manifest=manifest,
            skip_missing=skip_missing,
        )
    except (SetError, ManifestError, ExportError, CacheWriteError) as error:
        raise click.UsageError(str(error)) from error
    except (EntryError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    if done.left_out:
        left_out = f"{number_of(len(done.left_out), 'clip')} without an entry"
        click.echo(f"left out, {left_out}: {name_some(done.left_out, limit=100)}", err=True)
    of = ", ".join(f"{s} array {array}" for s, array in zip(done.sets, arrays, strict=True))
    note = f"; {done.note}" if done.note else ""
    click.echo(f"{out}: {number_of(len(done.clips), 'clip')} of {of}{note}")
