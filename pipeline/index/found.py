"""What a recipe found in a corpus: clips, what it left out and why, and what to be warned of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.manifest.clip import Clip
from pipeline.index.text import describe_names, printable


class IndexingError(ValueError):
    """A corpus can't be indexed: nothing found, contradicting tables, or names that clash."""


@dataclass
class Found:
    """Grows while a recipe walks a corpus.

    Args:
        root: the corpus's folder or table, for messages.
        looked_for: the layout that the recipe expects, for the message when nothing is found.
        clips: in the order of the manifest.
        left_out: reason to the names left out for it.
        warnings: what the reader should look at.
        notes: what the reader may want to know.
    """

    root: Path
    looked_for: str
    clips: list[Clip] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, name: str | Path, reason: str) -> None:
        """Record that a file, folder or row is not in the manifest."""
        self.left_out.setdefault(reason, []).append(self.relative(name))

    def leave_out_copies(self, paths: Iterable[Path], taken: Path) -> None:
        """Record the other files of a clip that is in with the file ``taken``."""
        for path in sorted(paths):
            if path != taken:
                self.leave_out(path, "another file of a clip that is in")

    def relative(self, name: str | Path) -> str:
        """Return a path under the root without the root, anything else as it is."""
        if isinstance(name, Path) and name.is_relative_to(self.root):
            return name.relative_to(self.root).as_posix()
        return str(name)


def nothing_found(found: Found, files: Mapping[Any, Sequence[Path]] | None = None) -> IndexingError:
    """Say that a recipe has no clip, what it looked for and what is there instead.

    Args:
        found: the recipe's result.
        files: media files that no table lists.
    """
    left_out = dict(found.left_out)
    unlisted = [found.relative(path) for paths in (files or {}).values() for path in paths]
    if unlisted:
        left_out["media files, and no table that lists them"] = sorted(unlisted)
    lines = [f"no clip found in {found.root}", f"  looked for: {found.looked_for}"]
    if left_out:
        lines.append("  found, and left out:")
        lines += [
            f"    {len(names)} {printable(reason)}: {describe_names(names)}"
            for reason, names in left_out.items()
        ]
    else:
        lines.append("  found: nothing of use; is this the right folder?")
    return IndexingError("\n".join(lines))
