"""``avfuse cache merge``: bring the entries of other caches into one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cache.progress import Progress
from cache.upkeep.merge import merge_caches
from cache.wording import number_of
from pipeline.commands import options
from pipeline.commands.cache_output import plain_errors, print_few, print_json


@click.command("merge")
@click.argument("into", type=click.Path(path_type=Path))
@click.argument(
    "sources", metavar="FROM...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="List what would be done, and change nothing.")
@options.JSON
@options.LOG_JSON
def merge_command(into: Path, sources: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Copy into the cache INTO what it lacks of the caches FROM.

    For caches that were filled on several machines. Every entry is verified; nothing is
    overwritten: what differs from an entry that INTO has is named and left out.
    """
    with plain_errors(), Progress("files") as progress:
        report = merge_caches(into, sources, dry_run=dry_run, progress=progress.show)
    if as_json:
        print_json(report.to_json())
    else:
        print_few([f"{item.outcome}: {item.reason}" for item in report.left_out])
        verb = "would be copied" if dry_run else "copied"
        for folder, counts in report.sets.items():
            click.echo(
                f"{folder}: {number_of(counts.copied, 'entry')} and "
                f"{number_of(counts.failures, 'record')} of failures {verb}, "
                f"{number_of(counts.same, 'entry')} there already"
            )
        click.echo(f"{number_of(len(report.left_out), 'file')} left out")
    sys.exit(1 if report.left_out else 0)
