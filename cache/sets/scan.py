"""Scan a cache's folders: check that it is one, find broken sets and temporary files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cache.commit import temporary_writer
from cache.entries.witness import WITNESSES
from cache.sets.spec import SPEC_FILE, SetError, read_spec_file

PACKS = "packs"  # the folder of packs
REMOVED = ".removed-"  # a set that is being removed; what is left of one after a kill
_SET_FOLDER = re.compile(r"[A-Za-z0-9].*-[0-9a-f]{16}")


class NotACacheError(ValueError):
    """A folder holds nothing that a cache holds."""


def check_cache(cache: Path) -> None:
    """Make sure that a folder is a cache: it holds a feature set, whole, broken or begun.

    Raises:
        NotACacheError: it doesn't exist, is no folder, or holds no set.
        OSError: it can't be read.
    """
    if not cache.is_dir():
        what = "is not a folder" if cache.exists() else "does not exist"
    elif any(_set_folders(cache)) or any(find_temporaries(cache)):
        return
    else:
        what = "holds no feature set"
    raise NotACacheError(
        f"{cache} {what}; expected the folder given to 'avfuse extract --cache', "
        f"with folders such as resnet18-0123456789abcdef that hold {SPEC_FILE}"
    )


def find_broken_sets(cache: Path) -> list[tuple[Path, str]]:
    """Return the folders of sets whose ``set.json`` is missing or damaged, and what is wrong."""
    broken: list[tuple[Path, str]] = []
    for folder in _set_folders(cache):
        try:
            read_spec_file(folder)
        except (SetError, OSError) as error:
            broken.append((folder, str(error)))
    return broken


def find_temporaries(cache: Path) -> Iterator[Path]:
    """Yield every temporary file in the folders where a cache's files are written.

    A set whose folder is being made is one too, as a whole.
    """
    folders = [cache, cache / PACKS, cache / WITNESSES]
    for folder in _set_folders(cache):
        folders += [folder, *(item for item in sorted(folder.iterdir()) if item.is_dir())]
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as items:
                names = sorted(item.name for item in items if item.name.endswith(".tmp"))
            yield from (folder / name for name in names if temporary_writer(folder / name))


def find_removed(cache: Path) -> list[Path]:
    """Return what is left of sets whose removal was cut short."""
    return sorted(cache.glob(f"{REMOVED}*"))


def count_bytes(folder: Path) -> int:
    """Return the size of all files in a folder and those below it."""
    return sum(
        (Path(top) / name).lstat().st_size
        for top, _, names in os.walk(folder)
        for name in names
        if (Path(top) / name).exists()
    )


def _set_folders(cache: Path) -> Iterator[Path]:
    for folder in sorted(cache.iterdir()):
        if folder.is_dir() and _SET_FOLDER.fullmatch(folder.name):
            yield folder
