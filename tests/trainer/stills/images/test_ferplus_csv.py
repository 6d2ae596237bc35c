"""FER+ as its two tables, joined row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.layouts_helper import reading
from tests.trainer.stills_helper import make_images, make_votes
from trainer.stills.images.ferplus_csv import VOTE_COLUMNS
from trainer.stills.images.ferplus_votes import vote_targets
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillsError


def write_tables(root: Path, *, spaces: bool = False) -> tuple[np.ndarray, np.ndarray]:
    images, votes = make_images(9, size=48), make_votes(9)
    usages = ["Training"] * 4 + ["PublicTest"] * 3 + ["PrivateTest"] * 2
    gap = " " if spaces else ""
    pixels = [f"emotion,{gap}Usage,{gap}pixels"]
    table = ["Usage,Image name," + ",".join(VOTE_COLUMNS)]
    for number, usage in enumerate(usages):
        text = " ".join(map(str, images[number].ravel()))
        pixels.append(f"0,{usage},{text}")
        name = "" if number == 1 else f"fer{number:07}.png"
        table.append(f"{usage},{name}," + ",".join(map(str, votes[number])))
    root.mkdir(exist_ok=True)
    name = "icml_face_data.csv" if spaces else "fer2013.csv"
    (root / name).write_text("\n".join(pixels) + "\n")
    (root / "fer2013new.csv").write_text("\n".join(table) + "\n")
    return images, votes


@pytest.mark.parametrize("spaces", [False, True])
def test_ferplus_tables_are_joined_row_by_row_and_unnamed_rows_left_out(
    spaces: bool, tmp_path: Path
) -> None:
    images, votes = write_tables(tmp_path, spaces=spaces)
    parts = read_stills(tmp_path, "auto", reading())
    assert parts.layout == "ferplus-csv"
    rows = [0, 2, 3]
    np.testing.assert_array_equal(parts.train.images, images[rows])
    np.testing.assert_array_equal(parts.train.targets, vote_targets(votes[rows].astype(int)))
    assert [len(part) for part in parts.named().values()] == [3, 3, 2]
    assert parts.test.names == ("fer0000007.png", "fer0000008.png")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("fer2013new.csv", "Usage", "Use", "line 2 .* Usage must be the same"),
        ("fer2013new.csv", "PublicTest", "Training", "line 6 .* Usage must be the same .*Training"),
        ("fer2013new.csv", "contempt", "scorn", "line 2 .* KeyError: 'contempt'"),
        ("fer2013new.csv", ",8,", ",x,", "line 2 .* ValueError"),
        ("fer2013.csv", "0,Training,", "0,Training,300 ", "expected 2304 pixels from 0 to 255"),
        ("fer2013.csv", "pixels", "dots", "line 2 .* expected 2304 pixels .* got 0"),
    ],
)
def test_damaged_tables_name_the_line(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    write_tables(tmp_path)
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StillsError, match=message):
        read_stills(tmp_path, "ferplus-csv", reading())


def test_tables_of_another_length_are_refused(tmp_path: Path) -> None:
    write_tables(tmp_path)
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(StillsError, match="have different numbers of rows: 7"):
        read_stills(tmp_path, "auto", reading())
    (tmp_path / "fer2013.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(StillsError, match=r"fer2013\.csv is not a CSV table, after line 0"):
        read_stills(tmp_path, "auto", reading())
    path.unlink()
    with pytest.raises(StillsError, match=r"lacks fer2013\.csv or icml_face_data\.csv, or fer2"):
        read_stills(tmp_path, "ferplus-csv", reading())
