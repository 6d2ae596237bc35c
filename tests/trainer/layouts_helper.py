"""Corpora of stills, made small."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from trainer.stills.images.image_files import Reading
from trainer.stills.settings import DataSettings


def reading(size: int = 7, *, grey: bool = False, **data: object) -> Reading:
    """How to read images that take no time: small, in colour unless said."""
    return Reading(DataSettings(**data), size, grey)


def picture(path: Path, level: int, size: tuple[int, int] = (9, 11)) -> Path:
    """Write an image of one colour, which tells its level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level // 2, 255 - level)).save(path)
    return path


def make_folder(root: Path, counts: dict[str, int]) -> Path:
    """Write a folder for each class with so many images."""
    for name, count in counts.items():
        for number in range(count):
            picture(root / name / f"{number:02}.png", 10 * number + len(name))
    return root
