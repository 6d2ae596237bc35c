"""Gathering of the tracks of all clips of a manifest, with what tells their persons apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array, triu

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, find_set, list_sets
from cache.sets.freshness import check_freshness
from cache.sets.spec import SetError
from pipeline.extract.plan import ALGORITHM_VERSIONS
from pipeline.faces.identity import IDENTITY_DIM, IdentityArrays, read_identity
from pipeline.faces.tracks import ClipTracks, is_seen, read_tracks
from pipeline.persons.cluster import Groups

FACES, IDENTITY = "faces", "identity"
LEAST_PIXELS = 24  # of a box's smaller side; shrunk below, a face is 0.42 from itself (NOTES.md)


@dataclass(frozen=True)
class Sets:
    """The set of identity embeddings that persons are found in, and the faces that it is of."""

    identity: FeatureSet
    faces: FeatureSet


@dataclass(frozen=True)
class Thumbnail:
    """The sharpest crop of a track: its time in seconds from the clip's start, and its box."""

    seconds: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Tracks:
    """The tracks of a corpus, clip by clip in the manifest's order, sorted by number in each.

    Shapes (N tracks):
        ``number``: (N,), int64; as in the clip's ``faces`` entry.
        ``share``: (N,), float64; share of the clip's frames in which the face is seen, in [0, 1].
        ``area``: (N,), float64; share of the clip's picture that it covers where it is seen.

    Args:
        clips: N, the clip of each.
        number: see above.
        share: see above.
        area: see above.
        thumbnails: N, None for a track of no crop.
        groups: the embeddings of each; tracks that are seen in the same frame stay apart.
        identities: clip to the identity of its entry; clips without a face are here too.
        left_out: clip to the reason why nothing is known of it.
    """

    clips: tuple[str, ...]
    number: np.ndarray
    share: np.ndarray
    area: np.ndarray
    thumbnails: tuple[Thumbnail | None, ...]
    groups: Groups
    identities: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def rows(self) -> dict[str, dict[int, int]]:
        """Clip to number of each of its tracks to its row here."""
        found: dict[str, dict[int, int]] = {clip: {} for clip in self.identities}
        for row, (clip, number) in enumerate(zip(self.clips, self.number.tolist(), strict=True)):
            found[clip][number] = row
        return found


def find_sets(cache: Path, name: str = IDENTITY) -> Sets:
    """Find the set of identity embeddings of a cache, and the faces that it is made of.

    Args:
        cache: the cache's folder.
        name: the set's name, with the first digits of its key where there are several.

    Raises:
        SetError: there is none or there are several, it isn't one of identities, or its faces are
            gone or of another version of avfuse.
    """
    sets = list_sets(cache)
    faces = {item.spec.key: item for item in sets if item.spec.name == FACES}
    current = [
        item
        for item in sets
        if item.spec.name == IDENTITY
        and (of := faces.get(item.spec.upstream.get(FACES, "")))
        and of.spec.version == ALGORITHM_VERSIONS[FACES]
    ]
    chosen = current[0] if name == IDENTITY and len(current) == 1 else find_set(cache, name)
    if chosen.spec.key not in {item.spec.key for item in current}:
        raise SetError(
            f"{chosen.folder.name} is no set of identities of faces as this avfuse finds them; run "
            f"'avfuse extract MANIFEST --cache {cache} --sets {FACES}' first"
        )
    return Sets(chosen, faces[chosen.spec.upstream[FACES]])


def gather_tracks(
    clips: Sequence[Clip], sets: Sets, progress: Callable[[int, int], None] | None = None
) -> Tracks:
    """Read the tracks of all clips; a clip that has none or can't be used is told.

    Args:
        clips: of a manifest, in order.
        sets: where they are.
        progress: called with the number of clips done and of all.

    Raises:
        OSError: the cache can't be read.
    """
    parts: list[_Part] = []
    identities: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for done, clip in enumerate(clips, 1):
        try:
            identity, part = _read_clip(clip, sets)
        except ValueError as error:
            left_out[clip.id] = str(error)
        else:
            identities[clip.id] = identity
            parts.append(part)
        if progress:
            progress(done, len(clips))
    apart: dict[int, set[int]] = {}
    first = 0
    for part in parts:
        for one, other in part.together:
            apart.setdefault(first + one, set()).add(first + other)
            apart.setdefault(first + other, set()).add(first + one)
        first += len(part.number)

    def joined(name: str, *, empty: tuple[int, ...] = (0,)) -> np.ndarray:
        return np.concatenate([np.zeros(empty), *(getattr(part, name) for part in parts)])

    return Tracks(
        clips=tuple(part.clip for part in parts for _ in part.number),
        number=joined("number").astype(np.int64),
        share=joined("share"),
        area=joined("area"),
        thumbnails=tuple(one for part in parts for one in part.thumbnails),
        groups=Groups(
            count=joined("count"),
            mean=joined("mean", empty=(0, IDENTITY_DIM)),
            square=joined("square"),
            team=np.arange(first),
            known=np.full(first, -1),
            apart=apart,
        ),
        identities=identities,
        left_out=left_out,
    )


