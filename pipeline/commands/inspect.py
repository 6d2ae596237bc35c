"""``avfuse inspect``: pictures of what stage one saw, to check by eye."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path

import click

from cache.manifest.manifest import Clip, Manifest, ManifestError, read_manifest
from cache.progress import Progress
from cache.sets.scan import NotACacheError
from cache.sets.spec import SetError
from pipeline.faces.choice import POLICIES
from pipeline.faces.overrides import OverrideError, read_overrides
from pipeline.inspect.rows import SheetSettings
from pipeline.inspect.sheets import Made, SheetError, make_sheets
from pipeline.inspect.shown import FACES, NO_FACE, STATES, find_shown

_default = SheetSettings()


@click.group()
def inspect() -> None:
    """Make pictures of what stage one saw, to check by eye."""


@inspect.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="The cache's folder.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder of pages with an index; or one page as sheet.png or sheet.html.",
)
@click.option(
    "--set",
    "name",
    default=FACES,
    show_default=True,
    help="The faces and crops that this set was given: resnet18, or resnet18-3fa9.",
)
@click.option("--clip", "wanted", multiple=True, metavar="ID", help="Only this clip.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([NO_FACE, *STATES]),
    help="Only clips of this kind; no-face: with frames, and a face in none.",
)
@click.option("--policy", type=click.Choice(list(POLICIES)), help="Try another choice of face.")
@click.option(
    "--overrides", type=click.Path(path_type=Path), help="Try faces chosen by hand, as CSV."
)
@click.option(
    "--columns", type=int, default=_default.columns, show_default=True, help="Frames of a clip."
)
@click.option(
    "--size", type=int, default=_default.size, show_default=True, help="Width of a frame, pixels."
)
@click.option(
    "--per-page", type=int, default=_default.per_page, show_default=True, help="Clips on a page."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def faces(
    manifest: Path,
    cache: Path,
    output: Path,
    name: str,
    wanted: tuple[str, ...],
    only: tuple[str, ...],
    policy: str | None,
    overrides: Path | None,
    columns: int,
    size: int,
    per_page: int,
    as_json: bool,
) -> None:
    """Draw the faces that the cache holds of the clips of MANIFEST: contact sheets.

    One row a clip: some frames evenly, and those in which a track begins or the rung changes; in
    each the boxes and landmarks of all tracks, below it the crop of the chosen face. Nothing is
    detected again and nothing in the cache changes.

    Exit code 0: all clips are shown (one that failed in extract is shown with its reason); 1: some
    couldn't be, such as those whose video is gone or changed; 2: wrong use.
    """
    try:
        settings = SheetSettings(columns=columns, size=size, per_page=per_page)
        table = read_manifest(manifest, check_files=False)
        by_hand = read_overrides(overrides, set(table.by_id)) if overrides else None
        shown = find_shown(cache, name, policy=policy, overrides=by_hand)
        clips = _pick(table, wanted)
        with Progress("clips") as progress:
            title = f"Faces of {manifest.name}: {shown.chosen.folder.name}, {shown.policy}"
            made = make_sheets(
                clips, shown, output, settings, only=only, title=title, progress=progress.show
            )
    except (ManifestError, NotACacheError, SetError, OverrideError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        click.echo(f"Error: {output} can't be written: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(made.to_json(), indent=2) if as_json else _format(made))
    sys.exit(1 if made.unseen else 0)


def _pick(table: Manifest, wanted: tuple[str, ...]) -> list[Clip]:
    """Return the clips that are asked for by name, in the manifest's order."""
    for clip in wanted:
        if clip not in table.by_id:
            near = difflib.get_close_matches(clip, table.by_id, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SheetError(f"no clip {clip!r} in {table.path}{hint}")
    return [clip for clip in table.clips if not wanted or clip.id in wanted]


def _format(made: Made) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in made.states.items())
    lines = [f"not shown: {clip}: {why}" for clip, why in made.unseen.items()]
    lines.append(f"{sum(made.states.values())} clips" + (f": {counts}" if counts else ""))
    return "\n".join([*lines, f"written: {made.files[0]}"])
