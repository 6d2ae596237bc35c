"""Identity embeddings: a few crops of each track of a clip, as dlib's face recogniser sees them.

Two crops with embeddings close to each other are of one person (``SAME_PERSON``). They are made
while faces are searched and kept as the set ``identity`` beside ``faces``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from cache.entries.entry import Entry

CHIP_SIZE = 150  # pixels, of the crops that dlib's recogniser was trained on
IDENTITY_DIM = 128
SAME_PERSON = 0.6  # distance of two embeddings below which dlib calls them one person
# Distance below which two crops, or groups of crops, are taken for one person's: of 1,226 pairs of
# tracks of different real clips none was nearer than 0.39, of the halves of a track 82 % were.
ONE_PERSON = 0.38
LEAST_SHARPNESS = 0.5  # of a crop; smears and faces under some 30 pixels all look alike
CROPS = "crops"  # the group of an entry's arrays that have a row per crop


@dataclass(frozen=True)
class IdentityArrays:
    """Identity embeddings of a clip's tracks, one row per crop, sorted by frame and track.

    Shapes (F frames that crops were taken from, M crops):
        ``times``: (F,), float64, seconds from the clip's start, strictly increasing.
        ``frame``: (M,), int32; row of ``times``.
        ``track``: (M,), int32; number of the track, as in the clip's ``faces`` entry.
        ``box``: (M, 4), float32; left, top, right, bottom in pixels.
        ``sharpness``: (M,), float32; more is sharper and larger, see ``measure_sharpness``.
        ``embedding``: (M, 128), float32; Euclidean distances between them tell persons apart.
    """

    times: np.ndarray
    frame: np.ndarray
    track: np.ndarray
    box: np.ndarray
    sharpness: np.ndarray
    embedding: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names that an entry stores them under; see ``read_identity``."""
        return {_stored_name(name): values for name, values in vars(self).items()}


def read_identity(entry: Entry) -> IdentityArrays:
    """Return the identity embeddings that a clip's entry in the set ``identity`` holds.

    Args:
        entry: what ``FeatureSet.read(clip)`` returned, with all its arrays.

    Raises:
        ValueError: the entry lacks an array: it isn't one of an ``identity`` set, or was read in
            part.
    """
    names = {field.name: _stored_name(field.name) for field in fields(IdentityArrays)}
    missing = [stored for stored in names.values() if stored not in entry.arrays]
    if missing:
        raise ValueError(
            f"clip {entry.clip}: expected an entry of an identity set with all its arrays, "
            f"this one has no {', '.join(missing)}"
        )
    return IdentityArrays(**{name: entry.arrays[stored] for name, stored in names.items()})


class Recogniser(Protocol):
    """Network that turns aligned faces into identity embeddings."""

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed crops; the same crop yields the same embedding, whichever others are beside it.

        Shapes (N crops):
            ``chips``: (N, 150, 150, 3), uint8, RGB, aligned as ``dlib.get_face_chip`` does.
            result: (N, 128), float32.
        """


def _stored_name(name: str) -> str:
    return name if name == "times" else f"{CROPS}/{name}"
