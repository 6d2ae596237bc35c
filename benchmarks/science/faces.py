"""Faces found, by source of the box, compared with plain dlib in every frame and with YuNet.

    python -m benchmarks.science.faces FOLDER... --work FOLDER [--yunet FILE] [--sface FILE]

Plain dlib (HOG, upsample 1, RGB, threshold 0, every frame) takes about 4 CPU-seconds for a second
of video; what it finds is kept under ``--work`` and read again. YuNet is an independent reference;
with ``--second`` it is also the second detector. SFace (another model of OpenCV's zoo) measures how
alike the crops are to a face network: the cosine between its embeddings of the crop made
from our landmarks and of the one made from plain dlib's, where both found the face.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks.machine import describe_machine
from pipeline.faces.choice import FaceArrays
from pipeline.faces.crops import crop_faces
from pipeline.faces.detect import FivePointPredictor, HogDetector, YuNetDetector
from pipeline.faces.search import find_faces
from pipeline.faces.settings import CropSettings, FaceSettings
from pipeline.faces.tracks import BoxSource, measure_coverage, overlap
from pipeline.media.frames import VideoReader

SUFFIXES = {".mp4", ".mov", ".mkv", ".mpg", ".avi", ".webm"}
SAME = 0.4  # overlap from which two detectors mean one face
YUNET_SURE = 0.6
CROPS_EVERY = 4  # frames

Boxes = list[list[list[float]]]  # per frame, per face: left, top, right, bottom, score


def every_frame(path: Path, work: Path, name: str, detect: Any) -> tuple[Boxes, float]:
    """Faces that a detector finds in every frame, and its CPU seconds; computed once."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    kept = work / f"{path.name}-{digest}-{name}.json"
    if not kept.exists():
        started = time.process_time()
        boxes = [
            [[*map(float, face.box), face.score] for face in detect(image)]
            for frames in VideoReader(path)
            for image in frames.images
        ]
        work.mkdir(parents=True, exist_ok=True)
        record = {"seconds": time.process_time() - started, "boxes": boxes}
        kept.write_text(json.dumps(record))
    record = json.loads(kept.read_text())
    return record["boxes"], record["seconds"]


def hit(box: Iterable[float], others: list[list[float]]) -> float:
    """Best overlap of a box with others."""
    mine = [float(side) for side in box]
    return max((overlap(mine, other) for other in others), default=0.0)


def embed(network: cv2.dnn.Net, crop: np.ndarray) -> np.ndarray:
    """SFace's embedding of an aligned crop; the network takes RGB from 0 to 255."""
    network.setInput(cv2.dnn.blobFromImage(crop, 1.0, crop.shape[:2]), "data")
    return np.asarray(network.forward()).ravel()


def cosines(path: Path, faces: FaceArrays, plain: Boxes, sface: Path) -> list[float]:
    """Likeness to SFace of our crop and of the one from plain dlib's box of the same face."""
    network = cv2.dnn.readNetFromONNX(str(sface))
    predictor, settings = FivePointPredictor(), CropSettings(size=112)
    found, index = [], 0
    for frames in VideoReader(path):
        for image in frames.images:
            mine = faces.box[index].tolist()
            ranked = sorted(plain[index], key=lambda box: -overlap(box, mine))
            same = ranked and overlap(ranked[0], mine) >= SAME
            if index % CROPS_EVERY == 0 and same and faces.rung[index] != BoxSource.WHOLE:
                left, top, right, bottom, _ = ranked[0]
                theirs = predictor.predict(image, (left, top, right, bottom))
                points = np.stack([theirs, faces.landmarks[index]])
                sources = np.full(2, BoxSource.DETECT)
                crops = crop_faces(
                    np.stack([image] * 2), points, np.zeros((2, 4)), sources, settings
                )
                one, other = (embed(network, crop) for crop in crops)
                found.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
            index += 1
    return found


