"""AffectNet: its lists with boxes, and its cut out faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.layouts_helper import picture, reading
from trainer.stills.images.affectnet import CLASSES as AFFECTNET
from trainer.stills.images.image_files import Reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillsError
from trainer.stills.settings import DataSettings

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)


def make_affectnet(root: Path) -> Path:
    rows = {"training.csv": [HEADER], "validation.csv": [HEADER]}
    for number in range(11):
        name = f"{number}/a.jpg"
        path = root / "Manually_Annotated_Images" / name
        path.parent.mkdir(parents=True)
        # The face is a white square of 10 pixels at (20, 10); black elsewhere.
        image = Image.new("RGB", (60, 50))
        image.paste((255, 255, 255), (20, 10, 30, 20))
        image.save(path, quality=95)
        code = number if number < 8 else {8: 0, 9: 9, 10: 1}[number]
        table = "training.csv" if number < 8 or number == 9 else "validation.csv"
        rows[table].append(f"{name},20,10,10,10,0;0,{code},0.1,0.2")
    rows["training.csv"].append("0/a.jpg,30,30,8,8,0;0,0,0,0")
    for name, lines in rows.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_affectnets_lists_give_faces_by_their_boxes(tmp_path: Path) -> None:
    parts = read_stills(make_affectnet(tmp_path), "auto", reading())
    assert (parts.layout, parts.classes) == ("affectnet", AFFECTNET)
    assert parts.train.names == (*(f"{n}/a.jpg" for n in range(8)), "0/a.jpg#2")
    assert parts.train.labels.tolist() == [*range(8), 0]
    assert parts.test.labels.tolist() == [0, 1]
    assert parts.train.images[:8, 1:-1, 1:-1].min() > 200  # the white square, no black
    assert parts.train.images[8].max() < 30  # the other box, black
    assert "1 images without one of the expressions were left out: 1 uncertain" in parts.notes
    assert any("published validation images" in note for note in parts.notes)


@pytest.mark.parametrize("without", [["validation.csv"], ["training.csv", "validation.csv"]])
def test_a_list_without_names_of_columns_has_those_of_the_published_training_list(
    without: list[str], tmp_path: Path
) -> None:
    expected = read_stills(make_affectnet(tmp_path), "auto", reading())
    for name in without:
        table = tmp_path / name
        table.write_text(table.read_text().removeprefix(HEADER + "\n"))
    parts = read_stills(tmp_path, "auto", reading())
    assert parts.train.names == expected.train.names
    assert parts.test.names == expected.test.names == ("8/a.jpg", "10/a.jpg")
    np.testing.assert_array_equal(parts.test.images, expected.test.images)
    table.write_text(table.read_text().replace("20,10,10,10,0;0,", "20,10,10,10,"))
    with pytest.raises(StillsError, match=rf"{without[-1]} lacks the columns subDir"):
        read_stills(tmp_path, "affectnet", reading())


def test_images_of_no_expression_are_counted_by_kind_and_need_no_box(tmp_path: Path) -> None:
    table = make_affectnet(tmp_path) / "training.csv"
    rows = "".join(f"x/{n}.jpg,NULL,NULL,NULL,NULL,,{8 + n % 3},-2,-2\n" for n in range(5))
    table.write_text(table.read_text() + rows)
    parts = read_stills(tmp_path, "affectnet", reading())
    assert len(parts.train) == 9
    assert (
        "6 images without one of the expressions were left out: 2 none, 3 uncertain, 1 non-face"
        in parts.notes
    )


def test_a_box_is_used_where_one_is_given_and_no_face_is_looked_for(tmp_path: Path) -> None:
    def refuse(image: np.ndarray) -> None:
        raise AssertionError("a box was given")

    given = Reading(DataSettings(), 7, grey=True, align=refuse)
    assert read_stills(make_affectnet(tmp_path), "auto", given).without_face == 0


def test_affectnets_cut_out_faces_have_their_classes_beside_them(tmp_path: Path) -> None:
    for part, count in {"train_set": 17, "val_set": 9}.items():
        (tmp_path / part / "annotations").mkdir(parents=True)
        for number in range(count):
            picture(tmp_path / part / "images" / f"{number}.jpg", number)
            # As given out: a text in an array without dimensions.
            np.save(
                tmp_path / part / "annotations" / f"{number}_exp.npy", np.array(str(number % 8))
            )
    parts = read_stills(tmp_path, "auto", reading())
    assert [len(part) for part in parts.named().values()] == [17, 0, 9]
    by_name = dict(zip(parts.train.names, parts.train.labels.tolist(), strict=True))
    assert by_name["train_set/images/13.jpg"] == 5
    (tmp_path / "train_set" / "annotations" / "3_exp.npy").write_bytes(b"broken")
    with pytest.raises(StillsError, match=r"3_exp\.npy is no plain NumPy array"):
        read_stills(tmp_path, "auto", reading())
    np.save(tmp_path / "train_set" / "annotations" / "3_exp.npy", np.array([1, 2]))
    with pytest.raises(StillsError, match=r"3_exp\.npy must hold one number from 0 to 10, got arr"):
        read_stills(tmp_path, "auto", reading())
    (tmp_path / "train_set" / "annotations" / "3_exp.npy").unlink()
    with pytest.raises(StillsError, match=r"3\.jpg has no annotation .*3_exp\.npy"):
        read_stills(tmp_path, "auto", reading())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expression", "feeling", "lacks the columns expression"),
        (",7,0.1", ",12,0.1", "line 9: expression must be from 0 to 10, got 12"),
        ("7/a.jpg,20", "7/a.jpg,left", "line 9: could not convert"),
        ("7/a.jpg", "../a.jpg", r"line 9: '\.\./a\.jpg' is not a path inside the folder"),
        ("0/a.jpg", "99/a.jpg", r"99/a\.jpg is in none of .*Manually_Annotated_Images"),
    ],
)
def test_a_list_of_affectnet_that_makes_no_sense_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    table = make_affectnet(tmp_path) / "training.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(StillsError, match=message):
        read_stills(tmp_path, "affectnet", reading())


def test_affectnet_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillsError, match=r"has neither training\.csv nor train_set/annotations"):
        read_stills(tmp_path, "affectnet", reading())
