"""Layout ``raf-db``: RAF-DB's list of labels and its aligned images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cache.wording import name_some
from trainer.stills.images.divide import divide_files
from trainer.stills.images.image_files import ImageFile, Reading
from trainer.stills.images.parts import StillParts, StillsError

# RAF-DB's numbers of the basic expressions start from 1.
RAF_DB_CLASSES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
# The second is how the corpus itself spells it.
RAF_DB_LISTS = ("list_partition_label.txt", "list_patition_label.txt")


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