def measure(
    path: Path, settings: FaceSettings, work: Path, yunet: Path | None, sface: Path | None,
    second: bool,
) -> dict[str, Any]:  # fmt: skip
    """Everything about one clip."""
    plain, plain_seconds = every_frame(
        path, work, "dlib", lambda image: HogDetector(1).detect(image, 0.0)
    )
    other = YuNetDetector(yunet) if yunet else None
    started = time.process_time()
    faces = find_faces(VideoReader(path), settings, second=other if second else None)
    seconds = time.process_time() - started
    coverage = measure_coverage(faces.rung, faces.times)
    both = [i for i, boxes in enumerate(plain) if boxes and faces.rung[i] != BoxSource.WHOLE]
    shares = [hit(faces.box[i], plain[i]) for i in both]
    row = {
        "clip": path.name,
        "frames": coverage.num_frames,
        "rungs": coverage.rungs,
        "dlib": sum(bool(boxes) for boxes in plain),
        "found": coverage.num_with_face,
        "detected": coverage.num_with_face
        - sum(coverage.rungs.get(name, 0) for name in ("hold", "follow")),
        "overlaps": shares,
        "gap": coverage.longest_gap_seconds,
        "seconds": seconds,
        "dlib_seconds": plain_seconds,
    }
    if other is not None and yunet:
        seen, _ = every_frame(path, work, "yunet", lambda image: other.detect(image, YUNET_SURE))
        row["yunet"] = sum(bool(boxes) for boxes in seen)
        row["yunet_shared"] = sum(
            int(faces.rung[i]) != BoxSource.WHOLE and hit(faces.box[i], boxes) >= SAME
            for i, boxes in enumerate(seen)
        )
        row["yunet_dlib"] = sum(
            max((hit(box[:4], plain[i]) for box in boxes), default=0.0) >= SAME
            for i, boxes in enumerate(seen)
        )
    if sface:
        row["cosines"] = cosines(path, faces, plain, sface)
    return row


def show(row: dict[str, Any]) -> str:
    """One line about a clip, or about all."""
    frames = row["frames"]
    found = " ".join(f"{name.lower()} {count / frames:.0%}" for name, count in row["rungs"].items())
    line = f"{row['clip']:28s} {frames:5d} frames | {found} | plain dlib {row['dlib'] / frames:.0%}"
    line += f", ours {row['detected'] / frames:.0%} detected, {row['found'] / frames:.0%} in all"
    if row["overlaps"]:
        low, middle = np.quantile(row["overlaps"], [0.05, 0.5])
        line += f" | IoU {middle:.3f} (5th percentile {low:.2f})"
    if row.get("cosines"):
        low, middle = np.quantile(row["cosines"], [0.05, 0.5])
        line += f" | cosine {middle:.4f} ({low:.3f})"
    if row.get("yunet"):
        ours, dlib = (row[name] / row["yunet"] for name in ("yunet_shared", "yunet_dlib"))
        line += f" | of YuNet's frames {ours:.1%}, plain dlib {dlib:.1%}"
    rate, plain = frames / row["seconds"], frames / row["dlib_seconds"]
    line += f" | longest gap {row['gap']:.2f} s | {rate:.0f} frames/s, {rate / plain:.1f} x dlib"
    return line + ("" if row["detected"] >= row["dlib"] else " | FEWER THAN PLAIN DLIB")


def add_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of all clips together."""
    total: dict[str, Any] = {"clip": "all", "rungs": {}, "gap": max(row["gap"] for row in rows)}
    for name in rows[0].keys() - {"clip", "rungs", "gap"}:
        total[name] = sum((row[name] for row in rows[1:]), rows[0][name])
    for kind in BoxSource:
        count = sum(row["rungs"].get(kind.name.lower(), 0) for row in rows)
        total["rungs"] |= {kind.name.lower(): count} if count else {}
    return total


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--work",
    required=True,
    type=click.Path(path_type=Path),
    help="Keeps what dlib finds.",
)
@click.option("--yunet", type=click.Path(exists=True, path_type=Path), help="ONNX file.")
@click.option("--sface", type=click.Path(exists=True, path_type=Path), help="ONNX file.")
@click.option("--second", is_flag=True, help="Use YuNet as the second detector, too.")
@click.option("--scan", default="region", type=click.Choice(["region", "every-frame"]))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="JSON with every figure.")
def main(
    paths: tuple[Path, ...], work: Path, yunet: Path | None, sface: Path | None,
    second: bool, scan: Any, output: Path | None,
) -> None:  # fmt: skip
    """Measure faces on clips, given as files or folders of clips."""
    cv2.setNumThreads(1)
    clips = [
        clip
        for path in paths
        for clip in (sorted(path.iterdir()) if path.is_dir() else [path])
        if clip.suffix in SUFFIXES
    ]
    rows = []
    for clip in clips:
        rows.append(measure(clip, FaceSettings(scan=scan), work, yunet, sface, second))
        click.echo(show(rows[-1]))
    total = add_up(rows)
    click.echo(show(total))
    if output:
        for row in (*rows, total):
            for name in ("overlaps", "cosines"):
                values = row.pop(name, [])
                row[name] = (
                    [round(float(q), 4) for q in np.quantile(values, [0.05, 0.5])] if values else []
                )
        output.write_text(
            json.dumps({"machine": describe_machine(), "clips": rows, "all": total}, indent=1)
        )


if __name__ == "__main__":
    main()
