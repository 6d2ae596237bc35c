"""Caches whose faces are known: entries written as stage one writes them, without detecting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.entries.coverage import FACT
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.extract.plan import ALGORITHM_VERSIONS
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import (
    Box,
    BoxSource,
    ClipTracks,
    Sighting,
    TrackArrays,
    measure_coverage,
)
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, write_video

SPEC = SetSpec(name="faces", settings=FaceSettings().keyed(), version=ALGORITHM_VERSIONS["faces"])
RATE = 25
# Corners of the eyes and the nose, upright, in a box from (0, 0) to (1, 1); see crops.MEAN_SHAPE.
FEATURES = np.array([(0.86, 0.21), (0.65, 0.23), (0.12, 0.21), (0.33, 0.23), (0.49, 0.63)])


def see(frame: int, number: int, box: Box, rung: BoxSource = BoxSource.DETECT) -> Sighting:
    left, top, right, bottom = box
    points = FEATURES * (right - left, bottom - top) + (left, top)
    return Sighting(frame, number, box, points.astype(np.float32), 0.5, rung)


def gather(sightings: Sequence[Sighting]) -> TrackArrays:
    """Put sightings into arrays, sorted by frame and track."""
    rows = sorted(sightings, key=lambda sighting: (sighting.frame, sighting.number))
    num = len(rows)
    return TrackArrays(
        frame=np.array([row.frame for row in rows], np.int32),
        number=np.array([row.number for row in rows], np.int32),
        box=np.array([row.box for row in rows], np.float32).reshape(num, 4),
        landmarks=np.array([row.landmarks for row in rows], np.float32).reshape(num, 5, 2),
        score=np.array([row.score for row in rows], np.float32),
        rung=np.array([row.rung for row in rows], np.uint8),
    )


def known_tracks(num: int, seen: Sequence[Sighting], size: tuple[int, int]) -> ClipTracks:
    return ClipTracks(np.arange(num) / RATE, size, gather(seen))


def write_clip(
    cache: Path,
    path: Path,
    seen: Sequence[Sighting],
    *,
    num: int = 7,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    label: str | None = None,
    missing: Sequence[str] = (),
    spec: SetSpec = SPEC,
) -> Clip:
    """Write a video of grey frames and its ``faces`` entry."""
    if num:
        write_video(path, [grey_frame(n % 20, *size) for n in range(num)], rate=RATE)
    found = known_tracks(num, seen, size)
    feature_set = FeatureSet(cache, spec).create({})
    facts = {FACT: measure_coverage(found.rung, found.times).to_json()}
    with feature_set.writer(path.stem, source=read_source(path), provenance={}) as writer:
        writer.append(**found.arrays())
        writer.finish(
            missing=missing, attributes={"frame_size": list(size), "problems": []}, facts=facts
        )
    return Clip(path.stem, path, label)


def write_table(folder: Path, clips: Sequence[Clip]) -> Path:
    return write_manifest(folder / "m.csv", clips, overwrite=True)
