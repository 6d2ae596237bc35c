"""Divide a corpus into training, validation and test images where it does not do so itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.stills.images.image_files import ImageFile, Reading, read_images
from trainer.stills.images.parts import StillParts, StillsError, hold_out
from trainer.stills.images.stills import Stills
from trainer.stills.settings import DataSettings

# Which images of which given part make up a part.
Pieces = list[tuple[str, NDArray[np.int64]]]


@dataclass(frozen=True)
class Division:
    """Choice of the images of ``train``, ``valid`` and ``test``, and notes on it."""

    parts: Mapping[str, Pieces]
    notes: tuple[str, ...]


def plan_division(labels: Mapping[str, NDArray[np.int64]], data: DataSettings) -> Division:
    """Hold out the parts that a corpus lacks; join validation to training if ``data`` says so.

    Without validation images a share of the training images is held out; without test images too,
    another share. A corpus with validation and no test images gets no test part.

    Args:
        labels: the labels of each part that the corpus has.
        data: the shares and their seed.

    Raises:
        StillsError: there are no training images.
    """
    if not len(labels.get("train", ())):
        raise StillsError(
            f"there are no training images; there are images of {', '.join(labels) or 'no part'}"
        )
    parts: dict[str, Pieces] = {
        name: [(name, np.arange(len(given)))] for name, given in labels.items()
    }
    parts = {"train": [], "valid": [], "test": []} | parts
    notes = []
    missing = [name for name in ("test", "valid") if name not in labels]
    if missing == ["test"]:
        missing = []
        notes.append("the corpus has no test images")
    left = np.arange(len(labels["train"]))
    for name in missing:
        share = data.valid_share if name == "valid" else data.test_share
        # Another draw for each, of what the one before left.
        chosen = hold_out(labels["train"][left], share, data.split_seed + (name == "valid"))
        parts[name] = [("train", left[chosen])]
        left = left[~chosen]
        notes.append(
            f"{name}: {share:g} of the training images, held out by class at random (seed "
            f"{data.split_seed}); images of one person may stand on both sides"
        )
    parts["train"] = [("train", left)]
    if data.train_on_valid and parts["valid"]:
        parts["train"] += parts["valid"]
        parts["valid"] = []
        notes.append("the validation images are learned too")
    return Division(parts, tuple(notes))


def divide_stills(layout: str, found: Mapping[str, Stills], data: DataSettings) -> StillParts:
    """Divide images in memory; see ``plan_division``.

    Raises:
        StillsError: there are no training images, or the parts' images differ in shape.
    """
    division = plan_division({name: part.labels for name, part in found.items()}, data)
    shapes = {name: part.images.shape[1:] for name, part in found.items()}
    if len(set(shapes.values())) > 1:
        raise StillsError(f"the parts' images differ in shape: {shapes}")
    made = {
        name: found[pieces[0][0]]
        if len(pieces) == 1 and len(pieces[0][1]) == len(found[pieces[0][0]])
        else take(found, pieces)
        for name, pieces in division.parts.items()
    }
    return StillParts(layout, made["train"], made["valid"], made["test"], division.notes)


def take(found: Mapping[str, Stills], pieces: Pieces) -> Stills:
    """Put pieces of parts together; no pieces are an empty part."""
    chosen = [found[name].select(rows) for name, rows in pieces]
    chosen = chosen or [found["train"].select(np.zeros(0, np.int64))]
    return Stills(
        np.concatenate([part.images for part in chosen]),
        np.concatenate([part.targets for part in chosen]),
        np.concatenate([part.labels for part in chosen]),
        chosen[0].classes,
        tuple(name for part in chosen for name in part.names),
    )


def divide_files(
    layout: str,
    found: Mapping[str, Sequence[ImageFile]],
    classes: tuple[str, ...],
    reading: Reading,
    notes: Sequence[str] = (),
) -> StillParts:
    """Divide image files, then read them, so that none is in memory twice.

    Args:
        layout: its name.
        found: the files of each part that the corpus has.
        classes: names of the classes.
        reading: how to read them.
        notes: what is to be said of the corpus already.

    Raises:
        StillsError: there are no training images, or too many can't be read.
    """
    labels = {
        name: np.array([file.label for file in files], np.int64) for name, files in found.items()
    }
    division = plan_division(labels, reading.data)
    lists = {
        name: [found[source][row] for source, rows in pieces for row in rows]
        for name, pieces in division.parts.items()
    }
    everything = [file for files in lists.values() for file in files]
    read = read_images(everything, reading)
    made, start = {}, 0
    rows = np.eye(len(classes), dtype=np.float32)
    for name, files in lists.items():
        first, last = np.searchsorted(read.kept, (start, start + len(files)))
        kept = [everything[place] for place in read.kept[first:last]]
        numbers = np.array([file.label for file in kept], np.int64)
        made[name] = Stills(
            read.images[first:last],
            rows[numbers],
            numbers,
            classes,
            tuple(file.name for file in kept),
        )
        start += len(files)
    return StillParts(
        layout,
        made["train"],
        made["valid"],
        made["test"],
        (*notes, *division.notes),
        read.unreadable,
        read.without_face,
    )
