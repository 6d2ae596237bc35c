"""Stills given as arrays in .npz files, FER+ among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.layouts_helper import reading
from tests.trainer.stills_helper import make_ferplus, make_images, make_votes
from trainer.stills.images.ferplus_votes import FERPLUS_CLASSES, majority_labels, vote_targets
from trainer.stills.images.image_files import Reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillsError
from trainer.stills.images.stills import Stills
from trainer.stills.prepare import RANDOM, resolve, training_identity
from trainer.stills.settings import load_config


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
        ({"images": np.array([{}]), "labels": [0]}, "not a valid .npz file of plain arrays"),
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
    with pytest.raises(StillsError, match=r"train\.npz is not a valid \.npz file"):
        read_stills(tmp_path, "ferplus", reading())
