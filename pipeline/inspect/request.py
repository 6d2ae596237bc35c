"""Request for contact sheets: which clips, of which kinds, and how large.

Nothing here loads PyTorch, dlib or OpenCV: a command refuses a wrong request at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.manifest.manifest import Clip, Manifest
from cache.sets.feature_set import FeatureSet, find_set

FACES, IDENTITY = "faces", "identity"
STATES = ("ok", "partial", "failed", "stale", "missing")
NO_FACE = "no-face"  # a kind of clip to ask for that is no state: it has frames, and no face
MAX_FRAMES = 64
MAX_WIDTH = 16_384  # pixels of a row
SIZES = (80, 1920)  # pixels of a frame's width
MAX_PER_PAGE = 500


class SheetError(ValueError):
    """A contact sheet that can't be made as asked for."""


@dataclass(frozen=True)
class SheetSettings:
    """Size of a contact sheet.

    Args:
        frames: number per clip, at most.
        size: width of a frame in pixels.
        per_page: clips on a page.

    Raises:
        ValueError: one is out of its range, or a row would be wider than 16,384 pixels.
    """

    frames: int = 8
    size: int = 320
    per_page: int = 20

    def __post_init__(self) -> None:
        for name, low, high in (
            ("frames", 2, MAX_FRAMES),
            ("size", *SIZES),
            ("per_page", 1, MAX_PER_PAGE),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, got {getattr(self, name)}")
        if self.frames * self.size > MAX_WIDTH:
            raise ValueError(
                f"{self.frames} frames of {self.size} pixels are wider than {MAX_WIDTH} pixels; "
                "take fewer frames or a smaller size"
            )


def check_clip_output(path: Path) -> str:
    """Return the kind of picture that a page or picture of one clip needs: "png", "pdf" or "svg".

    Raises:
        SheetError: the name ends in another way.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind in ("html", "htm"):
        return "png"
    if kind not in ("png", "pdf", "svg"):
        raise SheetError(f"{path}: expected a name that ends in .html, .png, .pdf or .svg")
    return kind


def choose_network(sets: Sequence[FeatureSet], name: str | None) -> FeatureSet | None:
    """Return the set that frames are compared by: the named one, else one made from faces.

    Args:
        sets: of the cache, by name.
        name: a set's name, or that and the first digits of its key; None takes the first.

    Raises:
        SetError: the cache has no such set, or several.
    """
    if name is not None and sets:
        return find_set(sets[0].cache, name)
    own = (item for item in sets if FACES in item.spec.upstream and item.spec.name != IDENTITY)
    return next(own, None)


def pick_clips(table: Manifest, wanted: Sequence[str]) -> list[Clip]:
    """Return the clips asked for by their ids, in the manifest's order; all if none is.

    Raises:
        SheetError: the manifest has no such clip; the nearest is named.
    """
    for clip in wanted:
        if clip not in table.by_id:
            near = difflib.get_close_matches(clip, table.by_id, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SheetError(f"no clip {clip!r} in {table.path}{hint}")
    return [clip for clip in table.clips if not wanted or clip.id in wanted]