def _read_clip(clip: Clip, sets: Sets) -> tuple[str, _Part]:
    """Return the identity of a clip's entry, and its tracks.

    Raises:
        ValueError: it has no entries that may be used; says why.
    """
    headers = [(item, item.read_headers([clip.id])) for item in (sets.faces, sets.identity)]
    for item, found in headers:
        if clip.id not in found:
            failure = item.failure(clip.id)
            raise ValueError(
                f"{failure.stage}: {failure.reason}" if failure else "no entry yet; extract it"
            )
    if stale := check_freshness(headers, {clip.id: clip}).stale:
        raise ValueError(f"{stale[clip.id]}; extract it again")
    found_tracks = read_tracks(sets.faces.read(clip.id))
    crops = read_identity(sets.identity.read(clip.id))
    return headers[1][1][clip.id].identity, _Part.of(clip.id, found_tracks, crops)


@dataclass(frozen=True)
class _Part:
    """The tracks of one clip, as ``Tracks`` holds them, and the pairs seen in the same frame."""

    clip: str
    number: np.ndarray
    share: np.ndarray
    area: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    thumbnails: tuple[Thumbnail | None, ...]
    together: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, clip: str, found: ClipTracks, crops: IdentityArrays) -> _Part:
        """Measure the tracks of a clip; a crop of no known track, or a small one, is left out."""
        tracks, num = found.tracks, len(crops.frame)
        if crops.embedding.shape != (num, IDENTITY_DIM) or crops.box.shape != (num, 4):
            raise ValueError(
                f"its embeddings have the shape {crops.embedding.shape}; extract again"
            )
        if num and not 0 <= crops.frame.min() <= crops.frame.max() < len(crops.times):
            raise ValueError("its crops are of frames that it doesn't have; extract again")
        number = np.unique(tracks.number).astype(np.int64)
        row = np.searchsorted(number, tracks.number)
        seen = is_seen(tracks.rung)
        sides = tracks.box[:, 2:].astype(np.float64) - tracks.box[:, :2]
        frames, pixels = max(1, len(found.times)), max(1, found.frame_size[0] * found.frame_size[1])
        area = np.bincount(row[seen], sides[seen].prod(axis=1), len(number)) / (frames * pixels)
        usable = np.isin(crops.track, number)
        usable &= (crops.box[:, 2:] - crops.box[:, :2]).min(axis=1, initial=np.inf) >= LEAST_PIXELS
        usable &= np.isfinite(crops.embedding).all(axis=1)
        at = np.searchsorted(number, crops.track[usable])
        embedding = crops.embedding[usable].astype(np.float64)
        count = np.bincount(at, minlength=len(number)).astype(np.float64)
        some = np.maximum(count, 1)
        mean = np.zeros((len(number), IDENTITY_DIM))
        np.add.at(mean, at, embedding)
        square = np.bincount(at, (embedding**2).sum(axis=1), len(number)) / some
        return cls(
            clip=clip,
            number=number,
            share=np.minimum(np.bincount(row[seen], minlength=len(number)) / frames, 1),
            area=area,
            count=count,
            mean=mean / some[:, None],
            square=square,
            thumbnails=tuple(_sharpest(crops, one) for one in number.tolist()),
            together=_find_together(tracks.frame, row),
        )


def _sharpest(crops: IdentityArrays, number: int) -> Thumbnail | None:
    mine = np.flatnonzero(crops.track == number)
    if not len(mine):
        return None
    best = mine[crops.sharpness[mine].argmax()]
    left, top, right, bottom = crops.box[best].tolist()
    return Thumbnail(float(crops.times[crops.frame[best]]), (left, top, right, bottom))


def _find_together(frame: np.ndarray, row: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the pairs of tracks that share a frame, the smaller row first."""
    frames, frame = np.unique(frame, return_inverse=True)
    size = (len(frames), int(row.max(initial=-1)) + 1)
    seen = coo_array((np.ones(len(row), np.float32), (frame, row)), size).tocsr()
    one, other = triu(seen.T @ seen, 1).nonzero()
    return tuple(zip(one.tolist(), other.tolist(), strict=True))
