"""AffectNet's lists as published: training.csv names its columns, validation.csv does not.

The other columns and codes are tried in ``tests/trainer/stills/images/test_affectnet.py``, on lists
made there.
"""

from __future__ import annotations

from pathlib import Path

from tests.trainer.layouts_helper import reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillParts


def labels_of(parts: StillParts) -> list[tuple[int, ...]]:
    return [tuple(part.labels.tolist()) for part in (parts.train, parts.test)]


def test_both_lists_are_read(faults: Path) -> None:
    parts = read_stills(faults / "affectnet-lists" / "aff", "auto", reading())
    assert parts.layout == "affectnet"
    assert [len(part) for part in parts.named().values()] == [16, 0, 8]
    # The column expression, line by line.
    lists = faults / "affectnet-lists" / "aff" / "Manually_Annotated_file_lists"
    written = [
        tuple(int(line.split(",")[6]) for line in (lists / name).read_text().splitlines()[skipped:])
        for name, skipped in (("training.csv", 1), ("validation.csv", 0))
    ]
    assert labels_of(parts) == written
