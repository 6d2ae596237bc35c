"""``avfuse cache export``: a set's features for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.entries.entry import EntryError
from cache.manifest.manifest import ManifestError, read_manifest
from cache.sets.feature_set import SetError, find_set
from pipeline.exchange.exporting import FORMS, ExportError, export_features


@click.command("export")
@click.argument("cache", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="FORMAT OUT",
    type=(click.Choice(list(FORMS)), click.Path(path_type=Path)),
    help="npz FILE, npy-folder FOLDER or csv FILE.",
)
@click.option("--array", required=True, help="Which array, such as basic, mean or spectrogram.")
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="Only the clips of this manifest."
)
@click.option("--skip-missing", is_flag=True, help="Leave out clips without an entry; lists them.")
def export_command(
    cache: Path,
    name: str,
    target: tuple[str, Path],
    array: str,
    manifest: Path | None,
    skip_missing: bool,
) -> None:
    """Write one ARRAY of the set NAME of CACHE for other tools.

    Arrays are named by clip; their times in seconds stand beside them.
    """
    form, out = target
    try:
        feature_set = find_set(cache, name)
        clips = feature_set.clip_ids()
        if manifest is not None:
            wanted = [clip.id for clip in read_manifest(manifest, check_files=False).clips]
            absent = sorted(set(wanted) - set(clips)) if skip_missing else []
            clips = [clip for clip in wanted if clip not in absent]
            for clip in absent:
                click.echo(f"left out, no entry: {clip}", err=True)
        count = export_features(feature_set, clips, array, form, out)
    except (SetError, ManifestError, ExportError) as error:
        raise click.UsageError(str(error)) from error
    except (EntryError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    click.echo(f"{out}: {count} clips of {feature_set.folder.name}, array {array}")
