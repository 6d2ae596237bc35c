"""Corpora as they are given out, each made small and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.stills_helper import make_ferplus, make_images, make_votes
from trainer.stills.affectnet import CLASSES as AFFECTNET
from trainer.stills.config import load_config
from trainer.stills.data_settings import DataSettings
from trainer.stills.identity import RANDOM, resolve, training_identity
from trainer.stills.images import Reading
from trainer.stills.layouts import LAYOUTS, find_layout, read_stills
from trainer.stills.parts import StillParts, StillsError, check_parts, hold_out
from trainer.stills.stills import Stills
from trainer.stills.votes import FERPLUS_CLASSES, majority_labels, vote_targets


def reading(size: int = 7, *, grey: bool = False, **data: object) -> Reading:
    return Reading(DataSettings(**data), size, grey)


def picture(path: Path, level: int, size: tuple[int, int] = (9, 11)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level // 2, 255 - level)).save(path)
    return path


def make_folder(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for number in range(count):
            picture(root / name / f"{number:02}.png", 10 * number + len(name))
    return root


# Arrays.


def test_ferplus_arrays_are_what_loading_them_by_hand_gives(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    parts = read_stills(tmp_path, "auto", reading())
    assert parts.layout == "ferplus"
    for name, part in parts.named().items():
        with np.load(tmp_path / f"{name}.npz") as file:
            images, votes = file["images"], file["votes"].astype(np.int64)
        np.testing.assert_array_equal(part.images, images)
        np.testing.assert_array_equal(part.targets, vote_targets(votes))
        np.testing.assert_array_equal(part.labels, majority_labels(votes))
        assert part.classes == FERPLUS_CLASSES
        assert part.names[3] == f"{name}.npz:3"


def test_both_doors_to_a_training_have_one_identity(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    config = load_config("ferplus")
    parts = read_stills(tmp_path, "auto", Reading(config.data, config.stored_size(), True))
    with np.load(tmp_path / "train.npz") as file:
        images, votes = file["images"], file["votes"].astype(np.int64)
    by_hand = Stills(
        images,
        vote_targets(votes),
        majority_labels(votes),
        FERPLUS_CLASSES,
        tuple(f"train.npz:{i}" for i in range(len(images))),
    )
    doors = [resolve(stills, config.training) for stills in (parts.train, by_hand)]
    assert len({training_identity(*door, RANDOM) for door in doors}) == 1


def test_labels_as_numbers_or_names_are_read_from_arrays(tmp_path: Path) -> None:
    images = make_images(5)
    names = np.array(["sad", "happy", "sad", "angry", "happy"])
    np.savez(tmp_path / "train.npz", images=images, labels=names)
    np.savez(tmp_path / "valid.npz", images=images[:2], labels=names[:2])
    np.savez(tmp_path / "test.npz", images=images[:3], labels=names[[0, 1, 3]])
    parts = read_stills(tmp_path, "auto", reading())
    assert (parts.layout, parts.classes) == ("npz", ("angry", "happy", "sad"))
    assert parts.train.labels.tolist() == [2, 1, 2, 0, 1]
    assert parts.test.targets.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    numbered = tmp_path / "numbered" / "train.npz"
    numbered.parent.mkdir()
    np.savez(numbered, images=images, labels=np.array([0, 2, -1, 1, 2]), classes=["a", "b", "c"])
    part = read_stills(numbered, "auto", reading()).train
    # One of the two images of c is not held out: a tenth of two is none.
    assert (part.classes, part.labels.tolist()) == (("a", "b", "c"), [0, 2, -1, 1, 2])
    assert part.targets.sum(axis=1).tolist() == [1, 1, 0, 1, 1]


def test_votes_for_any_classes_are_shares_and_a_majority(tmp_path: Path) -> None:
    votes = np.array([[3, 1], [2, 2], [0, 0], [0, 5]])
    np.savez(tmp_path / "a.npz", images=make_images(4), votes=votes, classes=["calm", "tense"])
    part = read_stills(tmp_path / "a.npz", "npz", reading()).train
    assert part.targets.tolist() == [[0.75, 0.25], [0.5, 0.5], [0, 0], [0, 1]]
    assert part.labels.tolist() == [0, -1, -1, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, 1]}, "has no array images"),
        ({"images": make_images(2)}, "has neither labels nor votes"),
        ({"images": make_images(2), "votes": [[1, 2], [2, 1]]}, "has votes and no classes"),
        (
            {"images": make_images(2), "votes": [[1, 2], [2, 1]], "classes": ["a", "b", "c"]},
            r"votes for 3 classes \(a, b, c\) must be \(N, 3\), got \(2, 2\)",
        ),
        (
            {"images": make_images(2), "votes": [[0, 0], [0, 0]], "classes": ["a", "b"]},
            "the votes of every image sum to 0",
        ),
        (
            {"images": make_images(2), "votes": [[1, -1], [2, 1]], "classes": ["a", "b"]},
            "votes must be whole numbers of at least 0",
        ),
        (
            {"images": make_images(2), "votes": [[1, 0.5], [2, 1]], "classes": ["a", "b"]},
            "votes must be whole numbers",
        ),
        (
            {"images": make_images(2), "votes": [[1, np.nan], [2, 1]], "classes": ["a", "b"]},
            "votes must be finite counts, got float64",
        ),
        (
            {"images": make_images(2), "labels": [0, 2], "classes": ["a", "b"]},
            "label 2 of image 1 is none of the 2 classes a, b",
        ),
        ({"images": make_images(2), "labels": [0.5, 1]}, r"class numbers or names, got \(2,\) fl"),
        (
            {"images": make_images(2), "labels": [[0], [1]], "classes": ["a", "b"]},
            r"class numbers or names, got \(2, 1\)",
        ),
        ({"images": make_images(2), "labels": [0, 1, 1]}, "need targets .* labels"),
        ({"images": np.zeros((2, 3, 4), np.uint8), "labels": [0, 1]}, r"must be \(N, S, S\)"),
        ({"images": np.zeros((2, 3, 3)), "labels": [0, 1]}, "float64"),
        (
            {"images": make_images(2), "labels": [0, 1], "classes": ["a", "a"]},
            "a class stands twice in a, a",
        ),
        ({"images": np.array([{}]), "labels": [0]}, "not a sound .npz file of plain arrays"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(
    arrays: dict[str, object], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "train.npz", **{name: np.asarray(v) for name, v in arrays.items()})
    with pytest.raises(StillsError, match=rf"train\.npz.*{message}|{message}"):
        read_stills(tmp_path, "npz", reading())


def test_ferplus_needs_ten_votes_an_image(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", images=make_images(3), votes=make_votes(3)[:, :8])
    with pytest.raises(StillsError, match=r"FER\+'s votes are \(N, 10\), .* got \(3, 8\)"):
        read_stills(tmp_path, "ferplus", reading())
    np.savez(tmp_path / "train.npz", images=make_images(3))
    with pytest.raises(StillsError, match="has no array votes"):
        read_stills(tmp_path, "ferplus", reading())


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_truncated_npz_is_refused_by_name(keep: int, tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    file = tmp_path / "train.npz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(StillsError, match=r"train\.npz is not a sound \.npz file"):
        read_stills(tmp_path, "ferplus", reading())


def test_parts_that_differ_in_classes_or_size_are_refused(tmp_path: Path) -> None:
    images, labels = make_images(4), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "train.npz", images=images, labels=labels, classes=["a", "b"])
    np.savez(tmp_path / "valid.npz", images=images, labels=labels, classes=["b", "a"])
    with pytest.raises(StillsError, match=r"the parts differ in their classes: .*train.npz: a, b"):
        read_stills(tmp_path, "auto", reading())
    small = make_images(4, size=5)
    np.savez(tmp_path / "valid.npz", images=small, labels=labels, classes=["a", "b"])
    with pytest.raises(StillsError, match="the parts' images differ in shape"):
        read_stills(tmp_path, "auto", reading())


# FER+ as tables.


def write_tables(root: Path, *, spaces: bool = False) -> tuple[np.ndarray, np.ndarray]:
    images, votes = make_images(9, size=48), make_votes(9)
    usages = ["Training"] * 4 + ["PublicTest"] * 3 + ["PrivateTest"] * 2
    gap = " " if spaces else ""
    pixels = [f"emotion,{gap}Usage,{gap}pixels"]
    table = ["Usage,Image name," + ",".join((*FERPLUS_CLASSES, "unknown", "NF"))]
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
        ("fer2013.csv", "pixels", "dots", "KeyError: 'pixels'"),
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
    with pytest.raises(StillsError, match="have another number of rows: 7"):
        read_stills(tmp_path, "auto", reading())
    (tmp_path / "fer2013.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(StillsError, match=r"fer2013\.csv is not a CSV table"):
        read_stills(tmp_path, "auto", reading())
    path.unlink()
    with pytest.raises(StillsError, match=r"lacks fer2013\.csv or icml_face_data\.csv, or fer2"):
        read_stills(tmp_path, "ferplus-csv", reading())


# Folders.


def test_class_folders_are_divided_by_class_at_random_and_alike_each_time(tmp_path: Path) -> None:
    make_folder(tmp_path, {"sad": 20, "happy": 13})
    (tmp_path / "sad" / "notes.txt").write_text("taken in May")
    (tmp_path / ".cache").mkdir()
    parts = read_stills(tmp_path, "auto", reading(valid_share=0.2, test_share=0.1))
    assert (parts.layout, parts.classes) == ("folder", ("happy", "sad"))
    counts = {name: np.bincount(part.labels).tolist() for name, part in parts.named().items()}
    # Of 13 and 20: a tenth first (1 and 2), then a fifth of the 12 and 18 left (2 and 4).
    assert counts == {"train": [10, 14], "valid": [2, 4], "test": [1, 2]}
    names = [name for part in parts.named().values() for name in part.names]
    assert len(set(names)) == 33
    assert "sad/07.png" in names
    again = read_stills(tmp_path, "folder", reading(valid_share=0.2, test_share=0.1))
    assert again.test.names == parts.test.names
    other = read_stills(tmp_path, "folder", reading(split_seed=5))
    assert other.test.names != parts.test.names
    assert parts.train.images.shape == (24, 7, 7, 3)
    assert any("held out by class at random" in note for note in parts.notes)
    assert any("1 files that are no images" in note for note in parts.notes)


def test_split_folders_stay_as_they_are(tmp_path: Path) -> None:
    for part, count in {"train": 5, "val": 3, "test": 2}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading())
    assert [len(part) for part in parts.named().values()] == [10, 6, 4]
    assert parts.valid.names[0] == "val/happy/00.png"
    assert parts.notes == ()


def test_without_test_folders_nothing_is_called_a_test(tmp_path: Path) -> None:
    for part, count in {"Training": 5, "Validation": 3}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading())
    assert [len(part) for part in parts.named().values()] == [10, 6, 0]
    assert parts.notes == ("the corpus has no test images",)


def test_validation_images_can_be_learned_too(tmp_path: Path) -> None:
    for part, count in {"train": 5, "valid": 3, "test": 2}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading(train_on_valid=True))
    assert [len(part) for part in parts.named().values()] == [16, 0, 4]
    assert "the validation images are learned too" in parts.notes


def test_folders_that_cannot_be_read_say_what_was_expected(tmp_path: Path) -> None:
    picture(tmp_path / "loose" / "one.png", 3)
    with pytest.raises(StillsError, match=r"loose has no layout that is known here:\n  folder"):
        read_stills(tmp_path / "loose", "auto", reading())
    with pytest.raises(StillsError, match=r"has no class folders; expected images in .*<class>/"):
        read_stills(tmp_path / "loose", "folder", reading())
    make_folder(tmp_path / "two" / "train", {"sad": 3, "happy": 3})
    make_folder(tmp_path / "two" / "val", {"sad": 1, "calm": 1})
    with pytest.raises(StillsError, match=r"differ in their classes: .*val has calm, which "):
        read_stills(tmp_path / "two", "auto", reading())
    make_folder(tmp_path / "two" / "validation", {"sad": 1})
    with pytest.raises(StillsError, match="both hold the valid images"):
        read_stills(tmp_path / "two", "auto", reading())


def test_a_corpus_that_may_be_two_names_both(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    make_folder(tmp_path, {"sad": 3, "happy": 3})
    with pytest.raises(StillsError, match="may be folder or ferplus; say which with --layout"):
        find_layout(tmp_path)
    assert find_layout(tmp_path, "ferplus") is LAYOUTS["ferplus"]


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillsError, match="nowhere does not exist"):
        find_layout(tmp_path / "nowhere")
    with pytest.raises(StillsError, match="no layout is called 'mnist'; there are folder, ferplus"):
        find_layout(tmp_path, "mnist")


# RAF-DB.


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


# AffectNet.

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
    assert any("1 images without one of the expressions" in note for note in parts.notes)
    assert any("published validation images" in note for note in parts.notes)


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
        ("7/a.jpg", "../a.jpg", r"line 9: '\.\./a\.jpg' is no path below it"),
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


# Dividing and checking.


def test_holding_out_takes_the_same_share_of_every_class_and_leaves_each_one_image() -> None:
    labels = np.array([0] * 20 + [1] * 10 + [2])
    chosen = hold_out(labels, 0.3, seed=1)
    assert [int(chosen[labels == label].sum()) for label in range(3)] == [6, 3, 0]
    assert hold_out(labels, 0.3, seed=1).tolist() == chosen.tolist()
    assert hold_out(labels, 0.3, seed=2).tolist() != chosen.tolist()
    # More images of another class leave a class's choice alone.
    more = np.append(labels, [2, 2, 2])
    assert hold_out(more, 0.3, seed=1)[:30].tolist() == chosen[:30].tolist()


def parts_of(labels: list[int], classes: tuple[str, ...], test: Stills | None = None) -> StillParts:
    numbers = np.array(labels, np.int64)
    stills = Stills(
        make_images(len(labels)),
        np.eye(max(2, len(classes)), dtype=np.float32)[numbers][:, : len(classes)],
        numbers,
        classes,
        tuple(str(n) for n in range(len(labels))),
    )
    return StillParts("npz", stills, stills, test or stills)


def test_a_training_needs_two_classes_two_images_and_an_image_of_every_class() -> None:
    check_parts(parts_of([0, 1], ("a", "b")), "votes")
    for target in ("votes", "majority"):
        with pytest.raises(StillsError, match="no training image shows b; add images of it, or le"):
            check_parts(parts_of([0, 0, 2], ("a", "b", "c")), target)
        with pytest.raises(StillsError, match=f"1 of 1 training images .* {target}; at least 2"):
            check_parts(parts_of([0], ("a", "b")), target)
    with pytest.raises(StillsError, match="at least 2 classes, got a"):
        check_parts(parts_of([0, 0], ("a",)), "votes")
    other = parts_of([0, 1], ("b", "a")).train
    with pytest.raises(StillsError, match="differ in their classes: train has a, b, test has b, a"):
        check_parts(parts_of([0, 1], ("a", "b"), other), "votes")


def test_no_training_images_are_refused(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    (tmp_path / "train.npz").unlink()
    with pytest.raises(StillsError, match="no training images, only valid, test"):
        read_stills(tmp_path, "ferplus", reading())
    with pytest.raises(StillsError, match=r"has no train\.npz, nor is it an \.npz file"):
        read_stills(tmp_path, "npz", reading())
    make_ferplus(tmp_path)
    (tmp_path / "val.npz").write_bytes(b"")
    with pytest.raises(StillsError, match="both name the valid images"):
        read_stills(tmp_path, "auto", reading())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("valid_share", 0.0, "valid_share must be above 0 and at most 0.5, got 0.0"),
        ("test_share", 0.7, "test_share must be above 0"),
        ("max_unreadable", 1.0, "max_unreadable must be at least 0 and below 1, got 1.0"),
        ("size", 2000, "size must be from 0 to 1024 pixels, got 2000"),
        ("box_extend", -1.0, "box_extend must be from 0 to 4"),
        ("split_seed", -1, "split_seed must not be negative"),
        ("max_pixels", 0, "max_pixels must be from 1 to 150000000, got 0"),
    ],
)
def test_settings_of_the_data_out_of_range_are_refused(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DataSettings(**{name: value})
