"""``avfuse persons``: tell who is in which clip, and propose the speakers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cache.signals import ends_by_signal
from cache.wording import name_by_reason, name_some, number_of
from pipeline import doors
from pipeline.commands import options

if TYPE_CHECKING:
    from pipeline.persons.find import Found

MOST_LISTED = 40  # lines of a kind on the terminal; --json has all
MOST_NAMED = 5  # clips in a line


@click.command()
@options.MANIFEST
@click.argument("name", metavar="[SET]", default="identity")
@options.CACHE
@click.option(
    "--corrections",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV of names, moves, merges and splits by hand, obeyed before anything else.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for contact sheets, and the manifest with the proposed speakers.",
)
@options.JSON
@options.LOG_JSON
@ends_by_signal("Run the same command again; the table that was there is unchanged.")
def persons(
    manifest: Path,
    name: str,
    cache: Path,
    corrections: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the persons of MANIFEST's clips by their faces and propose each clip's speaker.

    The tracks of all clips are clustered by the identity embeddings that extract made beside the
    faces, strictly: who is doubtful stays two persons, listed first. The table is
    CACHE/persons.json: --folds speaker:K of train and sweep, doctor, and the policies person=NAME
    and other use it. SET names the set of embeddings where the cache has several.

    --corrections is a table action,clip,track,person,other_clip,other_track; tracks have the
    numbers of the contact sheets. name: the person on this track is called PERSON, also where
    several rows say so; move: this track is PERSON's, or nobody's (none); merge, split: this track
    and the other are one person, or two. Rows name tracks, so they hold when clips are added.

    Exit code 0: done; 1: some clips couldn't be used, named with the reason; 2: wrong use.
    """
    try:
        result = doors.find_persons(
            manifest, cache=cache, name=name, corrections=corrections, out=out, progress=True
        )
    # Every error of manifests, caches, sets and corrections is a ValueError.
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    found, written, unseen = result.found, result.files, result.unseen
    if as_json:
        click.echo(json.dumps(_as_json(found, written, unseen), indent=2))
    else:
        click.echo("\n".join(_format(found, written, unseen)))
    sys.exit(1 if found.tracks.left_out or unseen else 0)


def _as_json(found: Found, written: Sequence[Path], unseen: Mapping[str, str]) -> dict[str, Any]:
    return {
        **found.persons.to_json(),
        "disagreements": [one.to_json() for one in found.disagreements],
        "unclear_tracks": found.unclear,
        "left_out": {**found.tracks.left_out, **unseen},
        "dropped": found.dropped,
        "files": [str(path) for path in written],
    }


def _format(found: Found, written: Sequence[Path], unseen: Mapping[str, str]) -> Iterator[str]:
    persons = found.persons
    doubtful = [
        f"doubtful: {pair.one} and {pair.other} may be one person (distance {pair.distance:.2f})"
        for pair in persons.doubtful
    ]
    yield from _first(doubtful)
    width = max([6, *(len(one.name) for one in persons.persons[:MOST_LISTED])])
    yield f"{'person':{width}}  clips  tracks  confidence"
    yield from _first(
        [
            f"{one.name:{width}}  {len(one.clips):5}  {len(one.tracks):6}  {one.confidence:10.2f}"
            for one in persons.persons
        ]
    )
    silent = [clip for clip, row in persons.clips.items() if row.speaker is None]
    yield (
        f"{number_of(len(persons.persons), 'person')} in {number_of(len(persons.clips), 'clip')}; "
        f"a speaker is proposed for {len(persons.clips) - len(silent)}"
        + (f"; nobody stands out in {name_some(silent, MOST_NAMED)}" if silent else "")
    )
    if found.unclear:
        yield f"{number_of(found.unclear, 'track')} of faces too small or too few to tell whose"
    pairs: dict[tuple[str, str], list[str]] = {}
    for one in found.disagreements:
        pairs.setdefault((one.speaker, one.person), []).append(one.clip)
    yield from _first(
        [
            f"disagreement: {speaker} by the manifest, {person} by the face: "
            f"{name_some(clips, MOST_NAMED)}"
            for (speaker, person), clips in pairs.items()
        ]
    )
    if found.dropped:
        yield (
            f"no longer in the table, as the manifest lacks them: "
            f"{name_some(found.dropped, MOST_NAMED)}"
        )
    for what, reasons in (("left out", found.tracks.left_out), ("no picture", unseen)):
        if reasons:
            yield f"{what}: {name_by_reason(reasons)}"
    yield from (f"written: {path}" for path in written[:3])


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MOST_LISTED]
    if len(lines) > MOST_LISTED:
        yield f"... and {len(lines) - MOST_LISTED} more; see --json"
