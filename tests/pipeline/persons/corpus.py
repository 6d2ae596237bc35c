"""Corpora whose persons are known: entries written as stage one writes them, without a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.entries.entry import read_identity
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.faces.identity import IDENTITY_DIM, IdentityArrays
from pipeline.faces.tracks import Box, BoxSource, ClipTracks
from tests.pipeline.known_faces import RATE, SPEC, known_tracks, see
from tests.pipeline.videos import grey_frame, write_video

IDENTITY = SetSpec("identity", {}, 1, upstream={"faces": SPEC.key})
SIZE = (102, 104)
NUM_FRAMES = 20
BOX: Box = (0, 0, 40, 40)


@dataclass(frozen=True)
class Seen:
    """One track of a clip.

    Args:
        who: the person's letter; the embedding lies on an axis of its own.
        frames: in which it is seen.
        box: in all of them.
        away: distance of its embeddings from the person's, on another axis.
        crops: number of crops that were embedded.
        source: of its boxes.
    """

    who: str
    frames: range = range(NUM_FRAMES)
    box: Box = BOX
    away: float = 0.0
    crops: int = 2
    source: BoxSource = BoxSource.DETECT


def embed(who: str, away: float = 0.0) -> np.ndarray:
    """Return a person's embedding: two persons are 0.9 apart."""
    embedding = np.zeros(IDENTITY_DIM, np.float32)
    embedding[ord(who) - ord("A")] = 0.9 / np.sqrt(2)
    embedding[-1] = away
    return embedding


def write_clip(
    folder: Path,
    clip: str,
    seen: Sequence[Seen],
    *,
    speaker: str | None = None,
    video: bool = False,
) -> Clip:
    """Write a clip's entries of faces and identities into ``folder / "cache"``."""
    path = folder / f"{clip}.mp4"
    if video:
        write_video(path, [grey_frame(n, *SIZE) for n in range(NUM_FRAMES)], rate=RATE)
    else:
        path.write_text(clip)
    sightings = [
        see(frame, number, one.box, one.source)
        for number, one in enumerate(seen)
        for frame in one.frames
    ]
    found = known_tracks(NUM_FRAMES, sightings, SIZE)
    crops = [
        (frame, number, one) for number, one in enumerate(seen) for frame in one.frames[: one.crops]
    ]
    crops.sort(key=lambda crop: crop[:2])
    frames = sorted({frame for frame, _, _ in crops})
    identity = IdentityArrays(
        times=np.array(frames, np.float64) / RATE,
        frame=np.array([frames.index(frame) for frame, _, _ in crops], np.int32),
        track=np.array([number for _, number, _ in crops], np.int32),
        box=np.array([one.box for *_, one in crops], np.float32).reshape(-1, 4),
        sharpness=np.ones(len(crops), np.float32),
        embedding=np.array([embed(one.who, one.away) for *_, one in crops], np.float32).reshape(
            -1, IDENTITY_DIM
        ),
    )
    write_entries(folder / "cache", path, found, identity)
    return Clip(clip, path, speaker=speaker)


def write_entries(cache: Path, path: Path, found: ClipTracks, identity: IdentityArrays) -> None:
    """Write the entry of faces, and that of identities beside it."""
    faces = FeatureSet(cache, SPEC).create({})
    with faces.writer(path.stem, source=read_source(path), provenance={}) as writer:
        writer.append(**found.arrays())
        writer.finish(attributes={"frame_size": list(found.frame_size)})
    beside = FeatureSet(cache, IDENTITY).create({})
    stated = {"faces": read_identity(faces.entry_path(path.stem))}
    with beside.writer(
        path.stem, source=read_source(path), provenance={}, upstream=stated
    ) as writer:
        writer.append(**identity.arrays())
        writer.finish()


def write_corpus(folder: Path, clips: Mapping[str, Sequence[Seen]]) -> list[Clip]:
    """Write the entries of clips; see ``write_clip``."""
    return [write_clip(folder, clip, seen) for clip, seen in clips.items()]
