"""Training, validation and test images of a fine-tuning: their checks, digests and copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.cells import check_no_formula
from cache.digest import digest_array
from trainer.stills.images.stills import Stills

# Part to the names of its images that stand in training too.
Copies = Mapping[str, frozenset[str]]


class StillsError(ValueError):
    """Error of still images that can't be read or can't be trained on."""


@dataclass(frozen=True)
class Unreadable:
    """One image that could not be read: its name and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class StillParts:
    """Training, validation and test images of one corpus, with the same classes.

    Attributes:
        layout: the name of the layout that they were read from.
        train: what is learned from.
        valid: scored after every epoch; nothing is chosen by it. May be empty.
        test: scored once, at the end; may be empty.
        notes: how the parts came about, for the report.
        unreadable: images that were skipped.
        without_face: how many images were taken whole because no face was found in them.
    """

    layout: str
    train: Stills
    valid: Stills
    test: Stills
    notes: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = field(default=())
    without_face: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of every table."""
        return self.train.classes

    def named(self) -> dict[str, Stills]:
        """The parts by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def check_parts(parts: StillParts, target: str) -> None:
    """Check that a training can start on the images.

    Args:
        parts: the images.
        target: ``votes`` or ``majority``; see ``FinetuneSettings``.

    Raises:
        StillsError: fewer than two classes, one that a spreadsheet would run as a formula, parts
            with other classes or another number of channels, fewer than two images to learn from,
            or a class that none of them shows.
    """
    classes = parts.classes
    if len(classes) < 2:
        raise StillsError(
            f"a training needs at least 2 classes, got {', '.join(classes) or 'none'}"
        )
    for name in classes:
        try:
            check_no_formula("class", name)
        except ValueError as error:
            raise StillsError(str(error)) from error
    for name, part in parts.named().items():
        if part.classes != classes:
            raise StillsError(
                f"the parts differ in their classes: train has {', '.join(classes)}, {name} has "
                f"{', '.join(part.classes)}"
            )
    train = parts.train.trainable() if target == "votes" else parts.train.testable()
    if len(train) < 2:
        raise StillsError(
            f"{len(train)} of {len(parts.train)} training images have a target of the kind "
            f"{target}; at least 2 are needed"
        )
    if target == "votes":
        mass = train.targets.sum(axis=0)
    else:
        mass = np.bincount(train.labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, mass, strict=True) if count == 0]
    if empty:
        raise StillsError(
            f"no training image shows {', '.join(empty)}; add images of it, or leave the class out"
        )


def hold_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose which images are held out: the same share of every class, at random.

    A share of at most a half leaves every class an image; a single one is never held out.

    Shapes (N images):
        ``labels``: (N,), any integers.
        result: (N,), bool, True where an image is held out.
    """
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = round(share * len(rows))  # of one image, half is none
        # By class, so that images added to one leave the others' choice alone.
        draw = np.random.default_rng([seed, int(label) + 1])
        chosen[draw.permutation(rows)[:count]] = True
    return chosen


def find_copies(parts: StillParts) -> Copies:
    """Name the labelled images of other parts that stand in training too, pixel for pixel."""
    seen = set(image_digests(parts.train))
    return {
        name: frozenset(
            image
            for image, digest in zip(tested.names, image_digests(tested), strict=True)
            if digest in seen
        )
        for name, tested in (("valid", parts.valid.testable()), ("test", parts.test.testable()))
    }


def describe_parts(parts: StillParts, copies: Copies) -> dict[str, Any]:
    """Say what was trained and tested on: counts, digests, and images that stand on both sides."""
    described: dict[str, Any] = {
        "layout": parts.layout,
        "notes": list(parts.notes),
        "unreadable": len(parts.unreadable),
        "without_face": parts.without_face,
    }
    for name, part in parts.named().items():
        described[name] = {
            "images": len(part),
            "with_target": int((part.targets.sum(axis=1) > 0).sum()),
            "with_label": int((part.labels >= 0).sum()),
            "labels": count_labels(part),
            "images_sha256": digest_array(part.images),
            "targets_sha256": digest_array(part.targets),
            "labels_sha256": digest_array(part.labels),
        }
        if name in copies:
            described[name]["also_in_train"] = len(copies[name])
    return described


def count_labels(stills: Stills) -> Mapping[str, int]:
    """Count the images of each class, by label."""
    counts = np.bincount(stills.labels[stills.labels >= 0], minlength=len(stills.classes))
    return {name: int(count) for name, count in zip(stills.classes, counts, strict=True)}


def image_digests(stills: Stills) -> Sequence[bytes]:
    """Digest the pixels of each image; equal digests mean equal images."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        for image in stills.images
    ]
