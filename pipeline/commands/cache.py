"""``avfuse cache``: check, clean, pack, merge, compare, import into or export from a cache.

Exit codes: 0 all is well, 1 something is damaged, failed or missing, 2 wrong use.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cache.digest import JSON
from cache.manifest.manifest import Clip, read_manifest
from cache.packs.pack import Pack, open_pack
from cache.progress import Progress
from cache.sets.feature_set import FeatureSet, find_set
from cache.sets.scan import check_cache
from cache.upkeep.gc import DAY_SECONDS, find_garbage, remove_garbage
from cache.upkeep.status import read_status
from cache.upkeep.verify import verify_cache
from cache.wording import number_of
from pipeline.commands import options
from pipeline.commands.cache_diff import diff_command
from pipeline.commands.cache_export import export_command
from pipeline.commands.cache_import import import_command
from pipeline.commands.cache_merge import merge_command
from pipeline.commands.cache_output import plain_errors, print_few, print_json
from pipeline.commands.cache_report import (
    describe_touched_packs,
    format_size,
    format_status,
)
from pipeline.commands.group import Group

HOUR_SECONDS = 3600.0


@click.group(cls=Group)
def cache() -> None:
    """Check, clean, pack, merge, compare, import into or export from a cache.

    Name a set by its name, resnet29; if the cache has several of that name, add the first digits
    of its key: resnet29-3fa9.
    """


cache.add_command(import_command)
cache.add_command(export_command)
cache.add_command(merge_command)
cache.add_command(diff_command)


@cache.command()
@options.CACHE_FOLDER
@options.CLIPS
@options.JSON
def status(cache: Path, manifest: Path | None, as_json: bool) -> None:
    """Show every feature set: entries, states, size, and why it looks stale."""
    with plain_errors():
        found = read_status(cache, _read_clips(manifest))
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(format_status(found))
    sys.exit(0 if found.healthy else 1)


@cache.command()
@options.CACHE_FOLDER
@click.option("--sets", metavar="NAME,NAME", help="Feature sets to check (default: all and packs).")
@click.option(
    "--remove", is_flag=True, help="Remove damaged files, so that extract makes them again."
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Number of worker processes.",
)
@click.option(
    "--for",
    "seconds",
    type=options.Seconds(),
    help="Time after which to stop, such as 10m; the next call goes on there, oldest files first.",
)
@options.JSON
@options.LOG_JSON
def verify(
    cache: Path, sets: str | None, remove: bool, jobs: int, seconds: float | None, as_json: bool
) -> None:
    """Read every file through and recompute its checksums."""
    if seconds is not None and sets:
        raise click.UsageError("--for goes round the whole cache; leave out --sets")
    with plain_errors(), Progress("files") as progress:
        check_cache(cache)
        chosen = _find_sets(cache, sets) or None
        report = verify_cache(
            cache, sets=chosen, remove=remove, jobs=jobs, seconds=seconds, progress=progress.show
        )
    if as_json:
        print_json(report.to_json())
    else:
        for item in report.damage:
            done = " (removed)" if item.path in report.removed else ""
            click.echo(f"damaged {item.kind}: {item.reason}{done}")
        superseded = report.superseded.items()
        print_few([f"to be made again: {path}: {why}; run extract" for path, why in superseded])
        for name, reason in report.stale_packs.items():
            click.echo(f"stale pack: {name}: {reason}; it is rebuilt when training opens it")
        if report.touched_packs:
            click.echo(describe_touched_packs(report.touched_packs))
        if report.temporaries:
            temporaries = number_of(len(report.temporaries), "temporary file")
            click.echo(
                f"{temporaries}, of running or dead writers; "
                f"'avfuse cache gc {cache}' removes the dead ones"
            )
        click.echo(
            f"{number_of(report.entries, 'entry')}, "
            f"{number_of(report.failures, 'record')} of failures and "
            f"{number_of(report.packs, 'pack')} read; {len(report.damage)} damaged"
        )
        if seconds is not None:
            left = number_of(report.left, "file")
            click.echo(
                f"{left} left of the round begun {report.round_started}; the same command goes on"
                if report.left
                else f"the round begun {report.round_started} is complete"
            )
    sys.exit(1 if report.damage else 0)


@cache.command()
@options.CACHE_FOLDER
@click.option("--dry-run", is_flag=True, help="List what would be done, and change nothing.")
@click.option("--orphaned", is_flag=True, help="Also remove sets made from a set that is gone.")
@click.option("--sets", metavar="NAME,NAME", help="Feature sets to remove as well.")
@click.option(
    "--older-than-hours",
    default=DAY_SECONDS / HOUR_SECONDS,
    show_default=True,
    type=click.FloatRange(0),
    help="Age in hours from which another host's temporary file counts as abandoned.",
)
@options.JSON
def gc(
    cache: Path,
    dry_run: bool,
    orphaned: bool,
    sets: str | None,
    older_than_hours: float,
    as_json: bool,
) -> None:
    """Remove temporary files of dead writers, stale packs and, on request, sets."""
    with plain_errors():
        check_cache(cache)
        garbage = find_garbage(
            cache,
            older_than_seconds=older_than_hours * HOUR_SECONDS,
            orphaned=orphaned,
            sets=_find_sets(cache, sets),
        )
        freed = 0 if dry_run else remove_garbage(garbage)
    if as_json:
        items = [{**vars(item), "path": str(item.path)} for item in garbage]
        print_json({"garbage": items, "removed": not dry_run, "freed_bytes": freed})
        return
    for item in garbage:
        click.echo(f"{item.kind}: {item.path} ({format_size(item.bytes)}): {item.reason}")
    total = format_size(sum(item.bytes for item in garbage))
    verb = "can be removed" if dry_run else "removed"
    click.echo(f"{len(garbage)} {verb}, {total}" if garbage else "nothing to remove")


@cache.command()
@options.CACHE_FOLDER
@options.SET
@click.option(
    "--array",
    "arrays",
    multiple=True,
    required=True,
    help="Array to pack, such as basic or mean; may be given several times.",
)
@options.CLIPS
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    help="Precision of the stored numbers: float32 or float16.",
)
@click.option(
    "--skip-missing", is_flag=True, help="Leave out clips without an entry, and list them."
)
@options.JSON
@options.LOG_JSON
def pack(
    cache: Path,
    name: str,
    arrays: Sequence[str],
    manifest: Path | None,
    dtype: str,
    skip_missing: bool,
    as_json: bool,
) -> None:
    """Build the packs of SET that training reads, unless they exist and are fresh."""
    with plain_errors():
        check_cache(cache)
        feature_set = find_set(cache, name)
        rows = _read_clips(manifest)
        clips = feature_set.clip_ids() if rows is None else list(rows)
        packs: list[Pack] = []
        for array in arrays:
            with Progress("entries") as progress:
                packs.append(
                    open_pack(
                        feature_set,
                        clips,
                        array,
                        dtype=dtype,
                        missing="skip" if skip_missing else "error",
                        in_memory=False,
                        progress=progress.show,
                    )
                )
    if as_json:
        print_json([_describe(item, array) for item, array in zip(packs, arrays, strict=True)])
        return
    for item, array in zip(packs, arrays, strict=True):
        for clip, reason in item.skipped.items():
            click.echo(f"left out: {clip}: {reason}")
        made = f"built, because {item.built}" if item.built else "exists and is fresh"
        click.echo(
            f"{array}: {number_of(len(item.clip_ids), 'clip')}, "
            f"{item.values.shape} {item.values.dtype}, "
            f"{format_size(item.values.nbytes)}; {made}: {item.path}"
        )


def _describe(item: Pack, array: str) -> dict[str, JSON]:
    return {
        "array": array,
        "clips": len(item.clip_ids),
        "shape": list(item.values.shape),
        "dtype": str(item.values.dtype),
        "bytes": item.values.nbytes,
        "built": item.built,
        "skipped": dict(item.skipped),
        "path": str(item.path),
    }


def _find_sets(cache: Path, names: str | None) -> list[FeatureSet]:
    """Find the sets that ``--sets`` names; none if it isn't given."""
    return [find_set(cache, name.strip()) for name in (names or "").split(",") if name.strip()]


def _read_clips(manifest: Path | None) -> Mapping[str, Clip] | None:
    """Return a manifest's rows by id; the files of the clips need not be there."""
    return None if manifest is None else read_manifest(manifest, check_files=False).by_id
