"""Pages of explanations: self-contained HTML files, some panels on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2

from cache.commit import write_whole
from trainer.explain.explanation import HOP_SECONDS, WINDOW_SECONDS
from trainer.explain.panel import Panel, embed_json

OWN = Path(__file__).parent
PER_PAGE = 50
# Points of a curve: what a wide window has pixels for.
WIDE_POINTS = 1000


def write_pages(
    out: Path, panels: Sequence[Panel], *, title: str, per_page: int = PER_PAGE
) -> list[Path]:
    """Write panels as pages: ``out``, and beside it as many more as they need.

    Args:
        out: the first page; the others are called ``NAME-2.html`` and so on.
        panels: at least one.
        title: heading of the pages.
        per_page: panels a page, at most.

    Returns:
        The pages.

    Raises:
        ValueError: a picture is no JPEG or PNG.
        OSError: a page can't be written.
    """
    parts = [panels[start : start + per_page] for start in range(0, len(panels), per_page)]
    paths = name_pages(out, len(panels), per_page)
    for path, part in zip(paths, parts, strict=True):
        write_whole(path, format_page(part, title=title, pages=paths, own=path))
    return paths


def name_pages(out: Path, clips: int, per_page: int = PER_PAGE) -> list[Path]:
    """Name the pages that so many clips need."""
    pages = -(-clips // per_page)
    return [out, *(out.with_stem(f"{out.stem}-{number}") for number in range(2, pages + 1))]


def format_page(
    panels: Sequence[Panel], *, title: str, pages: Sequence[Path] = (), own: Path | None = None
) -> str:
    """Write panels as one HTML page. Text is escaped, and pictures are embedded.

    Args:
        panels: what it shows.
        title: its heading.
        pages: all pages of which this is one; they link to each other.
        own: which of them it is.

    Raises:
        ValueError: a picture is no JPEG or PNG.
    """
    return (
        open_templates(OWN)
        .get_template("page.html")
        .render(
            title=title,
            seconds=WINDOW_SECONDS,
            hop=HOP_SECONDS,
            second=any(panel.second for panel in panels),
            clips=[panel.first.clip for panel in panels],
            data=embed_json([panel.to_json(WIDE_POINTS) for panel in panels]),
            pages=[quote(path.name) for path in pages],
            own=quote(own.name) if own else "",
            style=read_assets(OWN, "page.css", "panel.css"),
            script=read_assets(OWN, "panel.js"),
        )
    )


def open_templates(folder: Path) -> jinja2.Environment:
    """Open a folder of templates, which may extend ``base.html``; values are escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, OWN]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read_assets(folder: Path, *names: str) -> str:
    """Join files that pages embed: those of a folder, and ``page.css``, ``panel.css`` and such."""
    places = (folder / name if (folder / name).is_file() else OWN / name for name in names)
    return "".join(place.read_text(encoding="utf-8") for place in places)
