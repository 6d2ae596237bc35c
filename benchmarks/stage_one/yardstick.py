"""Stage one as one writes it in an afternoon: the yardstick that avfuse is measured against.

    python -m benchmarks.stage_one.yardstick MANIFEST --views 18 [--every 10] -o FILE.json

The same libraries, used plainly: OpenCV decodes, dlib's HOG detector looks at every frame (doubled
once, as its examples do), dlib aligns the largest face, OpenCV warps one view at a time, the
network embeds it alone, and everything goes into one HDF5 file with gzip. PyTorch and OpenCV take
the threads that they take by themselves.

No frame depends on another, so with ``--every`` N only each N-th is looked at and embedded, and its
time counts N times; all frames are decoded.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import dlib
import face_recognition_models
import h5py
import numpy as np
import torch

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from extractors.ir50 import IR50
from extractors.weights.random import initialise

SIZE = 112
ROTATIONS, SCALES, FLIPS = (-2, 0, 2), (1.0, 1.03, 1.07), (False, True)
PADDING = 0.15  # on each side: the papers' 30 %


@dataclass
class Times:
    """Seconds by what they went into; all but decoding are of every N-th frame."""

    decode: float = 0.0
    detect: float = 0.0
    align: float = 0.0
    network: float = 0.0
    write: float = 0.0


def make_views(face: np.ndarray, number: int) -> list[np.ndarray]:
    """The face itself, or its 18 variants."""
    if number == 1:
        return [face]
    views = []
    for flip in FLIPS:
        image = cv2.flip(face, 1) if flip else face
        for angle in ROTATIONS:
            for scale in SCALES:
                matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, scale)
                views.append(
                    cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
                )
    return views


class Extractor:
    """The whole script."""

    def __init__(self, views: int) -> None:
        self.views = views
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(
            face_recognition_models.pose_predictor_five_point_model_location()
        )
        self.network = IR50()
        initialise(self.network, 0)
        self.network.eval()
        self.times = Times()
        self.frames = 0

    def face(self, image: np.ndarray) -> np.ndarray:
        """Cut out the largest face, or take the whole frame."""
        started = time.perf_counter()
        found = self.detector(image, 1)
        between = time.perf_counter()
        if found:
            largest = max(found, key=lambda box: box.area())
            points = self.predictor(image, largest)
            crop = dlib.get_face_chip(image, points, size=SIZE, padding=PADDING)
        else:
            crop = cv2.resize(image, (SIZE, SIZE))
        self.times.detect += between - started
        self.times.align += time.perf_counter() - between
        return np.asarray(crop)

    def embed(self, face: np.ndarray) -> np.ndarray:
        """Embed each view alone."""
        started = time.perf_counter()
        embeddings = []
        for view in make_views(face, self.views):
            image = torch.from_numpy(view).permute(2, 0, 1).float()
            with torch.no_grad():
                embeddings.append(self.network(((image - 127.5) / 127.5).unsqueeze(0))[0].numpy())
        self.times.network += time.perf_counter() - started
        return np.stack(embeddings)

    def clip(self, clip: Clip, file: h5py.File, every: int) -> None:
        """Bring one clip into the file."""
        capture = cv2.VideoCapture(str(clip.path))
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        basic, mean, deviation = [], [], []
        number = 0
        while True:
            started = time.perf_counter()
            there, image = capture.read()
            if there:
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            self.times.decode += time.perf_counter() - started
            if not there or (clip.end_seconds is not None and number / rate >= clip.end_seconds):
                break
            if number % every == every // 2:
                embeddings = self.embed(self.face(image))
                basic.append(embeddings[0])
                mean.append(embeddings.mean(0))
                deviation.append(embeddings.std(0))
            number += 1
        self.frames += number
        started = time.perf_counter()
        group = file.create_group(clip.id)
        for name, rows in (("basic", basic), ("mean", mean), ("std", deviation)):
            group.create_dataset(name, data=np.array(rows), compression="gzip")
        file.flush()
        self.times.write += time.perf_counter() - started


def measure(clips: list[Clip], views: int, every: int) -> dict[str, Any]:
    """Extract and say how long all frames take."""
    extractor = Extractor(views)
    extractor.embed(np.zeros((SIZE, SIZE, 3), np.uint8))  # the first pass sets things up
    extractor.times = Times()
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "all.h5", "w") as file:
        for clip in clips:
            extractor.clip(clip, file, every)
    spent = vars(extractor.times)
    seconds = spent["decode"] + every * sum(v for name, v in spent.items() if name != "decode")
    return {
        "views": views,
        "every": every,
        "clips": len(clips),
        "frames": extractor.frames,
        "seconds": round(seconds, 2),
        "frames_per_second": round(extractor.frames / seconds, 3),
        "share": {
            name: round((value if name == "decode" else every * value) / seconds, 3)
            for name, value in spent.items()
        },
    }


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--views", type=click.Choice(["1", "18"]), default="18", show_default=True)
@click.option("--every", default=1, show_default=True, help="Look at each N-th frame only.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(manifest: Path, views: str, every: int, out: Path | None) -> None:
    """Measure the yardstick on the clips of MANIFEST."""
    result = measure(list(read_manifest(manifest).clips), int(views), every)
    click.echo(json.dumps(result))
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
