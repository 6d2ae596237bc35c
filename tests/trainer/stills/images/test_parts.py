"""What a training learns and is judged by: divided, checked, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.layouts_helper import reading
from tests.trainer.stills_helper import make_images, make_parts, make_stills
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import (
    StillParts,
    StillsError,
    check_parts,
    find_copies,
    hold_out,
)
from trainer.stills.images.stills import Stills
from trainer.stills.settings import DataSettings


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
    with pytest.raises(StillsError, match="class '@b' has '@' where a formula begins"):
        check_parts(parts_of([0, 1], ("a", "@b")), "votes")
    other = parts_of([0, 1], ("b", "a")).train
    with pytest.raises(StillsError, match="differ in their classes: train has a, b, test has b, a"):
        check_parts(parts_of([0, 1], ("a", "b"), other), "votes")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("valid_share", 0.0, "valid_share must be above 0 and at most 0.5, got 0.0"),
        ("test_share", 0.7, "test_share must be above 0"),
        ("max_unreadable", 1.0, "max_unreadable must be at least 0 and below 1, got 1.0"),
        ("size", 2000, "size must be from 0 to 1024 pixels, got 2000"),
        ("box_extend", -1.0, "box_extend must be from 0 to 4"),
        ("split_seed", -1, "split_seed must be at least 0"),
        ("max_pixels", 0, "max_pixels must be from 1 to 150000000, got 0"),
    ],
)
def test_settings_of_the_data_out_of_range_are_refused(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DataSettings(**{name: value})


def test_stills_whose_arrays_do_not_fit_are_refused() -> None:
    images, names = make_images(3), ("a", "b", "c")
    targets, labels = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match=r"images must be \(N, S, S\) .* got \(3, 13, 13, 2\)"):
        Stills(np.zeros((3, 13, 13, 2), np.uint8), targets, labels, ("x", "y"), names)
    with pytest.raises(ValueError, match=r"need targets \(3, 2\) and labels \(3,\), got \(3, 3\)"):
        Stills(images, np.zeros((3, 3), np.float32), labels, ("x", "y"), names)
    with pytest.raises(ValueError, match="3 images need as many names, got 2"):
        Stills(images, targets, labels, ("x", "y"), names[:2])


def test_copies_are_of_training_images_not_of_one_another() -> None:
    """Two test images are a training image's and a validation image's, pixel for pixel."""
    train, valid, test = make_stills(13, 0), make_stills(5, 1), make_stills(11, 2)
    images = test.images.copy()
    images[3], images[8] = train.images[6], valid.images[2]
    watched = valid.images.copy()
    watched[4] = train.images[1]
    parts = make_parts(test=replace(test, images=images), valid=replace(valid, images=watched))
    assert find_copies(parts) == {
        "valid": frozenset({"image-1-004"}),
        "test": frozenset({"image-2-003"}),
    }
