"""Layouts of corpora of still images: recognised, and read into three parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.stills.images.affectnet import fits_affectnet, read_affectnet
from trainer.stills.images.class_folders import PART_NAMES, fits_folder, read_folder
from trainer.stills.images.divide import divide_stills
from trainer.stills.images.fer2013 import align_faces, pixel_table, read_fer2013
from trainer.stills.images.ferplus_csv import fits_ferplus_csv, read_ferplus_csv
from trainer.stills.images.image_files import Reading
from trainer.stills.images.npz_files import (
    NUM_FERPLUS_VOTES,
    ferplus_stills,
    labelled_stills,
    read_arrays,
    read_part,
)
from trainer.stills.images.parts import StillParts, StillsError
from trainer.stills.images.raf_db import fits_raf_db, read_raf_db


@dataclass(frozen=True)
class Layout:
    """Layout of a corpus: its name, how it is recognised, and its reader.

    Attributes:
        name: as ``--layout`` calls it.
        expects: what it looks like, for messages.
        fits: whether a path looks like it.
        read: reads it.
        faces_given: whether its images are faces cut out already, as arrays.
    """

    name: str
    expects: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Reading], StillParts]
    faces_given: bool = False


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
    return divide_stills("ferplus", found, reading.data)


def read_npz(path: Path, reading: Reading) -> StillParts:
    """Read ``images`` and ``labels`` or ``votes`` from ``.npz`` files."""
    files = part_files(path, ".npz")
    if "train" not in files:
        raise StillsError(f"{path} has no train.npz, nor is it an .npz file")
    parts = {name: read_part(file) for name, file in files.items()}
    return divide_stills("npz", labelled_stills(parts), reading.data)


def read_ferplus_tables(path: Path, reading: Reading) -> StillParts:
    """Read FER+ as its authors gave it out."""
    return divide_stills("ferplus-csv", read_ferplus_csv(path), reading.data)


def fits_fer2013(path: Path) -> bool:
    """Whether FER2013's table is there, without FER+'s votes beside it."""
    return pixel_table(path) is not None and not fits_ferplus_csv(path)


def read_fer2013_table(path: Path, reading: Reading) -> StillParts:
    """Read FER2013 as its authors gave it out; with an aligner as deep-fusion used it."""
    found, without_face = read_fer2013(path), 0
    if reading.align is not None:
        found, without_face = align_faces(found, reading)
    parts = divide_stills("fer2013", found, reading.data)
    return replace(parts, without_face=without_face)


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "folder",
            "<class>/*.jpg, or train/<class>/*.jpg with valid/ and test/ beside it",
            fits_folder,
            read_folder,
        ),
        Layout(
            "ferplus",
            "train.npz, valid.npz and test.npz with images and votes (N, 10)",
            fits_ferplus,
            read_ferplus,
            faces_given=True,
        ),
        Layout(
            "ferplus-csv",
            "fer2013.csv (pixels) and fer2013new.csv (votes)",
            fits_ferplus_csv,
            read_ferplus_tables,
            faces_given=True,
        ),
        Layout(
            "fer2013",
            "fer2013.csv or icml_face_data.csv, or such a table by any name: emotion, pixels, "
            "Usage",
            fits_fer2013,
            read_fer2013_table,
        ),
        Layout(
            "raf-db",
            "EmoLabel/list_partition_label.txt and Image/aligned/*_aligned.jpg",
            fits_raf_db,
            read_raf_db,
        ),
        Layout(
            "affectnet",
            "training.csv, validation.csv and Manually_Annotated_Images, or train_set and val_set "
            "with images/ and annotations/*_exp.npy",
            fits_affectnet,
            read_affectnet,
        ),
        Layout(
            "npz",
            "train.npz (valid.npz, test.npz), or one .npz file, with images and labels, or with "
            "images, votes and classes",
            fits_npz,
            read_npz,
            faces_given=True,
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
        raise StillsError(f"{path} has none of the known layouts:{known}")
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
