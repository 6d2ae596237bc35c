"""Layout ``ferplus-csv``: pixels in ``fer2013.csv``, votes in ``fer2013new.csv``.

Source: Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013, for the pixels;
Barsoum et al., ICMI 2016, for the votes, row by row in the same order.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import numpy as np

from trainer.stills.images.fer2013 import PIXELS, USAGES, parse_pixels, rows_of
from trainer.stills.images.ferplus_votes import (
    FERPLUS_CLASSES,
    PUBLISHED,
    majority_labels,
    vote_targets,
)
from trainer.stills.images.parts import StillsError
from trainer.stills.images.stills import Stills

VOTES = "fer2013new.csv"
VOTE_COLUMNS = (*PUBLISHED, "unknown", "NF")


def csv_files(path: Path) -> tuple[Path, Path] | None:
    """Find the two tables in a folder."""
    pixels = [path / name for name in PIXELS if (path / name).is_file()]
    return (pixels[0], path / VOTES) if pixels and (path / VOTES).is_file() else None


def fits_ferplus_csv(path: Path) -> bool:
    """Whether both tables are there."""
    return csv_files(path) is not None


def read_ferplus_csv(path: Path) -> dict[str, Stills]:
    """Read the two tables; rows that FER+ names no image for are left out, as its authors do.

    Raises:
        StillsError: a table or column is missing, the tables' rows do not belong together, or a
            value is not what it should be; names the line.
        OSError: a table can't be read.
    """
    files = csv_files(path)
    if files is None:
        raise StillsError(f"{path} lacks {' or '.join(PIXELS)}, or {VOTES} beside it")
    images: dict[str, list[np.ndarray]] = {part: [] for part in USAGES.values()}
    votes: dict[str, list[list[int]]] = {part: [] for part in USAGES.values()}
    names: dict[str, list[str]] = {part: [] for part in USAGES.values()}
    pixels, counts = (rows_of(file) for file in files)
    for number, (pixel_row, vote_row) in enumerate(zip_longest(pixels, counts)):
        if pixel_row is None or vote_row is None:
            raise StillsError(f"{files[0]} and {files[1]} have different numbers of rows: {number}")
        (line, seen), (_, voted) = pixel_row, vote_row
        where = f"line {line} of {files[0]} and {files[1].name}"
        usage = seen.get("Usage", "")
        if usage not in USAGES or voted.get("Usage") != usage:
            raise StillsError(
                f"{where}: Usage must be the same and one of {', '.join(USAGES)}, got {usage!r} "
                f"and {voted.get('Usage')!r}"
            )
        if not voted.get("Image name"):
            continue
        try:
            row = [int(voted[column]) for column in VOTE_COLUMNS]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StillsError(f"{where}: {type(error).__name__}: {error}") from error
        if min(row) < 0:
            raise StillsError(f"{where}: expected votes of at least 0, got {row}")
        part = USAGES[usage]
        images[part].append(parse_pixels(seen.get("pixels", ""), where))
        votes[part].append(row)
        names[part].append(voted["Image name"])
    return {
        part: Stills(
            np.stack(images[part]),
            vote_targets(np.array(votes[part], np.int64)),
            majority_labels(np.array(votes[part], np.int64)),
            FERPLUS_CLASSES,
            tuple(names[part]),
        )
        for part in images
        if images[part]
    }
