"""FER2013's own table: its pixels, its seven expressions, its three parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.layouts_helper import reading
from tests.trainer.stills.images.test_ferplus_csv import write_tables
from trainer.stills.images.image_files import Reading
from trainer.stills.images.layouts import find_layout, read_stills
from trainer.stills.images.parts import StillsError
from trainer.stills.settings import DataSettings


def write_table(path: Path, gap: str = "") -> np.ndarray:
    """Write 11 images: the expressions in the order of their codes, then four tested ones."""
    images = np.arange(11 * 48 * 48).reshape(11, 48, 48) % 251
    usages = ["Training"] * 7 + ["PublicTest"] * 3 + ["PrivateTest"]
    codes = [*range(7), 6, 3, 3, 1]
    rows = [f"emotion,{gap}pixels,{gap}Usage"]
    for code, image, usage in zip(codes, images, usages, strict=True):
        rows.append(f"{code},{' '.join(map(str, image.ravel()))},{usage}")
    path.write_text("\n".join(rows) + "\n")
    return images


@pytest.mark.parametrize(
    ("name", "asked", "gap"),
    [("fer2013.csv", "", ""), ("icml_face_data.csv", "", " "), ("my.csv", "my.csv", "")],
)
def test_the_table_is_read_with_its_parts_and_expressions(
    name: str, asked: str, gap: str, tmp_path: Path
) -> None:
    images = write_table(tmp_path / name, gap)
    parts = read_stills(tmp_path / asked, "auto", reading())
    assert parts.layout == "fer2013"
    # Codes 0 to 6, as its authors published them.
    assert parts.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert parts.train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert parts.valid.labels.tolist() == [6, 3, 3]
    assert parts.test.labels.tolist() == [1]
    np.testing.assert_array_equal(parts.train.images, images[:7])
    np.testing.assert_array_equal(parts.test.images, images[10:])
    np.testing.assert_array_equal(parts.train.targets, np.eye(7))
    assert parts.test.names == (f"{name}:12",)


def test_with_the_votes_beside_it_the_table_is_ferplus(tmp_path: Path) -> None:
    write_tables(tmp_path)
    assert find_layout(tmp_path).name == "ferplus-csv"
    assert find_layout(tmp_path / "fer2013.csv").name == "fer2013"


def test_faces_are_cut_out_of_the_enlarged_images_where_that_is_asked_for(tmp_path: Path) -> None:
    images = write_table(tmp_path / "fer2013.csv")

    seen: list[np.ndarray] = []
    heard: list[tuple[int, int]] = []

    def align(image: np.ndarray) -> np.ndarray | None:
        """Find a face, the lower right corner, in every third image from the first on."""
        assert image.shape == (192, 192, 3)
        seen.append(image)
        return image[96:, 96:] if len(seen) % 3 == 1 else None

    given = Reading(
        DataSettings(), 24, grey=True, align=align, hear=lambda *counts: heard.append(counts)
    )
    parts = read_stills(tmp_path, "auto", given)
    assert parts.train.images.shape == (7, 24, 24)
    assert (len(seen), parts.without_face) == (11, 7)  # 0, 3, 6 and 9 have one
    assert heard == [(number, 11) for number in range(1, 12)]
    # Enlarged and made small again: the corner itself, and the mean of 2 x 2 pixels.
    corner, whole = parts.train.images[3], parts.train.images[4]
    shrunk = images[4].reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert np.corrcoef(corner.ravel(), images[3, 24:, 24:].ravel())[0, 1] > 0.95
    assert np.corrcoef(whole.ravel(), shrunk.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n3,", "\n7,", "line 5: emotion must be from 0 to 6, got '7'"),
        ("\n3,", "\n-1,", "line 5: emotion must be from 0 to 6, got '-1'"),
        ("\n1,", "\n1,300 ", r"line 3: expected 2304 pixels from 0 to 255 .* got 2305: '300 "),
        ("\n0,0 1", "\n0,0", "line 2: expected 2304 pixels .* got 2303"),
        ("\n0,0 1", "\n0,0 256", "line 2: expected 2304 pixels from 0 to 255"),
        ("\n0,0 1", "\n0,0 -1", "line 2: expected 2304 pixels from 0 to 255"),
        ("\n0,0 1", "\n0,0 1.5", "line 2: expected 2304 pixels from 0 to 255"),
        ("\n0,0 1", "\n0,0 99999999999999999999", "line 2: expected 2304 pixels from 0 to 255"),
        ("PublicTest", "Public", "line 9: Usage must be one of Training, Pub.*, got 'Public'"),
        ("emotion", "feeling", "line 2: emotion must be from 0 to 6, got ''"),
    ],
)
def test_a_damaged_row_is_named_by_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    table = tmp_path / "fer2013.csv"
    write_table(table)
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(StillsError, match=message):
        read_stills(tmp_path, "fer2013", reading())


def test_what_is_no_such_table_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for path in (tmp_path, other):
        with pytest.raises(StillsError, match=r"has no fer2013\.csv or icml.* Usage, emotion, pix"):
            read_stills(path, "fer2013", reading())
