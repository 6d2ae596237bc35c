"""Folders that hold a clip's frames as pictures: the advice to make a clip of them."""

# ruff: noqa: PTH122 - strings, as said in find_pictures

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
MAX_FOLDERS = 1000  # are looked into
FEWEST = 2  # pictures that may be a clip


def find_pictures(folder: str) -> tuple[str, list[str]]:
    """Find the first folder, from this one down, with two pictures of one kind.

    Strings, for a table of a million rows.

    Returns:
        The folder, and the names of its pictures in their order; no names where there is none.
    """
    for looked, (place, below, names) in enumerate(os.walk(folder)):
        if looked == MAX_FOLDERS:
            break
        below.sort()
        kinds: dict[str, list[str]] = {}
        for name in sorted(names):
            suffix = os.path.splitext(name)[1]
            if suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                kinds.setdefault(suffix, []).append(name)
        most = max(kinds.values(), key=len, default=[])
        if len(most) >= FEWEST:
            return place, most
    return folder, []


def advise_to_join(folder: Path) -> str:
    """Say how pictures in or below a folder become a clip, to stand behind a reason.

    Returns:
        The advice, from "; it holds" on; empty without pictures.
    """
    place, names = find_pictures(str(folder))
    if not names:
        return ""
    inside = Path(place)
    where = "it holds" if inside == folder else f"{inside.relative_to(folder)} in it holds"
    command = join_command([inside / name for name in names])
    return (
        f"; {where} {len(names)} pictures: if they are the frames of a clip, make it with "
        f"`{command}`, RATE being the frames per second at which they were taken"
        + (" (as the names are sorted: 10 before 9)" if "-pattern_type" in command else "")
    )


def join_command(pictures: Sequence[Path]) -> str:
    """Return the line that makes a clip of pictures, without loss, beside their folder.

    Args:
        pictures: files of one folder and suffix, in the order of their names.
    """
    folder, suffix = pictures[0].parent, pictures[0].suffix
    found = [re.fullmatch(r"(.*?)([0-9]+)", picture.stem) for picture in pictures]
    digits = [one[2] for one in found if one]
    width = min(map(len, digits), default=0)
    first = min(map(int, digits), default=0)
    prefixes = {one[1] if one else None for one in found}
    expected = {f"{first + place:0{width}}" for place in range(len(pictures))}
    if len(prefixes) == 1 and set(digits) == expected:
        stem = f"{folder}/{prefixes.pop()}".replace("%", "%%")
        given = f"-start_number {first} -i {shlex.quote(f'{stem}%0{width}d{suffix}')}"
    else:  # gaps, or names without numbers: in the order of the names
        given = f"-pattern_type glob -i {shlex.quote(f'{glob.escape(str(folder))}/*{suffix}')}"
    return f"ffmpeg -framerate RATE {given} -c:v ffv1 {shlex.quote(f'{folder}.mkv')}"
