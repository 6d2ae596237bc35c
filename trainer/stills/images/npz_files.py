"""Layouts ``ferplus`` and ``npz``: images as arrays, with FER+'s votes, or labels or votes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.stills.images.ferplus_votes import (
    FERPLUS_CLASSES,
    NUM_OTHER,
    majority_labels,
    vote_targets,
)
from trainer.stills.images.parts import StillsError
from trainer.stills.images.stills import Stills

NUM_FERPLUS_VOTES = len(FERPLUS_CLASSES) + NUM_OTHER
ARRAYS = ("images", "votes", "labels", "classes")
MAX_BYTES = 64 * 2**30


@dataclass(frozen=True)
class ArrayPart:
    """The arrays of one ``.npz`` file; ``None`` where it has none of that name."""

    path: Path
    images: NDArray[Any]
    votes: NDArray[Any] | None
    labels: NDArray[Any] | None
    classes: tuple[str, ...] | None


def read_arrays(path: Path, names: tuple[str, ...] = ARRAYS) -> dict[str, NDArray[Any]]:
    """Read some arrays of an ``.npz`` file, those of them that it has.

    Raises:
        StillsError: the file is damaged, holds Python objects, or unpacks to too much.
        OSError: it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_BYTES:
            raise StillsError(f"{path} unpacks to {unpacked} bytes; at most {MAX_BYTES} are read")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file.files}
    except StillsError:
        raise
    # Whatever a damaged archive or array makes of NumPy, zipfile and zlib.
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError) as error:
        raise StillsError(f"{path} is not a valid .npz file of plain arrays: {error}") from error


def read_part(path: Path) -> ArrayPart:
    """Read one ``.npz`` file.

    Raises:
        StillsError: it is damaged, or lacks ``images``.
        OSError: it can't be read.
    """
    found = read_arrays(path)
    if "images" not in found:
        raise StillsError(f"{path} has no array images, (N, S, S) or (N, S, S, 3) uint8")
    classes = found.get("classes")
    return ArrayPart(
        path,
        found["images"],
        found.get("votes"),
        found.get("labels"),
        None if classes is None else tuple(str(name) for name in classes),
    )


def ferplus_stills(part: ArrayPart) -> Stills:
    """Make images of FER+'s votes, after its authors' protocol; see ``ferplus_votes``.

    Raises:
        StillsError: ``votes`` is not (N, 10) or holds no counts, or the images are not uint8.
    """
    if part.votes is None:
        raise StillsError(f"{part.path} has no array votes, (N, {NUM_FERPLUS_VOTES}) counts")
    votes = counts_of(part.votes, part.path)
    if votes.ndim != 2 or votes.shape[1] != NUM_FERPLUS_VOTES:
        raise StillsError(
            f"{part.path}: FER+'s votes are (N, {NUM_FERPLUS_VOTES}), for "
            f"{', '.join(FERPLUS_CLASSES)}, unknown and not-a-face; got {votes.shape}"
        )
    return make_stills(part, vote_targets(votes), majority_labels(votes), FERPLUS_CLASSES)


def labelled_stills(parts: Mapping[str, ArrayPart]) -> dict[str, Stills]:
    """Make images of labels, or of votes for any classes.

    Votes become shares of their row; a row without votes is not trained on. The label of a row of
    votes is the class with more than half of them; the array ``labels`` goes before.

    Args:
        parts: the files by the name of their part; the first gives the classes.

    Raises:
        StillsError: an array is missing or of another kind, the number of classes differs from
            that of the votes, or a label is not one of the classes.
    """
    classes = classes_of(parts)
    result = {}
    for name, part in parts.items():
        if part.votes is None and part.labels is None:
            raise StillsError(f"{part.path} has neither labels nor votes; it needs one of them")
        if part.votes is not None:
            votes = counts_of(part.votes, part.path)
            if votes.ndim != 2 or votes.shape[1] != len(classes):
                raise StillsError(
                    f"{part.path}: votes for {len(classes)} classes ({', '.join(classes)}) must be "
                    f"(N, {len(classes)}), got {votes.shape}"
                )
            total = votes.sum(axis=1, keepdims=True)
            targets = (votes / np.maximum(total, 1)).astype(np.float32)
            labels = np.where(votes.max(axis=1) > 0.5 * total[:, 0], votes.argmax(axis=1), -1)
        if part.labels is not None:
            labels = label_numbers(part, classes)
            if part.votes is None:
                # A label of -1 has no row of the unit matrix: such an image is not trained on.
                rows = np.eye(len(classes), dtype=np.float32)
                targets = np.where(labels[:, None] >= 0, rows[labels], np.float32(0))
        result[name] = make_stills(part, targets, labels.astype(np.int64), classes)
    return result


