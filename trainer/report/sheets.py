"""Contact sheets beside a page: addresses to link to, checked so that none leaves their folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cache.codec import read_object
from trainer.runs.folder import RunError

INDEX, CLIPS = "index.html", "index.json"
# A page of the folder itself, and a place on it.
_LINK = re.compile(r"[\w-]+\.html(#[\w.%~-]+)?", re.ASCII)


@dataclass(frozen=True)
class Sheets:
    """Addresses of contact sheets, from the folder of a page.

    Args:
        index: of all sheets.
        clips: clip to the place of its sheet.
    """

    index: str
    clips: Mapping[str, str]


def find_sheets(folder: Path, page_folder: Path) -> Sheets:
    """Find the contact sheets that ``avfuse inspect faces`` wrote into a folder.

    Args:
        folder: that folder.
        page_folder: where the page will be that links to them.

    Raises:
        RunError: it has no index of sheets, or a damaged one.
    """
    if not (folder / INDEX).is_file():
        raise RunError(
            f"{folder} has no {INDEX}; write sheets with: avfuse inspect faces -o FOLDER"
        )
    base = quote(os.path.relpath(folder.resolve(), page_folder.resolve()).replace(os.sep, "/"))
    known = {}
    if (folder / CLIPS).is_file():
        try:
            known = read_object(folder / CLIPS)
        except (ValueError, OSError) as error:
            raise RunError(f"{folder / CLIPS} is damaged: {error}") from error
    return Sheets(
        f"{base}/{INDEX}",
        {
            clip: f"{base}/{link}"
            for clip, link in known.items()
            if isinstance(link, str) and _LINK.fullmatch(link)
        },
    )
