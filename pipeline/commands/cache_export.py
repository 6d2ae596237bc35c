"""``avfuse cache export``: a set's features for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import check_place
from cache.entries.entry import EntryError
from cache.manifest.manifest import ManifestError, read_manifest
from cache.sets.feature_set import SetError, find_set
from cache.wording import name_some, number_of
from pipeline.commands import options
from pipeline.exchange.exported import Array, ExportError
from pipeline.exchange.exporting import FORMS, export_features


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
    if len(arrays) != len(sets):
        raise click.UsageError(
            f"expected one --array for each set, got {number_of(len(sets), 'set')} and "
            f"{number_of(len(arrays), 'array')}"
        )
    try:
        check_place(out.parent)
    except OSError as error:
        raise click.UsageError(str(error)) from error
    try:
        wanted = [Array(find_set(cache, s), array) for s, array in zip(sets, arrays, strict=True)]
        extracted = [set(array.feature_set.clip_ids()) for array in wanted]
        clips, rows = sorted(set().union(*extracted)), None
        if manifest is not None:
            rows = read_manifest(manifest, check_files=False).by_id
            clips = list(rows)
        everywhere = set.intersection(*extracted)
        absent = [clip for clip in clips if clip not in everywhere] if skip_missing else []
        if absent:
            clips = [clip for clip in clips if clip in everywhere]
            left_out = f"{number_of(len(absent), 'clip')} without an entry"
            click.echo(f"left out, {left_out}: {name_some(absent, limit=100)}", err=True)
        told = export_features(wanted, clips, form, out, rows=rows)
    except (SetError, ManifestError, ExportError) as error:
        raise click.UsageError(str(error)) from error
    except (EntryError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    of = ", ".join(f"{array.feature_set.folder.name} array {array.name}" for array in wanted)
    click.echo(f"{out}: {number_of(len(clips), 'clip')} of {of}" + (f"; {told}" if told else ""))
