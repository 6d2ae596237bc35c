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
_REMOVED = re.compile(rf"{re.escape(REMOVED)}{_SET_FOLDER.pattern}-[0-9a-f]{{6}}")


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

    A set whose folder is being made is one too, as a whole. Folders behind a link are left out:
    they are not the cache's own.
    """
    folders = [cache, *filter(_is_own_folder, (cache / PACKS, cache / WITNESSES))]
    for folder in filter(_is_own_folder, _set_folders(cache)):
        folders += [folder, *filter(_is_own_folder, sorted(folder.iterdir()))]
    for folder in folders:
        with os.scandir(folder) as items:
            names = sorted(item.name for item in items if item.name.endswith(".tmp"))
        yield from (folder / name for name in names if temporary_writer(folder / name))


def leads_out(cache: Path, path: Path) -> bool:
    """Whether the way from a cache to a file in it goes through a link to somewhere else.

    Args:
        cache: the cache's folder, which may itself be named by a link.
        path: the file; a link in its own place leads nowhere for who removes it.
    """
    return any(folder.is_symlink() for folder in path.parents if cache in folder.parents)


def find_removed(cache: Path) -> list[Path]:
    """Return what is left of sets whose removal was cut short, files and links among it."""
    return sorted(path for path in cache.glob(f"{REMOVED}*") if _REMOVED.fullmatch(path.name))


def count_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder and those below it; of links alone.

    What can't be looked at, or is gone meanwhile, counts as nothing.
    """
    if not _is_own_folder(path):
        return _size(path)
    return sum(_size(Path(top) / name) for top, _, names in os.walk(path) for name in names)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _set_folders(cache: Path) -> Iterator[Path]:
    for folder in sorted(cache.iterdir()):
        if folder.is_dir() and _SET_FOLDER.fullmatch(folder.name):
            yield folder
