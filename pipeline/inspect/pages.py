"""Writing contact sheets: one picture, one HTML page, or a folder of pages with an index.

The same entries, videos and settings yield the same bytes: nothing in a sheet says when or where
it was made.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.parse import quote

import cv2
import jinja2
import numpy as np
from PIL import Image, ImageDraw

from cache.commit import whole_file, write_whole
from cache.wording import number_of
from pipeline.faces.tracks import SEEN, BoxSource
from pipeline.inspect.colours import BLACK, GREY, WHITE
from pipeline.inspect.drawing import SOURCE_COLOURS, encode_jpeg, encode_picture
from pipeline.inspect.rows import Row
from pipeline.inspect.text import LINE_HEIGHT, wrap, write

LEGEND = (
    "A frame shows every track in its own colour, with its number and, where it is known, its "
    "person; the chosen face's box is thick, its name first and bold in the list. A dashed box was "
    "only followed into this frame from others in which a detector saw the face. Below is the crop "
    "that a network is given. The strip shows every frame of the clip: above how its face was "
    "found, in half the height where it was followed, below the chosen track with its number; "
    "black ticks are the frames shown."
)
RED = (170, 40, 40)
QUALITY = 75
PAGE_BYTES = 2_900_000  # of a page of a folder, as far as there is more than one clip on it
OWN = Path(__file__).parent
INDEX, LINKS = "index.html", "index.json"
MARKER = b'content="avfuse inspect"'
PICTURE_WIDTH = 1200  # of a picture without any row, in pixels


def page_name(number: int) -> str:
    """Return the file name of a folder's page, counted from 1."""
    return f"page-{number:03d}.html"


def clip_page_name(clip: str) -> str:
    """Return the file name of the page of all frames of a clip."""
    return f"clip-{clip}.html"


def write_picture(path: Path, title: str, rows: Iterable[Row]) -> list[Path]:
    """Write one PNG with all rows below each other.

    Raises:
        OSError: it can't be written.
    """
    with whole_file(path) as temporary, temporary.open("xb") as file:
        parts: list[np.ndarray] = []
        for row in rows:
            width = row.picture.shape[1] if row.picture is not None else PICTURE_WIDTH
            parts.append(_head_of_row(row, width))
            if row.picture is not None:
                parts.append(row.picture)
        width = max([PICTURE_WIDTH, *(part.shape[1] for part in parts)])
        parts.insert(0, _head(title, width, empty=not parts))
        whole = np.concatenate([_widen(part, width) for part in parts])
        file.write(encode_picture(whole, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 6]))
    return [path]


def write_page(path: Path, title: str, rows: Iterable[Row]) -> list[Path]:
    """Write one HTML page that needs no other file.

    All frames of a clip are on it too, as long as it stays below ``PAGE_BYTES``.

    Raises:
        OSError: it can't be written.
    """
    drawn = [Drawn.of(row) for row in rows]
    left = PAGE_BYTES - sum(one.size for one in drawn)
    for place, one in enumerate(drawn):
        if one.row.frames is not None and one.row.frames.size <= left:
            left -= one.row.frames.size
        else:
            drawn[place] = replace(one, row=replace(one.row, frames=None))
    write_html(path, "page.html", title=title, rows=drawn, page=1, more=False, linked=False)
    return [path]


def write_folder(folder: Path, title: str, rows: Iterable[Row], *, per_page: int) -> list[Path]:
    """Write pages of some clips each, a page of all frames of each clip, and an index.

    A page has at most ``per_page`` clips and ``PAGE_BYTES``; the rows of one are held at a time.
    ``index.json`` says on which page, and where, a clip is. Pages that an earlier sheet left in the
    folder are removed.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, str | int | None]] = []
    states: Counter[str] = Counter()
    written = []
    page = 0
    for part, more in _paged(map(Drawn.of, rows), per_page):
        page += 1
        for row in (one.row for one in part):
            states[row.state] += 1
            link = f"{page_name(page)}#{quote(row.clip)}"
            entries.append(
                {
                    **{"clip": row.clip, "label": row.label, "state": row.state, "link": link},
                    "faces": row.describe(),
                    "why": "; ".join(row.why),
                }
            )
            if row.frames is not None:
                path = folder / clip_page_name(row.clip)
                write_html(path, "clip.html", title=row.clip, row=row, back=link, overview=None)
                written.append(path)
        path = folder / page_name(page)
        write_html(path, "page.html", title=title, rows=part, page=page, more=more, linked=True)
        written.append(path)
    summary = ", ".join(
        [number_of(len(entries), "clip"), *(f"{n} {state}" for state, n in states.items())]
    )
    path = folder / INDEX
    write_html(path, "index.html", title=title, rows=entries, pages=page, summary=summary)
    links = {str(entry["clip"]): entry["link"] for entry in entries}
    write_whole(folder / LINKS, json.dumps(links, indent=1) + "\n")
    for old in [*folder.glob("page-*.html"), *folder.glob("clip-*.html")]:
        if old not in written and MARKER in old.read_bytes()[:1000]:
            old.unlink()
    return [path, folder / LINKS, *written]


@dataclass(frozen=True)
class Drawn:
    """A row with its picture encoded."""

    row: Row
    picture: bytes

    @classmethod
    def of(cls, row: Row) -> Self:
        """Encode a row's picture, and forget it."""
        picture = b"" if row.picture is None else encode_jpeg(row.picture, QUALITY, sharp=True)
        return cls(replace(row, picture=None), picture)

    @property
    def size(self) -> int:
        """Bytes that it takes on a page, without its frames."""
        return len(self.picture) * 4 // 3 + 1000


