"""``avfuse cache export``: a set's features for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.commit import check_place
from cache.entries.entry import EntryError
from cache.manifest.manifest import ManifestError, read_manifest
from cache.sets.feature_set import SetError, find_set
from cache.wording import number_of
from pipeline.commands import options
from pipeline.exchange.exporting import FORMS, ExportError, export_features


@click.command("export")
@options.CACHE_FOLDER
@options.SET
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
    help="Form of the output: an npz or csv file, or a folder with one npy file per clip.",
)
@click.option("--array", required=True, help="Array to export, such as basic, mean or spectrogram.")
@options.CLIPS
@click.option(
    "--skip-missing", is_flag=True, help="Leave out clips without an entry, and list them."
)
def export_command(
    cache: Path,
    name: str,
    out: Path,
    form: str,
    array: str,
    manifest: Path | None,
    skip_missing: bool,
) -> None:
    """Export one array of SET from CACHE for other tools.

    Each array is named by its clip id; its times, in seconds, are written beside it.
    """
    try:
        check_place(out.parent)
    except OSError as error:
        raise click.UsageError(str(error)) from error
    try:
        feature_set = find_set(cache, name)
        clips = feature_set.clip_ids()
        rows = None
        if manifest is not None:
            rows = read_manifest(manifest, check_files=False).by_id
            absent = sorted(set(rows) - set(clips)) if skip_missing else []
            clips = [clip for clip in rows if clip not in absent]
            for clip in absent:
                click.echo(f"left out, no entry: {clip}", err=True)
        exported = export_features(feature_set, clips, array, form, out, rows=rows)
    except (SetError, ManifestError, ExportError) as error:
        raise click.UsageError(str(error)) from error
    except (EntryError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    clips_of = number_of(exported, "clip")
    click.echo(f"{out}: {clips_of} of {feature_set.folder.name}, array {array}")
