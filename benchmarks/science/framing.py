"""Framing and detail of the faces of FER+, beside avfuse's crops.

    python -m benchmarks.science.framing --ferplus DIR [--clips labelled.csv] [-o FILE]

The framing that the default network's file states was measured here: dlib finds the landmarks of
training images that are enlarged four times, and a similarity takes dlib's mean face to them. No
label and no answer of a network plays a part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks.machine import describe_machine
from cache.manifest.manifest import read_manifest
from pipeline.choice.choice import choose_faces
from pipeline.faces.crops import MEAN_SHAPE, crop_faces, fit_similarity
from pipeline.faces.detect import FivePointPredictor, HogDetector
from pipeline.faces.search import track_faces
from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import BoxSource
from pipeline.media.frames import Frames, VideoReader

ZOOM, PAD = 4, 40
SIZE = 96  # of the network's input; images of 48 pixels have nothing above 24 cycles
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def find_framing(images: np.ndarray) -> dict[str, Any]:
    """Measure where dlib's mean face lies in images of one face each.

    Shapes (N images):
        ``images``: (N, S, S), uint8, grey.
    """
    detector, predictor = HogDetector(upsample=0), FivePointPredictor()
    side = images.shape[1] * ZOOM
    points = []
    for image in images:
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        large = cv2.copyMakeBorder(large, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
        colour = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)
        found = detector.detect(colour, 0.0)
        if len(found) == 1:
            placed = predictor.predict(colour, found[0].box)
            points.append((placed.astype(np.float64) - PAD) / side)
    fits = [fit_similarity(MEAN_SHAPE, one) for one in points]
    scales = np.array([np.hypot(fit[0, 0], fit[1, 0]) for fit in fits])
    middles = np.array([fit[:, :2].sum(1) / 2 + fit[:, 2] for fit in fits])
    extend = 1 / np.median(scales) - 1
    lift = (np.median(middles[:, 1]) - 0.5) * (1 + extend)
    return {
        "images": len(images),
        "with_one_face": len(points),
        "landmarks_median": np.median(points, axis=0).round(3).tolist(),
        "landmarks_of_avfuse": ((MEAN_SHAPE + 0.15) / 1.3).round(3).tolist(),
        "face_size_quantiles": np.quantile(scales, QUANTILES).round(3).tolist(),
        "face_size_of_avfuse": round(1 / 1.3, 3),
        "middle_y_quantiles": np.quantile(middles[:, 1], QUANTILES).round(3).tolist(),
        "middle_x_median": round(float(np.median(middles[:, 0])), 3),
        "extend": round(float(extend), 3),
        "lift": round(float(lift), 3),
    }


def fine_share(images: np.ndarray) -> float:
    """Return the share of the variance above 24 cycles an image, in images of ``SIZE`` pixels.

    Shapes (N images):
        ``images``: (N, SIZE, SIZE), grey.
    """
    window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)[None, :]
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    cycles = np.abs(np.fft.fftfreq(SIZE) * SIZE)
    fine = np.maximum(cycles[:, None], cycles[None, :]) > 24
    return float(np.median(power[:, fine].sum(1) / power.sum((1, 2))))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Bring a grey image to a size: averaged where it shrinks, bilinear where it grows."""
    kind = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=kind), np.float64)


def crops_of(manifest: Path) -> np.ndarray:
    """Crop the face in the first frame of each clip, grey."""
    crops = []
    for clip in read_manifest(manifest).clips:
        for frames in VideoReader(clip.path):
            image = frames.images[:1]
            faces = choose_faces(track_faces([Frames(image, frames.times[:1])]), "largest")
            if faces.rung[0] != BoxSource.WHOLE:
                crop = crop_faces(image, faces.landmarks, faces.box, faces.rung, CropSettings())
                crops.append(cv2.cvtColor(crop[0], cv2.COLOR_RGB2GRAY))
            break
    return np.array(crops)


@click.command()
@click.option("--ferplus", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--manifest", type=click.Path(path_type=Path), help="Clips to compare detail with.")
@click.option("--images", default=1200, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path))
def main(ferplus: Path, manifest: Path | None, images: int, out: Path | None) -> None:
    """Measure the framing of FER+'s training images and the detail of images and crops."""
    with np.load(ferplus / "train.npz") as file:
        everything = file["images"]
    chosen = everything[np.random.default_rng(0).permutation(len(everything))[:images]]
    result: dict[str, Any] = {"machine": describe_machine(), "framing": find_framing(chosen)}
    enlarged = np.array([resize(image, SIZE) for image in chosen])
    result["fine_share"] = {"ferplus": fine_share(enlarged)}
    if manifest:
        crops = crops_of(manifest)
        result["fine_share"] |= {
            "crops": len(crops),
            "crops_at_96": fine_share(np.array([resize(crop, SIZE) for crop in crops])),
            "crops_by_way_of_48": fine_share(
                np.array([resize(resize(crop, 48), SIZE) for crop in crops])
            ),
        }
    text = json.dumps(result, indent=2)
    if out:
        out.write_text(text + "\n")
    click.echo(text)


if __name__ == "__main__":
    main()
