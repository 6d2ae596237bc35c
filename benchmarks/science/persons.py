"""Distances of one face and of two people, for the limits of ``pipeline.persons.find``.

Usage: ``python -m benchmarks.science.persons --data DATA -o FILE``, DATA with ``clips/faces`` and
``ferplus/test.npz``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import dlib
import face_recognition_models as models
import numpy as np

from benchmarks.machine import describe_machine, write_result
from pipeline.media.frames import VideoReader
from pipeline.persons.cluster import Groups, cluster_groups
from pipeline.persons.find import SAME

MOMENTS = 8  # of a clip
STRANGERS = 400
CHIP = 150
SHRUNK = (16, 24, 32, 48, 64)  # pixels of a face
LIMITS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
TRACKS = ((10_000, 1), (10_000, 500), (30_000, 2_000))


class Recogniser:
    """dlib's detector, landmarks and recogniser."""

    def __init__(self) -> None:
        self.detect = dlib.get_frontal_face_detector()
        self.place = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
        self.model = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def chips(self, image: np.ndarray) -> list[np.ndarray]:
        """Cut out the faces of an image."""
        found = self.detect(image, 1 if image.shape[1] < 500 else 0)
        return [dlib.get_face_chip(image, self.place(image, box), CHIP, 0.25) for box in found]

    def embed(self, chips: list[np.ndarray]) -> np.ndarray:
        """Embed crops: (N, 128)."""
        return np.array(
            [self.model.compute_face_descriptor(np.ascontiguousarray(c)) for c in chips]
        )


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distance of each embedding of one to each of the other."""
    found: np.ndarray = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))
    return found


def strangers(data: Path) -> Iterator[np.ndarray]:
    """Yield pictures of FER+, enlarged, with their edge around them."""
    images = np.load(data / "ferplus" / "test.npz")["images"]
    for row in np.random.default_rng(0).permutation(len(images))[:STRANGERS]:
        grey = cv2.resize(images[row], (200, 200), interpolation=cv2.INTER_CUBIC)
        colour = np.repeat(grey[..., None], 3, 2)
        yield np.pad(colour, ((50, 50), (50, 50), (0, 0)), "edge")


def moments(path: Path) -> Iterator[np.ndarray]:
    """Yield some frames of a clip at even distances, at most 960 pixels wide."""
    frames = [image for part in VideoReader(path) for image in part.images]
    for at in np.linspace(0, len(frames) - 1, min(len(frames), MOMENTS)).round().astype(int):
        image = frames[at]
        scale = min(1.0, 960 / image.shape[1])
        yield cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def shrink(chip: np.ndarray, size: int) -> np.ndarray:
    """Shrink a crop until its face, two thirds of it, has so many pixels, and enlarge it again."""
    small = cv2.resize(chip, (size * 3 // 2,) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (CHIP, CHIP), interpolation=cv2.INTER_LINEAR)


def time_clusters(tracks: int, people: int) -> dict[str, Any]:
    """Cluster synthetic tracks of people 0.88 apart, each 0.28 from itself."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(people, 128)) * 0.88 / np.sqrt(2 * 128)
    who = generator.integers(0, people, tracks)
    mean = centres[who] + generator.normal(size=(tracks, 128)) * 0.28 / np.sqrt(2 * 128)
    square = (mean**2).sum(axis=1)
    groups = Groups(np.ones(tracks), mean, square, np.arange(tracks), np.full(tracks, -1))
    start = time.process_time()
    found = cluster_groups(groups, SAME)[1]
    return {
        "tracks": tracks,
        "people": len(set(who.tolist())),
        "found": int(found.max()) + 1,
        "processor_seconds": round(time.process_time() - start, 1),
    }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    recogniser = Recogniser()
    chips = {
        path.stem: [c for image in moments(path) for c in recogniser.chips(image)]
        for path in sorted((given.data / "clips" / "faces").iterdir())
    }
    embedded = {clip: recogniser.embed(found) for clip, found in chips.items() if found}
    fer = [found for image in strangers(given.data) if len(found := recogniser.chips(image)) == 1]
    apart = distances(*[recogniser.embed([found[0] for found in fer])] * 2)
    apart = apart[np.triu_indices(len(apart), 1)]
    every = [chip for found in chips.values() for chip in found]
    plain = recogniser.embed(every)
    away = {
        size: np.linalg.norm(recogniser.embed([shrink(c, size) for c in every]) - plain, axis=1)
        for size in SHRUNK
    }
    write_result(
        given.output,
        {
            "machine": describe_machine(),
            "clips": {
                one: {
                    other: round(float(np.sqrt((distances(a, b) ** 2).mean())), 3)
                    for other, b in embedded.items()
                }
                for one, a in embedded.items()
            },
            "strangers": {
                "pairs": len(apart),
                "nearer": {str(limit): float((apart < limit).mean()) for limit in LIMITS},
            },
            "shrunk": {str(size): round(float(np.median(d)), 3) for size, d in away.items()},
            "clusters": [time_clusters(*size) for size in TRACKS],
        },
    )


if __name__ == "__main__":
    main()
