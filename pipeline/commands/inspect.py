"""``avfuse inspect``: draw what stage one saw, to check it by eye."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cache.wording import number_of
from pipeline import doors
from pipeline.commands import options
from pipeline.commands.group import Group
from pipeline.faces.settings import POLICIES
from pipeline.inspect.request import FACES, NO_FACE, STATES, SheetSettings

if TYPE_CHECKING:
    from pipeline.inspect.sheets import Made

_default = SheetSettings()


@click.group(cls=Group)
def inspect() -> None:
    """Draw what stage one saw, to check it by eye."""


@inspect.command()
@options.MANIFEST
@click.argument("name", metavar="[SET]", default=FACES)
@options.CACHE
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for pages with an index; or one page as sheet.png or sheet.html.",
)
@click.option(
    "--clip",
    "wanted",
    multiple=True,
    metavar="ID",
    help="Show only this clip; may be given several times.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([NO_FACE, *STATES]),
    help="Show only clips of this kind; no-face: no face in any frame.",
)
@click.option(
    "--policy",
    metavar="|".join(POLICIES),
    help="Rule to choose among several faces.",
)
@click.option(
    "--overrides", type=click.Path(path_type=Path), help="CSV of faces chosen by hand, to try them."
)
@click.option(
    "--frames",
    type=int,
    default=_default.frames,
    show_default=True,
    help="Number of frames per clip.",
)
@click.option(
    "--size",
    type=int,
    default=_default.size,
    show_default=True,
    help="Width of a frame in pixels.",
)
@click.option(
    "--per-page",
    type=int,
    default=_default.per_page,
    show_default=True,
    help="Number of clips per page.",
)
@options.JSON
@options.LOG_JSON
def faces(
    manifest: Path,
    name: str,
    cache: Path,
    out: Path,
    wanted: tuple[str, ...],
    only: tuple[str, ...],
    policy: str | None,
    overrides: Path | None,
    frames: int,
    size: int,
    per_page: int,
    as_json: bool,
) -> None:
    """Draw contact sheets of the faces that the cache holds for MANIFEST's clips.

    Each clip is a row: frames at even distances, and those where a track begins or the source of a
    face changes. A frame shows the boxes and landmarks of all tracks, and below it the crop of the
    chosen face. SET names the set to show, such as resnet29 or resnet29-3fa9 (default: faces).
    No face is detected again, and nothing in the cache changes.

    Exit code 0: all clips are shown (one that failed in extract is shown with its reason); 1: some
    couldn't be, such as those whose video is gone or changed; 2: wrong use.
    """
    try:
        made = doors.draw_faces(
            manifest,
            cache=cache,
            out=out,
            name=name,
            clips=wanted,
            only=only,
            policy=policy,
            overrides=overrides,
            frames=frames,
            size=size,
            per_page=per_page,
            progress=True,
        )
    # Every error of manifests, caches, sets and overrides is a ValueError.
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        _refuse(out, error)
    click.echo(json.dumps(made.to_json(), indent=2) if as_json else _format(made))
    sys.exit(1 if made.unseen else 0)


@inspect.command("clip")
@options.MANIFEST
@click.argument("clip")
@click.argument("name", metavar="[SET]", required=False)
@options.CACHE
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Page (.html), or the picture alone (.png, .pdf or .svg).",
)
def one_clip(manifest: Path, clip: str, name: str | None, cache: Path, out: Path) -> None:
    """Draw one clip of MANIFEST over its time: tracks, sound, and how alike its frames are.

    On one time axis: who is seen, followed or held when, and who is the chosen one; the
    spectrogram; and the cosine similarity of every two frames as a network sees them. The page
    also has all frames as small crops. SET names the set whose crops are shown and whose frames are
    compared, such as resnet29. Nothing is detected, and nothing in the cache changes.

    Exit code 0: all is shown; 1: something isn't, as it says; 2: wrong use.
    """
    try:
        looked = doors.draw_clip(manifest, clip, cache=cache, out=out, name=name)
    # Every error of manifests, caches and sets is a ValueError.
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        _refuse(out, error)
    for why in looked.unseen:
        click.echo(f"{clip}: {why}", err=True)
    click.echo(f"written: {out}")
    sys.exit(1 if looked.unseen else 0)


def _refuse(out: Path, error: OSError) -> NoReturn:
    """Say that an output can't be written, and exit."""
    text = str(error).removeprefix(f"{out} can't be written: ")
    click.echo(f"Error: {out} can't be written: {text}", err=True)
    sys.exit(1)


def _format(made: Made) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in made.states.items())
    lines = [f"not shown: {clip}: {why}" for clip, why in made.unseen.items()]
    lines.append(number_of(sum(made.states.values()), "clip") + (f": {counts}" if counts else ""))
    return "\n".join([*lines, f"written: {made.files[0]}"])