def classes_of(parts: Mapping[str, ArrayPart]) -> tuple[str, ...]:
    """Find the classes of files that belong together.

    Raises:
        StillsError: they differ, or none can be told.
    """
    named = {part.path: part.classes for part in parts.values() if part.classes is not None}
    if len(set(named.values())) > 1:
        listed = "; ".join(f"{path}: {', '.join(classes)}" for path, classes in named.items())
        raise StillsError(f"the parts differ in their classes: {listed}")
    if named:
        classes = next(iter(named.values()))
        if len(set(classes)) != len(classes):
            raise StillsError(f"a class stands twice in {', '.join(classes)}")
        return classes
    first = next(iter(parts.values()))
    if first.labels is None:
        if first.votes is None:
            raise StillsError(f"{first.path} has neither labels nor votes; it needs one of them")
        raise StillsError(f"{first.path} has votes and no classes; add an array of their names")
    if first.labels.dtype.kind in "US":
        return tuple(sorted({str(name) for name in first.labels}))
    if first.labels.dtype.kind not in "iu" or first.labels.size == 0:
        raise StillsError(
            f"{first.path}: labels must be (N,) class numbers or names, got {first.labels.shape} "
            f"{first.labels.dtype}"
        )
    return tuple(str(number) for number in range(int(first.labels.max()) + 1))


def label_numbers(part: ArrayPart, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Turn names or numbers of classes into numbers; -1 stays where an image has no label.

    Raises:
        StillsError: one is not a class.
    """
    labels = np.asarray(part.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iuUS":
        raise StillsError(
            f"{part.path}: labels must be (N,) class numbers or names, got {labels.shape} "
            f"{labels.dtype}"
        )
    if labels.dtype.kind in "iu":
        numbers = labels.astype(np.int64)
        wrong = np.flatnonzero((numbers < -1) | (numbers >= len(classes)))
    else:
        places = {name: number for number, name in enumerate(classes)}
        numbers = np.array([places.get(str(name), -2) for name in labels], dtype=np.int64)
        wrong = np.flatnonzero(numbers == -2)
    if len(wrong):
        raise StillsError(
            f"{part.path}: label {labels[wrong[0]]!s} of image {wrong[0]} is none of the "
            f"{len(classes)} classes {', '.join(classes)}"
        )
    return numbers


def counts_of(votes: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Check that votes are counts.

    Raises:
        StillsError: one is negative or not a whole number, or no row has any.
    """
    if votes.dtype.kind not in "iuf" or not np.isfinite(votes).all():
        raise StillsError(f"{path}: votes must be finite counts, got {votes.dtype}")
    counts = votes.astype(np.int64)
    if (counts != votes).any() or (counts < 0).any():
        raise StillsError(f"{path}: votes must be whole numbers of at least 0")
    if counts.sum() == 0:
        raise StillsError(f"{path}: the votes of every image sum to 0")
    return counts


def make_stills(
    part: ArrayPart,
    targets: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
) -> Stills:
    """Put the arrays of a file together.

    Raises:
        StillsError: they do not fit each other.
    """
    names = tuple(f"{part.path.name}:{number}" for number in range(len(part.images)))
    try:
        return Stills(part.images, targets, labels, classes, names)
    except ValueError as error:
        raise StillsError(f"{part.path}: {error}") from error
