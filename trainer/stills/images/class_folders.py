"""Layout ``folder``: image files in a folder for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from trainer.stills.images.divide import divide_files
from trainer.stills.images.image_files import ImageFile, Reading, is_image_name
from trainer.stills.images.parts import StillParts, StillsError

# How corpora call the three parts.
PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}


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
