"""Gallery: a few sharp crops of each track, kept while faces are searched, for the recogniser.

Only frames in which a detector accepted the face are looked at, and only every few of them. A
track's crops are spread over its time: the best of each stretch of it is kept, and stretches grow
with the track. How many of them are embedded its length decides, so that the recogniser takes less
than a tenth of the search's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np

from pipeline.faces.crops import landmark_transform, warp
from pipeline.faces.frame import Frame
from pipeline.faces.identity import (
    CHIP_SIZE,
    IDENTITY_DIM,
    LEAST_SHARPNESS,
    ONE_PERSON,
    IdentityArrays,
    Recogniser,
)
from pipeline.faces.landmarks import are_upright
from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import SEEN, Box, Sighting, TrackRows, overlap

CHIP = CropSettings(size=CHIP_SIZE, extend=0.5)  # as dlib's recogniser was trained: padding 0.25
OFFER_EVERY = 5  # frames
MOST_CROPS = 4  # of a track
STRETCH_SECONDS = 1.0  # of a track's time that one crop stands for, at first
FRAMES_PER_CROP = 30  # of a track; one crop of it is embedded in any case
KEPT_CROPS = 500  # of tracks that ended, 34 MB; then theirs are embedded before the clip is done
SAME_PLACE = 0.5  # overlap of a crop's box and its track's in that frame: it is still the track's


@dataclass
class Crop:
    """One aligned crop of a face; ``chip`` is dropped once it has its ``embedding``."""

    frame: int
    seconds: float
    box: Box
    sharpness: float
    worth: float
    chip: np.ndarray | None
    embedding: np.ndarray | None = None


@dataclass
class TrackCrops:
    """The best crops of one track, at most ``MOST_CROPS``, each of another stretch of its time."""

    best: dict[int, Crop] = field(default_factory=dict)
    stretch_seconds: float = STRETCH_SECONDS
    offered: int | None = None

    def add(self, crop: Crop) -> None:
        """Keep a crop if it is the best of its stretch; stretches double where they are many."""
        at = int(crop.seconds // self.stretch_seconds)
        self.best[at] = max(self.best.get(at, crop), crop, key=_rank)
        while len(self.best) > MOST_CROPS:
            kept, self.best = self.best, {}
            self.stretch_seconds *= 2
            for one in kept.values():
                self.add(one)

    def absorb(self, other: TrackCrops) -> None:
        """Take over the crops of another track of the same face."""
        for crop in other.best.values():
            self.add(crop)


Kept: TypeAlias = tuple[TrackRows, TrackCrops]  # a track that is a face


class Gallery:
    """Crops of a clip's tracks on their way to embeddings.

    Args:
        recogniser: embeds them.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    def offer(self, crops: TrackCrops, row: Sighting, now: Frame) -> None:
        """Cut a track's face out of a frame if it is time to, and keep it if it is good.

        Args:
            crops: the track's.
            row: the face in this frame.
            now: the frame, at its own scale.
        """
        early = crops.offered is not None and abs(row.frame - crops.offered) < OFFER_EVERY
        if early or row.rung not in SEEN:
            return
        crops.offered = row.frame
        chip = cut_chip(now.image, row.landmarks * np.float32(now.scale))
        side = (row.box[2] - row.box[0]) * now.scale
        sharpness = measure_sharpness(chip, side)
        worth = sharpness * (1 + measure_frontality(row.box, row.landmarks))
        crops.add(Crop(row.frame, now.seconds, row.box, sharpness, worth, chip))

    def is_other(self, faces: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> bool:
        """Say whether two faces, each sharp enough to tell, are of two persons.

        Args:
            faces: of each the frame, the landmarks and the side of the box, in the frame's pixels.
        """
        chips = [cut_chip(image, landmarks) for image, landmarks, _ in faces]
        for chip, (_, _, side) in zip(chips, faces, strict=True):
            if measure_sharpness(chip, side) < LEAST_SHARPNESS:
                return False
        one, other = self.recogniser.embed(np.stack(chips))
        return float(np.linalg.norm(one - other)) >= ONE_PERSON

    def relieve(self, ended: Sequence[Kept]) -> None:
        """Embed the crops of tracks that ended once they are many, so that memory is bounded."""
        if sum(crop.chip is not None for _, c in ended for crop in c.best.values()) > KEPT_CROPS:
            self._embed(ended)

    def finish(self, tracks: Sequence[Kept]) -> IdentityArrays:
        """Embed what is left and return all embeddings, tracks numbered as they come."""
        for rows, crops in tracks:
            crops.best = {at: crop for at, crop in crops.best.items() if _is_of(crop, rows)}
        self._embed(tracks)
        found = [(crop, n) for n, (_, crops) in enumerate(tracks) for crop in crops.best.values()]
        found.sort(key=lambda item: (item[0].frame, item[1]))
        _, first, row = np.unique(
            [crop.frame for crop, _ in found], return_index=True, return_inverse=True
        )
        return IdentityArrays(
            times=np.array([found[index][0].seconds for index in first], np.float64),
            frame=row.astype(np.int32),
            track=np.array([number for _, number in found], np.int32),
            box=np.array([crop.box for crop, _ in found], np.float32).reshape(-1, 4),
            sharpness=np.array([crop.sharpness for crop, _ in found], np.float32),
            embedding=np.array([crop.embedding for crop, _ in found], np.float32).reshape(
                -1, IDENTITY_DIM
            ),
        )

    def _embed(self, tracks: Sequence[Kept]) -> None:
        """Embed the best crops of every track, as many as its length allows; drop the others."""
        for rows, crops in tracks:
            most = max(1, len(rows) // FRAMES_PER_CROP)
            best = sorted(crops.best.items(), key=lambda item: _rank(item[1]))[-most:]
            crops.best = dict(best)
            new = [crop for crop in crops.best.values() if crop.chip is not None]
            chips = np.array([crop.chip for crop in new], np.uint8)
            found = self.recogniser.embed(chips.reshape(-1, CHIP_SIZE, CHIP_SIZE, 3))
            for crop, embedding in zip(new, found, strict=True):
                crop.embedding, crop.chip = embedding, None


def cut_chip(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Cut a face out of a frame as dlib does for its recogniser.

    Shapes:
        ``image``: (H, W, 3), uint8. ``landmarks``: (5, 2), x and y in its pixels.
        result: (150, 150, 3), uint8.
    """
    return warp(image, landmark_transform(landmarks, CHIP), CHIP)


def measure_sharpness(chip: np.ndarray, side: float) -> float:
    """Return how much detail a crop shows: the deviation of its Laplacian, in grey levels.

    It is reduced where the face was smaller than the crop, as that was enlarged.

    Shapes:
        ``chip``: (S, S, 3), uint8, of a face whose box is ``side`` pixels wide.
    """
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) * min(1.0, side / len(chip))


def measure_frontality(box: Box, landmarks: np.ndarray) -> float:
    """Return how far a face looks at the camera, from 1 to 0 for a profile.

    The nose's base stands midway between the eyes of a frontal face, and before one of them where
    the head is turned. A face whose landmarks don't agree with its box counts as a profile.

    Shapes:
        ``landmarks``: (5, 2), in dlib's order.
    """
    if are_upright(np.array([box]), landmarks[None])[0]:
        return 0.0
    right, left, nose = landmarks[:2].mean(0), landmarks[2:4].mean(0), landmarks[4]
    between = right - left
    along = float((nose - left) @ between) / max(float(between @ between), 1e-6)
    return max(0.0, 1.0 - 2.0 * abs(along - 0.5))


def _rank(crop: Crop) -> tuple[bool, float, int]:
    return crop.chip is None, crop.worth, -crop.frame


def _is_of(crop: Crop, rows: TrackRows) -> bool:
    """Say whether a crop is still of its track, which may have lost frames since."""
    return crop.frame in rows and overlap(crop.box, rows[crop.frame].box) > SAME_PLACE
