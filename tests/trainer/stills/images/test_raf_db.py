"""RAF-DB: one folder of aligned images, and a list of their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.layouts_helper import picture, reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillsError


def make_raf_db(root: Path) -> Path:
    lines = []
    for number in range(1, 15):
        label = number % 7 + 1
        part = "train" if number <= 10 else "test"
        lines.append(f"{part}_{number:05}.jpg {label}")
        picture(root / "Image" / "aligned" / f"{part}_{number:05}_aligned.jpg", number * 9)
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return root


def test_raf_db_is_read_by_its_list_from_its_root_or_the_folder_above(tmp_path: Path) -> None:
    make_raf_db(tmp_path / "basic")
    parts = read_stills(tmp_path, "auto", reading())
    assert parts.layout == "raf-db"
    assert parts.classes[0] == "surprise"
    assert parts.test.names == tuple(f"test_{n:05}.jpg" for n in range(11, 15))
    assert parts.test.labels.tolist() == [11 % 7, 12 % 7, 13 % 7, 14 % 7]
    assert len(parts.train) + len(parts.valid) == 10
    assert read_stills(tmp_path / "basic", "auto", reading()).train.names == parts.train.names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_1.jpg 8", "line 15: expected .* class from 1 to 7, got 'train_1.jpg 8'"),
        ("other_1.jpg 1", "line 15: expected train_<number>"),
        ("train_/../x.jpg 1", "line 15"),
        ("train_00001.jpg 2", "lists images twice: train_00001.jpg"),
    ],
)
def test_a_list_of_raf_db_that_makes_no_sense_is_refused(
    line: str, message: str, tmp_path: Path
) -> None:
    table = make_raf_db(tmp_path) / "EmoLabel" / "list_patition_label.txt"
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(StillsError, match=message):
        read_stills(tmp_path, "raf-db", reading())


def test_raf_db_without_its_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillsError, match=r"has no EmoLabel/list_partition_label\.txt or list_pat"):
        read_stills(tmp_path, "raf-db", reading())