def _paged(rows: Iterable[Drawn], per_page: int) -> Iterator[tuple[list[Drawn], bool]]:
    """Yield the rows of a page, and whether there are more; at least one page, be it empty."""
    part: list[Drawn] = []
    for row in rows:
        full = len(part) == per_page or sum(one.size for one in (*part, row)) > PAGE_BYTES
        if part and full:
            yield part, True
            part = []
        part.append(row)
    yield part, False


def write_html(path: Path, template: str, *, folder: Path = OWN, **values: object) -> None:
    """Write a page from a template of ``folder``, or one that this folder has; values are escaped.

    Raises:
        OSError: it can't be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, OWN]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embed"] = embed
    environment.filters["page_name"] = page_name
    environment.filters["clip_page_name"] = clip_page_name
    sources = [(_name(source), f"rgb{colour}") for source, colour in SOURCE_COLOURS.items()]
    environment.globals["colours"] = {
        "no face" if source == BoxSource.WHOLE else source.name.lower(): f"rgb{colour}"
        for source, colour in SOURCE_COLOURS.items()
    }
    pieces = environment.get_template(template).generate(legend=LEGEND, sources=sources, **values)
    with whole_file(path) as temporary, temporary.open("xb") as file:
        for piece in pieces:
            # A file name that is no Unicode reaches a reason as lone surrogates.
            file.write(piece.encode("utf-8", "backslashreplace"))


def embed(picture: np.ndarray | bytes) -> str:
    """Return a picture, or an encoded one, as an address that holds it."""
    content = picture if isinstance(picture, bytes) else encode_jpeg(picture, QUALITY, sharp=True)
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _head(title: str, width: int, *, empty: bool) -> np.ndarray:
    """Draw what stands above all rows of a picture."""
    lines = wrap(LEGEND, width)
    picture = Image.new("RGB", (width, (len(lines) + 3 + empty) * LINE_HEIGHT), WHITE)
    draw = ImageDraw.Draw(picture)
    write(draw, (0, 0), title, room=width, bold=True, size=16)
    top = LINE_HEIGHT + 4
    for line in lines:
        write(draw, (0, top), line, room=width, colour=GREY)
        top += LINE_HEIGHT
    left = 0.0
    for source, colour in SOURCE_COLOURS.items():
        draw.rectangle((left, top + 3, left + 12, top + 13), fill=colour)
        left += 18 + write(draw, (left + 16, top), _name(source), room=200) + 14
    if empty:
        write(
            draw, (0, top + LINE_HEIGHT), "No clip is of the kind that was asked for.", room=width
        )
    return np.array(picture)


def _head_of_row(row: Row, width: int) -> np.ndarray:
    """Draw what stands above a row: the clip, its state, its coverage and what is wrong."""
    first = row.clip if row.label is None else f"{row.clip} · {row.label}"
    lines = [(line, BLACK) for line in wrap(row.describe(), width)]
    lines += [(line, RED) for why in row.why for line in wrap(why, width)]
    picture = Image.new("RGB", (width, (len(lines) + 2) * LINE_HEIGHT + 8), WHITE)
    draw = ImageDraw.Draw(picture)
    draw.line((0, LINE_HEIGHT // 2, width, LINE_HEIGHT // 2), fill=GREY)
    write(draw, (0, LINE_HEIGHT), f"{first} · {row.state}", room=width, bold=True, size=16)
    for number, (line, colour) in enumerate(lines):
        top = (number + 2) * LINE_HEIGHT + 3
        write(draw, (0, top), line, room=width, colour=colour)
    return np.array(picture)


def _widen(part: np.ndarray, width: int) -> np.ndarray:
    result = np.full((part.shape[0], width, 3), WHITE, np.uint8)
    result[:, : part.shape[1]] = part
    return result


def _name(source: BoxSource) -> str:
    if source == BoxSource.WHOLE:
        return "no face"
    return source.name.lower() if source in SEEN else f"{source.name.lower()} (followed)"
