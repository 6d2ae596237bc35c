"""Which layout a folder of still images has, and its images in three parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.stills.arrays import (
    NUM_FERPLUS_VOTES,
    ferplus_stills,
    labelled_stills,
    read_arrays,
    read_part,
)
from trainer.stills.data_settings import DataSettings
from trainer.stills.parts import StillParts, StillsError, empty_like, hold_out, join
from trainer.stills.stills import Stills

# How corpora call the three parts.
PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        data: the settings.
        size: side in pixels of the stored images, of layouts that are image files.
        grey: store one channel.
    """

    data: DataSettings
    size: int
    grey: bool


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        name: as ``--layout`` calls it.
        expects: what it looks like, for messages.
        fits: whether a path looks like it.
        read: reads it.
    """

    name: str
    expects: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Reading], StillParts]


def part_files(path: Path, suffix: str) -> dict[str, Path]:
    """Find the file of each part in a folder, or take the file that ``path`` is as training's.

    Raises:
        StillsError: two files stand for one part.
    """
    if path.is_file():
        return {"train": path} if path.suffix == suffix else {}
    found: dict[str, Path] = {}
    for part, names in PART_NAMES.items():
        files = [file for name in names if (file := path / f"{name}{suffix}").is_file()]
        if len(files) > 1:
            raise StillsError(f"{' and '.join(map(str, files))} both name the {part} images")
        if files:
            found[part] = files[0]
    return found


def divide(layout: str, found: Mapping[str, Stills], data: DataSettings) -> StillParts:
    """Hold out the parts that a corpus does not have, and join those that are to be.

    Without validation images a share of the training images is held out; without test images too,
    another share. A corpus with validation and no test images gets no test part.

    Args:
        layout: its name.
        found: the images by part; ``train`` is required.
        data: the shares and their seed.

    Raises:
        StillsError: there are no training images.
    """
    if "train" not in found:
        raise StillsError(f"there are no training images, only {', '.join(found) or 'nothing'}")
    parts = dict(found)
    notes = []
    missing = [name for name in ("test", "valid") if name not in found]
    if missing == ["test"]:
        missing = []
        notes.append("the corpus has no test images")
    for name in missing:
        share = data.valid_share if name == "valid" else data.test_share
        # Another draw for each, of what the one before left.
        chosen = hold_out(parts["train"].labels, share, data.split_seed + (name == "valid"))
        parts[name] = parts["train"].select(np.flatnonzero(chosen))
        parts["train"] = parts["train"].select(np.flatnonzero(~chosen))
        notes.append(
            f"{name}: {share:g} of the training images, held out by class at random (seed "
            f"{data.split_seed}); images of one person may stand on both sides"
        )
    empty = empty_like(parts["train"])
    valid = parts.get("valid", empty)
    if data.train_on_valid and len(valid):
        parts["train"] = join(parts["train"], valid)
        notes.append("the validation images are learned too")
        valid = empty
    return StillParts(layout, parts["train"], valid, parts.get("test", empty), tuple(notes))


def votes_of(path: Path) -> tuple[int, ...] | None:
    """Return the shape of the votes of a folder's training arrays, if they are FER+'s in kind."""
    train = part_files(path, ".npz").get("train")
    if train is None:
        return None
    found = read_arrays(train, ("votes", "classes"))
    return found["votes"].shape if "votes" in found and "classes" not in found else None


def fits_ferplus(path: Path) -> bool:
    """Whether training arrays have ten votes an image and name no classes of their own."""
    shape = votes_of(path)
    return shape is not None and len(shape) == 2 and shape[1] == NUM_FERPLUS_VOTES


def fits_npz(path: Path) -> bool:
    """Whether there are training arrays that are not FER+'s."""
    return "train" in part_files(path, ".npz") and not fits_ferplus(path)


def read_ferplus(path: Path, reading: Reading) -> StillParts:
    """Read FER+ as ``train.npz``, ``valid.npz`` and ``test.npz``."""
    found = {name: ferplus_stills(read_part(p)) for name, p in part_files(path, ".npz").items()}
    return divide("ferplus", found, reading.data)


def read_npz(path: Path, reading: Reading) -> StillParts:
    """Read ``images`` and ``labels`` or ``votes`` from ``.npz`` files."""
    files = part_files(path, ".npz")
    if "train" not in files:
        raise StillsError(f"{path} has no train.npz, nor is it an .npz file")
    parts = {name: read_part(file) for name, file in files.items()}
    return divide("npz", labelled_stills(parts), reading.data)


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "ferplus",
            "train.npz, valid.npz and test.npz with images and votes (N, 10)",
            fits_ferplus,
            read_ferplus,
        ),
        Layout(
            "npz",
            "train.npz (valid.npz, test.npz), or one .npz file, with images and labels, or with "
            "images, votes and classes",
            fits_npz,
            read_npz,
        ),
    )
}


def find_layout(path: Path, name: str = "auto") -> Layout:
    """Find the layout of a path.

    Args:
        path: a folder, or an ``.npz`` file.
        name: a name in ``LAYOUTS``, or ``auto``.

    Raises:
        StillsError: the path does not exist, the name is unknown, or none or several layouts fit.
        OSError: it can't be read.
    """
    if not path.exists():
        raise StillsError(f"{path} does not exist")
    if name != "auto":
        if name not in LAYOUTS:
            raise StillsError(f"no layout is called {name!r}; there are {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(path)]
    if len(fitting) > 1:
        raise StillsError(
            f"{path} may be {' or '.join(layout.name for layout in fitting)}; say which with "
            "--layout"
        )
    if not fitting:
        known = "".join(f"\n  {layout.name}: {layout.expects}" for layout in LAYOUTS.values())
        raise StillsError(f"{path} has no layout that is known here:{known}")
    return fitting[0]


def read_stills(path: Path, layout: str, reading: Reading) -> StillParts:
    """Read a corpus of still images.

    Args:
        path: a folder, or an ``.npz`` file.
        layout: a name in ``LAYOUTS``, or ``auto``.
        reading: how.

    Raises:
        StillsError: see ``find_layout``; or the images don't fit the layout or each other.
        OSError: something can't be read.
    """
    return find_layout(path, layout).read(path, reading)
