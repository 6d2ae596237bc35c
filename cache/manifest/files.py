"""Paths of a manifest: written relative to its folder where that is safe, and checked when read.

Strings and ``os.path`` throughout, for a table of a million rows; folders are resolved once each.
"""

# ruff: noqa: PTH100, PTH114, PTH116, PTH117, PTH118, PTH120 - strings, as said above

from __future__ import annotations

import os
import stat
from pathlib import Path

from cache.cells import is_formula
from cache.manifest.frame_folder import find_pictures


def absolute(path: Path) -> Path:
    """Return ``path`` from the root, ``..`` taken out, symbolic links kept."""
    return Path(os.path.abspath(path))


class ManifestFiles:
    """The files of a manifest that stands in ``folder``.

    Args:
        folder: the manifest's folder.
        follow_links: let a relative path leave it by a symbolic link.
    """

    def __init__(self, folder: Path, *, follow_links: bool = False) -> None:
        self.root = os.path.join(os.path.abspath(folder), "")
        self.real_root = os.path.join(os.path.realpath(folder), "")
        self.follow_links = follow_links
        self.inside_folders: dict[str, bool] = {}

    def written(self, path: Path) -> str:
        """Return a path as the manifest writes it: relative where that can be read back."""
        text = os.path.abspath(path)
        if text.startswith(self.root) and self._inside(text, link=os.path.islink(text)):
            below = text[len(self.root) :]
            return f"./{below}" if is_formula(below) else below
        return text

    def lexical_problem(self, text: str) -> str | None:
        """Say whether a path leaves the folder by ``..``, looking at its text only."""
        if ".." not in text or os.path.isabs(text):
            return None
        if os.path.normpath(text).split(os.sep, 1)[0] != os.pardir:
            return None
        return f"path {text!r} leaves the manifest's folder; write it as an absolute path"

    def problem(self, text: str) -> str | None:
        """Say what is wrong with the file that ``text`` names, None where nothing is."""
        path = os.path.join(self.root, text)
        try:
            mode = os.lstat(path).st_mode
            link = stat.S_ISLNK(mode)
            if link:
                mode = os.stat(path).st_mode
        except FileNotFoundError:
            hint = "; write / between folders" if "\\" in text else ""
            broken = " (a symbolic link to a missing file)" if os.path.islink(path) else ""
            return f"no such file: {path}{broken}{hint}"
        except OSError as error:
            return f"{path} can't be read: {error.strerror}"
        if stat.S_ISDIR(mode):
            hint = "; `avfuse predict` on it says how to make a clip of its pictures"
            return f"{path} is a directory; expected a media file" + (
                hint if find_pictures(path)[1] else ""
            )
        if not stat.S_ISREG(mode):
            return f"{path} is not a regular file; expected a media file"
        if os.path.isabs(text) or self.follow_links or self._inside(path, link=link):
            return None
        return (
            f"path {text!r} leaves the manifest's folder by a symbolic link to "
            f"{os.path.realpath(path)}; write that as an absolute path"
        )

    def _inside(self, path: str, *, link: bool) -> bool:
        if link:
            return os.path.realpath(path).startswith(self.real_root)
        folder = os.path.dirname(path)
        if folder not in self.inside_folders:
            real = os.path.join(os.path.realpath(folder), "")
            self.inside_folders[folder] = real.startswith(self.real_root)
        return self.inside_folders[folder]
