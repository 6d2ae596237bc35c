"""Frames in which detectors by themselves, asked in every frame, see a face: what to compare with.

They don't change, and dlib takes a minute for some seconds of video, so that the counts are kept in
a file; clips that it lacks are added.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cache.digest import digest_file
from pipeline.faces.detect import Detector, HogDetector
from pipeline.faces.second import own_second
from pipeline.faces.settings import FaceSettings
from pipeline.media.frames import VideoReader

FILE = Path(__file__).parent / "plain.json"
YUNET_SURE = 0.6


@dataclass(frozen=True)
class Plain:
    """Counts of one clip: frames, those with a face by detector, and processor seconds of each.

    Args:
        digest: SHA-256 of the clip's file, of which the counts are.
        frames: of the clip.
        dlib: frames in which dlib's detector (upsample 1, threshold 0) sees a face.
        dlib_seconds: processor time of that, decoding included.
        yunet: frames in which YuNet does, from score 0.6.
        yunet_seconds: processor time of that.
    """

    digest: str
    frames: int
    dlib: int
    dlib_seconds: float
    yunet: int
    yunet_seconds: float


def read_plain(clip: str, path: Path, file: Path = FILE) -> Plain:
    """Return the counts of a clip; measured, and kept in the file, where it lacks them."""
    known = json.loads(file.read_text()) if file.exists() else {}
    digest = digest_file(path)
    if known.get(clip, {}).get("digest") != digest:
        known[clip] = asdict(_measure(path, digest))
        lines = (f" {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return Plain(**known[clip])


def _measure(path: Path, digest: str) -> Plain:
    yunet = own_second(FaceSettings(second="yunet"))
    assert yunet is not None
    frames, dlib, dlib_seconds = _count(path, HogDetector(1), 0.0)
    _, seen, yunet_seconds = _count(path, yunet, YUNET_SURE)
    return Plain(digest, frames, dlib, round(dlib_seconds, 2), seen, round(yunet_seconds, 2))


def _count(path: Path, detector: Detector, threshold: float) -> tuple[int, int, float]:
    started = time.process_time()
    seen = [
        bool(detector.detect(image, threshold))
        for frames in VideoReader(path)
        for image in frames.images
    ]
    return len(seen), sum(seen), time.process_time() - started
