"""Layout ``affectnet``: lists with face boxes, or cut-out faces with their annotations.

Source: Mollahosseini, Hasani, Mahoor, "AffectNet: A Database for Facial Expression, Valence, and
Arousal Computing in the Wild", IEEE TAC 2017. Its test images were never published: as in the
literature, the published validation images are what is reported on.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from trainer.stills.images.class_folders import files_below
from trainer.stills.images.divide import divide_files
from trainer.stills.images.image_files import Box, ImageFile, Reading, is_image_name
from trainer.stills.images.parts import StillParts, StillsError

CLASSES = (
    "neutral",
    "happy",
    "sad",
    "surprise",
    "fear",
    "disgust",
    "angry",
    "contempt",
)
OTHER_CODES = ("none", "uncertain", "non-face")  # the codes after the classes
NUM_CODES = len(CLASSES) + len(OTHER_CODES)
PATH, EXPRESSION = "subDirectory_filePath", "expression"
BOX = ("face_x", "face_y", "face_width", "face_height")
# As training.csv has them; validation.csv was published without a line of names.
COLUMNS = (PATH, *BOX, "facial_landmarks", EXPRESSION, "valence", "arousal")
LISTS: Mapping[str, str] = {"train": "training.csv", "test": "validation.csv"}
LIST_FOLDERS = ("", "Manually_Annotated_file_lists", "Manually_Annotated")
IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated",
    "images",
    "",
)
CUT_OUT: Mapping[str, str] = {"train": "train_set", "test": "val_set"}


def list_files(path: Path) -> dict[str, Path]:
    """Find the lists of AffectNet by part."""
    for folder in LIST_FOLDERS:
        found = {part: path / folder / name for part, name in LISTS.items()}
        found = {part: file for part, file in found.items() if file.is_file()}
        if found:
            return found
    return {}


def fits_affectnet(path: Path) -> bool:
    """Whether AffectNet's list of training images is there, or its folder of cut-out faces."""
    files = list_files(path)
    if "train" in files:
        with files["train"].open(encoding="utf-8-sig", errors="replace") as stream:
            line = stream.readline(10_000)
        return PATH in line or holds_data(next(csv.reader([line]), []))
    return (path / CUT_OUT["train"] / "annotations").is_dir()


def read_affectnet(path: Path, reading: Reading) -> StillParts:
    """Read AffectNet; validation images are held out of the training images.

    Raises:
        StillsError: a list or an annotation is missing or damaged, or see ``divide_files``.
        OSError: something can't be read.
    """
    files = list_files(path)
    left_out: Counter[str] = Counter()
    if "train" in files:
        found = {part: list(listed_images(path, file, left_out)) for part, file in files.items()}
    else:
        found = {
            part: list(annotated_images(path, path / name, left_out))
            for part, name in CUT_OUT.items()
            if (path / name).is_dir()
        }
    if "train" not in found:
        raise StillsError(f"{path} has neither {LISTS['train']} nor {CUT_OUT['train']}/annotations")
    notes = []
    if left_out:
        counts = ", ".join(f"{left_out[name]} {name}" for name in OTHER_CODES if left_out[name])
        notes.append(
            f"{left_out.total()} images without one of the expressions were left out: {counts}"
        )
    if "test" in found:
        notes.append("test: the published validation images, as in the literature")
    return divide_files("affectnet", found, CLASSES, reading, notes)


def listed_images(root: Path, table: Path, left_out: Counter[str]) -> Iterator[ImageFile]:
    """Yield the images of a list, each with the face box that it gives.

    A list whose first row is data already has the columns of AffectNet's ``training.csv``.

    Args:
        root: the corpus's folder.
        table: the list.
        left_out: counts the images of no expression.

    Raises:
        StillsError: a column is missing, a value is not a number, or the images are not there.
        OSError: the list can't be read.
    """
    with table.open(encoding="utf-8-sig", newline="") as stream:
        named = not holds_data(next(csv.reader(stream), []))
        stream.seek(0)
        reader = csv.DictReader(stream, None if named else COLUMNS)
        columns = tuple(reader.fieldnames or ())
        if missing := [name for name in (PATH, *BOX, EXPRESSION) if name not in columns]:
            raise StillsError(f"{table} lacks the columns {', '.join(missing)}")
        folder: Path | None = None
        seen: Counter[str] = Counter()
        for row in reader:
            name = row[PATH] or ""
            try:
                code = int(row[EXPRESSION])
                if not 0 <= code < NUM_CODES:
                    raise ValueError(f"expression must be from 0 to {NUM_CODES - 1}, got {code}")
                if code >= len(CLASSES):  # such images may have no box either
                    left_out[OTHER_CODES[code - len(CLASSES)]] += 1
                    continue
                left, top, width, height = (float(row[column]) for column in BOX)
            except (TypeError, ValueError) as error:
                raise StillsError(f"{table}, line {reader.line_num}: {error}") from error
            if Path(name).is_absolute() or ".." in Path(name).parts or not name:
                raise StillsError(
                    f"{table}, line {reader.line_num}: {name!r} is not a path inside the folder"
                )
            if folder is None:
                folder = image_folder(root, name)
            seen[name] += 1
            # Several faces of one image are several rows.
            unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
            box: Box = (left, top, left + width, top + height)
            yield ImageFile(unique, folder / name, code, box)


def holds_data(row: Sequence[str]) -> bool:
    """Whether a list's first row is an image, with AffectNet's columns, and not their names."""
    values = dict(zip(COLUMNS, row, strict=False))
    numbers = [values.get(name, "") for name in (*BOX, EXPRESSION)]
    return len(row) == len(COLUMNS) and all(re.fullmatch(r"-?[\d.]+", n.strip()) for n in numbers)


def image_folder(root: Path, name: str) -> Path:
    """Find the folder below which a listed image lies.

    Raises:
        StillsError: it is in none of those where AffectNet has its images.
    """
    for folder in IMAGE_FOLDERS:
        if (root / folder / name).is_file():
            return root / folder
    places = ", ".join(str(root / folder) for folder in IMAGE_FOLDERS)
    raise StillsError(f"{name} is in none of {places}")


def annotated_images(root: Path, folder: Path, left_out: Counter[str]) -> Iterator[ImageFile]:
    """Yield the cut-out faces of ``images``, each with the class of ``annotations/<name>_exp.npy``.

    Args:
        root: the corpus's folder.
        folder: of one part.
        left_out: counts the images of no expression.

    Raises:
        StillsError: an annotation is missing or holds no class.
        OSError: something can't be read.
    """
    for file in files_below(folder / "images"):
        if not is_image_name(file):
            continue
        annotation = folder / "annotations" / f"{file.stem}_exp.npy"
        try:
            value = np.load(annotation, allow_pickle=False)
            code = int(value.reshape(-1)[0]) if value.size == 1 else -1
        except FileNotFoundError as error:
            raise StillsError(f"{file} has no annotation {annotation}") from error
        except (ValueError, EOFError) as error:
            raise StillsError(f"{annotation} is no plain NumPy array: {error}") from error
        if not 0 <= code < NUM_CODES:
            raise StillsError(
                f"{annotation} must hold one number from 0 to {NUM_CODES - 1}, got {value!r}"
            )
        if code >= len(CLASSES):
            left_out[OTHER_CODES[code - len(CLASSES)]] += 1
            continue
        yield ImageFile(file.relative_to(root).as_posix(), file, code)
