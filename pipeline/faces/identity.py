"""Identity embeddings: a few crops of each track of a clip, as dlib's face recogniser sees them.

Two crops with embeddings close to each other are of one person (``SAME_PERSON``). They are made
while faces are searched and kept as the set ``identity`` beside ``faces``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import dlib
import numpy as np

from cache.digest import digest_file
from cache.entries.entry import Entry

CHIP_SIZE = 150  # pixels, of the crops that dlib's recogniser was trained on
IDENTITY_DIM = 128
SAME_PERSON = 0.6  # distance of two embeddings below which dlib calls them one person
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

    def __len__(self) -> int:
        return len(self.frame)

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


class DlibRecogniser:
    """dlib's face recogniser, a residual network of 29 layers trained on 3 million faces.

    A crop takes 57 ms on one core.

    Args:
        model: its file (``dlib_face_recognition_resnet_model_v1.dat``, CC0).

    Raises:
        ValueError: ``model`` is not such a file.

    Source:
        King, "High Quality Face Recognition with Deep Metric Learning", dlib.net, 2017; the network
        is a smaller ResNet-34 (He et al., CVPR 2016), shipped in ``face_recognition_models``.
        Differs from it: crops are not jittered.
    """

    def __init__(self, model: Path) -> None:
        try:
            self._model = dlib.face_recognition_model_v1(str(model))
        except RuntimeError as error:
            raise ValueError(f"{model} is not dlib's face recogniser: {error}") from error

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed crops, one by one; see ``Recogniser``.

        Raises:
            ValueError: ``chips`` is not (N, 150, 150, 3) of uint8.
        """
        if chips.shape[1:] != (CHIP_SIZE, CHIP_SIZE, 3) or chips.dtype != np.uint8:
            raise ValueError(
                f"chips must be (N, {CHIP_SIZE}, {CHIP_SIZE}, 3) of uint8, got {chips.shape} of "
                f"{chips.dtype}"
            )
        embeddings = np.empty((len(chips), IDENTITY_DIM), np.float32)
        for row, chip in zip(embeddings, chips, strict=True):
            row[:] = self._model.compute_face_descriptor(np.ascontiguousarray(chip))
        return embeddings


def find_recogniser() -> Path:
    """Return the file of dlib's face recogniser, which the package of dlib's models holds."""
    import face_recognition_models

    return Path(face_recognition_models.face_recognition_model_location())


@lru_cache(maxsize=1)
def load_recogniser(model: Path, digest: str) -> DlibRecogniser:
    """Load the face recogniser, once per process.

    Args:
        model: its file.
        digest: SHA-256 that the file must have.

    Raises:
        ValueError: the file has changed, or is not dlib's face recogniser.
    """
    if digest_file(model) != digest:
        raise ValueError(f"{model} changed since the run began")
    return DlibRecogniser(model)


def _stored_name(name: str) -> str:
    return name if name == "times" else f"{CROPS}/{name}"
