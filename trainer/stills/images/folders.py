"""Corpora of image files in folders: a folder for each class, and RAF-DB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from trainer.stills.images.divide import divide_files
from trainer.stills.images.files import ImageFile, Reading, is_image_name
from trainer.stills.images.parts import StillParts, StillsError
from trainer.wording import name_some

# How corpora call the three parts.
PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
# RAF-DB's numbers of the basic expressions start from 1.
RAF_DB_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
# The second is how the corpus itself spells it.
RAF_DB_LISTS = ("list_partition_label.txt", "list_patition_label.txt")


def subfolders(path: Path) -> list[Path]:
    """List the folders in a folder, hidden ones left out, by name."""
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def holds_images(path: Path) -> bool:
    """Whether an image file lies in a folder itself."""
    return any(is_image_name(file) for file in path.iterdir())


def part_folders(path: Path) -> dict[str, Path]:
    """Find the folder of each part.

    Raises:
        StillsError: two folders stand for one part.
    """
    found: dict[str, Path] = {}
    for part, names in PART_NAMES.items():
        folders = [folder for folder in subfolders(path) if folder.name.lower() in names]
        if len(folders) > 1:
            raise StillsError(f"{' and '.join(map(str, folders))} both hold the {part} images")
        if folders:
            found[part] = folders[0]
    return found


def fits_folder(path: Path) -> bool:
    """Whether images lie in class folders, directly or below a folder ``train``."""
    below = part_folders(path).get("train", path)
    return any(holds_images(folder) for folder in subfolders(below))


def read_folder(path: Path, reading: Reading) -> StillParts:
    """Read a folder for each class, below ``train``, ``valid`` and ``test`` or directly.

    Raises:
        StillsError: there are no class folders, a part has a class that training lacks, or see
            ``divide_files``.
        OSError: a folder can't be read.
    """
    folders = part_folders(path)
    if "train" not in folders:
        folders = {"train": path}
    classes = tuple(folder.name for folder in subfolders(folders["train"]))
    if not classes:
        raise StillsError(
            f"{folders['train']} has no class folders; expected images in {path}/<class>/ or "
            f"{path}/train/<class>/"
        )
    found: dict[str, list[ImageFile]] = {}
    others = 0
    for part, folder in folders.items():
        extra = [one.name for one in subfolders(folder) if one.name not in classes]
        if extra:
            raise StillsError(
                f"the parts differ in their classes: {folder} has {', '.join(extra)}, which "
                f"{folders['train']} has not; it has {', '.join(classes)}"
            )
        found[part] = []
        for number, name in enumerate(classes):
            for file in files_below(folder / name):
                if is_image_name(file):
                    relative = file.relative_to(path).as_posix()
                    found[part].append(ImageFile(relative, file, number))
                else:
                    others += 1
    notes = [f"{others} files that are no images by their names were left out"] if others else []
    return divide_files("folder", found, classes, reading, notes)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and those in it, hidden ones left out, by name."""
    if folder.is_dir():
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield file


def raf_db_files(path: Path) -> tuple[Path, Path] | None:
    """Find RAF-DB's list and the folder of its aligned images, in a folder or in ``basic``."""
    for root in (path, path / "basic"):
        for name in RAF_DB_LISTS:
            for place in (root / "EmoLabel" / name, root / name):
                if place.is_file():
                    return place, root / "Image" / "aligned"
    return None


def fits_raf_db(path: Path) -> bool:
    """Whether RAF-DB's list is there."""
    return raf_db_files(path) is not None


def read_raf_db(path: Path, reading: Reading) -> StillParts:
    """Read RAF-DB's basic expressions; validation images are held out of the training images.

    Raises:
        StillsError: the list is missing or damaged, or see ``divide_files``.
        OSError: it can't be read.

    Source:
        Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression
        Recognition in the Wild", CVPR 2017; the layout of its distribution.
    """
    places = raf_db_files(path)
    if places is None:
        raise StillsError(f"{path} has no EmoLabel/{' or '.join(RAF_DB_LISTS)}")
    table, folder = places
    found: dict[str, list[ImageFile]] = {}
    for number, line in enumerate(table.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().partition(" ")
        part = name.partition("_")[0]
        known = label.strip().isdecimal() and 1 <= int(label) <= len(RAF_DB_CLASSES)
        if part not in ("train", "test") or "/" in name or "\\" in name or not known:
            raise StillsError(
                f"{table}, line {number}: expected train_<number>.jpg or test_<number>.jpg and a "
                f"class from 1 to {len(RAF_DB_CLASSES)}, got {line.strip()[:80]!r}"
            )
        stem, _, suffix = name.rpartition(".")
        file = folder / f"{stem}_aligned.{suffix}"
        found.setdefault(part, []).append(ImageFile(name, file, int(label) - 1))
    counts = Counter(file.name for files in found.values() for file in files)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise StillsError(f"{table} lists images twice: {name_some(repeated)}")
    return divide_files("raf-db", found, RAF_DB_CLASSES, reading)
