"""``avfuse cache diff``: compare the features of two sets or caches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cache.progress import Progress
from cache.upkeep.diff import (
    ArrayDifference,
    ClipDifference,
    SetDifference,
    diff_sets,
    pair_sets,
)
from cache.wording import number_of
from pipeline.commands import options
from pipeline.commands.cache_output import plain_errors, print_json

MAX_SHOWN = 20


@click.command("diff")
@click.argument("one", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--sets", metavar="NAME,NAME", help="Sets to compare, of two caches (default: all in common)."
)
@click.option(
    "--all", "show_all", is_flag=True, help=f"List every clip that differs, not only {MAX_SHOWN}."
)
@options.JSON
@options.LOG_JSON
def diff_command(one: Path, other: Path, sets: str | None, show_all: bool, as_json: bool) -> None:
    """Compare A with B, each a cache or the folder of a set in one.

    Tells what a new version of FFmpeg, other weights or another precision changed: for every array
    of every clip the cosine of the two and the largest difference. Exit code 0 if all is equal, 1
    if not.
    """
    names = [name.strip() for name in (sets or "").split(",") if name.strip()]
    with plain_errors():
        found = []
        for first, second in pair_sets(one, other, names):
            with Progress("clips") as progress:
                found.append(diff_sets(first, second, progress=progress.show))
    if as_json:
        print_json([item.to_json() for item in found])
    else:
        for item in found:
            for line in _lines(item, None if show_all else MAX_SHOWN):
                click.echo(line)
    sys.exit(0 if all(item.equal for item in found) else 1)


def _lines(found: SetDifference, most: int | None) -> Iterator[str]:
    yield f"{found.one} -> {found.other}"
    yield from (f"  {line}" for line in found.settings)
    equal = sum(clip.equal for clip in found.clips)
    yield f"  {number_of(len(found.clips), 'clip')} in both, {equal} equal to the last bit"
    for where, clips in (("first", found.only_one), ("second", found.only_other)):
        if clips:
            shown = ", ".join(clips[:MAX_SHOWN]) + (", ..." if len(clips) > MAX_SHOWN else "")
            yield f"  {number_of(len(clips), 'clip')} only in the {where}: {shown}"
    names = sorted({item.array for clip in found.clips for item in clip.arrays})
    yield from (f"  {name}: {_describe_array(found, name)}" for name in names)
    told = sorted((clip for clip in found.clips if not clip.equal or clip.notes), key=_rank)
    for clip in told[:most]:
        parts = [clip.problem, *clip.notes, *map(_describe, clip.arrays)]
        yield f"  {clip.clip}: {'; '.join(filter(None, parts))}"
    if most is not None and len(told) > most:
        yield f"  and {number_of(len(told) - most, 'more clip')}; --all lists them"


def _describe_array(found: SetDifference, name: str) -> str:
    """Say in how many clips an array differs, and how far at most."""
    items = [item for clip in found.clips for item in clip.arrays if item.array == name]
    text = f"differs in {number_of(len(items), 'clip')}"
    cosines = [item.cosine for item in items if item.cosine is not None]
    largest = [item.largest for item in items if item.largest is not None]
    if cosines:
        text += f"; lowest cosine {min(cosines):.6f}"
    if largest:
        scale = max(item.scale for item in items)
        text += f"; largest difference {max(largest):.4g}, of values up to {scale:.4g}"
    return text


def _describe(item: ArrayDifference) -> str:
    if item.largest is None:
        return f"{item.array} has shape {item.shapes[0]} -> {item.shapes[1]}"
    cosine = "none" if item.cosine is None else f"{item.cosine:.6f}"
    return f"{item.array}: cosine {cosine}, largest difference {item.largest:.4g}"


def _rank(clip: ClipDifference) -> tuple[float, str]:
    """Order clips by how much they differ, those that can't be compared first."""
    if clip.problem:
        return -3.0, clip.clip
    cosines = [-2.0 if item.cosine is None else item.cosine for item in clip.arrays]
    return min(cosines, default=1.0), clip.clip
