"""Contact sheets of a corpus: the clips by their state, drawn and written as pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache.digest import JSON
from cache.manifest.clip import Clip
from pipeline.inspect.pages import write_folder, write_page, write_picture
from pipeline.inspect.request import SheetError, SheetSettings
from pipeline.inspect.rows import Row, make_row
from pipeline.inspect.shown import Listed, Shown, list_clip

PICTURE, PAGE = (".png",), (".html", ".htm")
REFUSED = (".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".tif", ".tiff", ".bmp", ".csv")


@dataclass
class Made:
    """Result of drawing contact sheets.

    Args:
        files: what was written, the index first.
        states: how many clips are of which state.
        unseen: clips whose frames couldn't be shown, and why.
    """

    files: list[Path] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    unseen: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """Return the fields, ready for JSON."""
        return {
            "files": [str(path) for path in self.files],
            "clips": sum(self.states.values()),
            "states": dict(self.states),
            "unseen": dict(self.unseen),
        }


def make_sheets(
    clips: Sequence[Clip],
    shown: Shown,
    output: Path,
    settings: SheetSettings | None = None,
    *,
    only: Collection[str] = (),
    title: str = "faces",
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Draw clips and write them; nothing is detected, and one clip is held at a time.

    Args:
        clips: of a manifest, in order.
        shown: which sets.
        output: ``sheet.png`` or ``sheet.html`` for one page, else a folder.
        settings: how it looks.
        only: kinds of clips to show: states and ``NO_FACE``; empty: all.
        title: what stands above it.
        progress: called with the number of clips done and of all.

    Raises:
        SheetError: none of the clips was ever extracted, ``output`` is another kind of file, or
            one file is to hold more than a page.
        OSError: it can't be written.
    """
    settings = settings or SheetSettings()
    suffix = output.suffix.lower()
    if suffix in REFUSED:
        raise SheetError(f"{output}: expected a folder, or a file that ends in .png or .html")
    listed = [list_clip(clip, shown.chosen) for clip in clips]
    if all(one.state == "missing" for one in listed):
        raise SheetError(
            f"none of the {len(listed)} clips has an entry in {shown.chosen.folder}; "
            "run 'avfuse extract' on this manifest first"
        )
    if only:
        listed = [one for one in listed if any(one.is_kind(kind) for kind in only)]
    if suffix in PICTURE + PAGE and len(listed) > settings.per_page:
        raise SheetError(
            f"{len(listed)} clips are more than one page of {settings.per_page}, which is what one "
            "file holds; name a folder, pick clips with --clip or --only, or pass --per-page "
            f"{len(listed)}"
        )
    made = Made()
    rows = _rows(listed, shown, settings, made, progress, all_frames=suffix not in PICTURE)
    if suffix in PICTURE:
        made.files = write_picture(output, title, rows)
    elif suffix in PAGE:
        made.files = write_page(output, title, rows)
    else:
        made.files = write_folder(output, title, rows, per_page=settings.per_page)
    return made


def _rows(
    listed: Sequence[Listed],
    shown: Shown,
    settings: SheetSettings,
    made: Made,
    progress: Callable[[int, int], None] | None,
    *,
    all_frames: bool,
) -> Iterator[Row]:
    for number, one in enumerate(listed, 1):
        row = make_row(one, shown, settings, all_frames=all_frames)
        made.states[row.state] += 1
        if row.unseen:
            made.unseen[row.clip] = "; ".join(row.why)
        yield row
        if progress:
            progress(number, len(listed))
