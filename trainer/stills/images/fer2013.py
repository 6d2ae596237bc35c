"""Layout ``fer2013``: FER2013's own table of pixels and expressions.

Source: Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013. Zhang, Wang, Du,
"Deep Fusion", 2019, section III-A, fine-tune their face networks on it, with its faces detected and
aligned by dlib, and the whole image where none is found.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.stills.images.image_files import Reading
from trainer.stills.images.parts import StillsError
from trainer.stills.images.stills import Stills

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PIXELS = ("fer2013.csv", "icml_face_data.csv")  # as on its own page, and as Kaggle has it
COLUMNS = {"emotion", "pixels", "Usage"}
USAGES: Mapping[str, str] = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
SIDE = 48
ENLARGED = 4 * SIDE


def pixel_table(path: Path) -> Path | None:
    """Find the table in a folder, or take the file that ``path`` is if it is such a table."""
    if path.is_file():
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            header = stream.readline(1000)
        return path if {name.strip() for name in header.split(",")} >= COLUMNS else None
    return next((path / name for name in PIXELS if (path / name).is_file()), None)


def read_fer2013(path: Path) -> dict[str, Stills]:
    """Read the table, with the expressions that FER2013 names; for FER+'s see ``ferplus_csv``.

    Raises:
        StillsError: the table or a column is missing, or a value is not what it should be; names
            the line.
        OSError: the table can't be read.
    """
    table = pixel_table(path)
    if table is None:
        raise StillsError(f"{path} has no {' or '.join(PIXELS)} with {', '.join(sorted(COLUMNS))}")
    images: dict[str, list[NDArray[np.uint8]]] = {part: [] for part in USAGES.values()}
    labels: dict[str, list[int]] = {part: [] for part in USAGES.values()}
    names: dict[str, list[str]] = {part: [] for part in USAGES.values()}
    for line, row in rows_of(table):
        where = f"{table}, line {line}"
        part = USAGES.get(row.get("Usage", ""))
        if part is None:
            raise StillsError(
                f"{where}: Usage must be one of {', '.join(USAGES)}, got {row.get('Usage')!r}"
            )
        code = row.get("emotion", "")
        if not (code.isdecimal() and int(code) < len(FER2013_CLASSES)):
            raise StillsError(
                f"{where}: emotion must be from 0 to {len(FER2013_CLASSES) - 1}, got {code!r}"
            )
        images[part].append(parse_pixels(row.get("pixels", ""), where))
        labels[part].append(int(code))
        names[part].append(f"{table.name}:{line}")
    rows = np.eye(len(FER2013_CLASSES), dtype=np.float32)
    return {
        part: Stills(
            np.stack(images[part]),
            rows[labels[part]],
            np.array(labels[part], np.int64),
            FER2013_CLASSES,
            tuple(names[part]),
        )
        for part in images
        if images[part]
    }


def align_faces(found: Mapping[str, Stills], reading: Reading) -> tuple[dict[str, Stills], int]:
    """Cut the aligned face out of every image; the whole image where none is found.

    Args:
        found: the parts, (N, 48, 48).
        reading: with an aligner.

    Returns:
        The parts, (N, S, S) with S = ``reading.size``, and how many images were taken whole.
    """
    without_face = done = 0
    total = sum(map(len, found.values()))
    aligned = {}
    for part, stills in found.items():
        images = np.empty((len(stills), reading.size, reading.size), np.uint8)
        for place, pixels in enumerate(stills.images):
            # dlib finds no face of less than 80 pixels.
            large = Image.fromarray(pixels).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
            crop = reading.align(np.asarray(large.convert("RGB"))) if reading.align else None
            without_face += crop is None
            face = large if crop is None else Image.fromarray(crop).convert("L")
            size = (reading.size, reading.size)
            images[place] = np.asarray(face.resize(size, Image.Resampling.BILINEAR))
            done += 1
            if reading.hear is not None:
                reading.hear(done, total)
        aligned[part] = replace(stills, images=images)
    return aligned, without_face


def parse_pixels(text: str, where: str) -> NDArray[np.uint8]:
    """Return one row's image: (48, 48), uint8.

    Args:
        text: its pixels, with spaces between.
        where: the row, for messages.

    Raises:
        StillsError: there is another number of pixels, or one is not from 0 to 255.
    """
    # Seven times faster than int() on each of 83 million numbers, but lenient: so digits only.
    plain = text.isascii() and text.replace(" ", "").isdecimal()
    values = np.fromstring(text if plain else "", dtype=np.int64, sep=" ")
    if values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise StillsError(
            f"{where}: expected {SIDE * SIDE} pixels from 0 to 255 with spaces between, got "
            f"{len(text.split())}: {text[:40]!r} ..."
        )
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def rows_of(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield a table's lines and rows by column; Kaggle's copy has spaces before the names.

    Raises:
        StillsError: it is not a CSV table.
        OSError: it can't be read.
    """
    line = 0  # of the last row that was read
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                line = reader.line_num
                if row:
                    values = (value.strip() for value in row)
                    yield reader.line_num, dict(zip(header, values, strict=False))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StillsError(f"{file} is not a CSV table, after line {line}: {error}") from error
