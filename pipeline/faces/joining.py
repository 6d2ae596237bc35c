"""Joining of tracks: one person of a clip is one track.

Within a shot tracks are joined by motion, across cuts and gaps by identity embeddings alone. A
false link is worse than a missed one: whoever is seen in one frame at two places is two persons,
and what could be either of them is neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.faces.identity import SAME_PERSON, IdentityArrays
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import SUREST_LAST, ClipTracks, TrackArrays, is_seen

SAME_FACE = 0.5  # overlap of two tracks, in the middle of their common frames, that are of one face
GAP_SECONDS = 2.0  # within a shot, for which a face may be out of sight and go on
REACH = 0.5  # how far from where it was heading a face may then turn up, in box sizes ...
REACH_PER_SECOND = 1.0  # ... and how much further for each second
GROWTH = 1.5
HEADING_SECONDS = 0.5  # over which motion is measured, and for which it goes on
# Distance of embeddings below which two groups of crops are one person. dlib's own is 0.6; of 969
# pairs of different clips none was below 0.38, and 0.39 of two halves of one track.
ONE_PERSON = 0.38
MARGIN = 0.05  # by which a person must be nearer than another who can't be the same
LEAST_SIDE = 32.0  # pixels of a face, below which its embedding says little
FADE_SECONDS = 0.15  # cuts that follow each other so fast are one: a flash or a fade


def one_person_one_track(
    found: ClipTracks, cuts: Sequence[int], settings: FaceSettings
) -> ClipTracks:
    """Join the tracks of a clip that are of one person, see ``join_tracks``, and number them anew.

    Args:
        found: all faces of the clip, with identity embeddings if there are any.
        cuts: numbers of the frames with which a shot begins.
        settings: see ``join_tracks``.
    """
    persons = join_tracks(found.tracks, found.times, cuts, found.identity, settings)
    return replace(
        found,
        tracks=renumber_tracks(found.tracks, persons),
        identity=renumber_identity(found.identity, persons) if found.identity else None,
    )


def join_tracks(
    tracks: TrackArrays,
    times: np.ndarray,
    cuts: Sequence[int],
    identity: IdentityArrays | None,
    settings: FaceSettings,
) -> dict[int, int]:
    """Find the tracks of a clip that are of one person, and number the persons.

    1. Two tracks whose boxes lie on each other in the frames that they share are one.
    2. Within a shot a track goes on in another that begins soon after it, near where it was
       heading and of about its size; the nearest first. Crops of both, if there are any, must not
       speak against it.
    3. Groups of tracks are joined by the distance of their crops, the nearest first, by the
       average of all (average linkage). Not where a third, who can't be one of the two, is about
       as near to the other.

    No step joins tracks that a detector saw in one frame at two places, nor tracks that are joined
    to such.

    Args:
        tracks: of one clip.
        times: of its frames.
        cuts: numbers of the frames with which a shot begins.
        identity: embeddings of crops of the tracks; None: step 3 is left out.
        settings: ``join`` says which steps are taken, ``link_overlap`` from which overlap on two
            boxes are not two places.

    Shapes (T frames):
        ``times``: (T,), seconds.

    Returns:
        Number of each track -> number of its person, from 0 in order of appearance.
    """
    numbers = [int(number) for number in np.unique(tracks.number)]
    if settings.join == "none" or settings.ladder == "papers":
        return {number: number for number in numbers}
    clip = _Clip(tracks, times, _shots(times, cuts), numbers)
    crops = _crops(identity, numbers) if identity is not None else [np.zeros((0, 1))] * len(numbers)
    apart, same = _compare_places(clip, settings.link_overlap)
    groups = _Groups(apart)
    for one, other in same:
        groups.join(one, other)
    for one, other in _continuations(clip, crops):
        groups.join(one, other)
    if settings.join == "identity":
        _join_by_identity(groups, crops)
    first = {number: int(tracks.frame[tracks.number == number].min()) for number in numbers}
    members = [[numbers[place] for place in group] for group in groups.members()]
    members.sort(key=lambda group: min((first[number], number) for number in group))
    return {number: person for person, group in enumerate(members) for number in group}


def renumber_tracks(tracks: TrackArrays, persons: dict[int, int]) -> TrackArrays:
    """Number rows by person; of several in one frame the surest stays, of such the best score."""
    number = _mapped(tracks.number, persons)
    worth = np.zeros(max(SUREST_LAST) + 1, np.int64)
    worth[list(SUREST_LAST)] = np.arange(1, len(SUREST_LAST) + 1)
    order = np.lexsort(
        (-tracks.score, -worth[tracks.rung], ~is_seen(tracks.rung), number, tracks.frame)
    )
    places = np.column_stack([tracks.frame, number])[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (places[1:] != places[:-1]).any(1)
    kept = order[fresh]
    values = {name: array[kept] for name, array in vars(tracks).items()}
    return TrackArrays(**values | {"number": number[kept]})


def renumber_identity(identity: IdentityArrays, persons: dict[int, int]) -> IdentityArrays:
    """Number crops by person, sorted by frame and person."""
    track = _mapped(identity.track, persons)
    order = np.lexsort((track, identity.frame))
    rows = {name: array[order] for name, array in vars(identity).items() if name != "times"}
    return replace(identity, **rows | {"track": track[order]})


def _mapped(numbers: np.ndarray, persons: dict[int, int]) -> np.ndarray:
    return np.array([persons[int(number)] for number in numbers], np.int32)


@dataclass(frozen=True)
class _Clip:
    tracks: TrackArrays
    times: np.ndarray
    shots: np.ndarray  # (T,), number of each frame's shot
    numbers: Sequence[int]

    def rows(self) -> Iterator[np.ndarray]:
        """Yield the rows of each track."""
        for number in self.numbers:
            yield np.flatnonzero(self.tracks.number == number)


class _Groups:
    """Groups of tracks, by place; joined only where no two are apart.

    Shapes (N tracks):
        ``apart``: (N, N), bool, symmetric.
    """

    def __init__(self, apart: np.ndarray) -> None:
        self.apart = apart.copy()
        self.group = np.arange(len(apart))

    def join(self, one: int, other: int) -> None:
        """Join the groups of two tracks unless they are apart."""
        a, b = self.group[one], self.group[other]
        if a == b or self.apart[one, other]:
            return
        both = (self.group == a) | (self.group == b)
        self.group[both] = min(a, b)
        self.apart[both] |= self.apart[both].any(0)
        self.apart[:, both] = self.apart[both].T

    def members(self) -> list[list[int]]:
        """Return the tracks of each group."""
        return [np.flatnonzero(self.group == group).tolist() for group in np.unique(self.group)]


def _shots(times: np.ndarray, cuts: Sequence[int]) -> np.ndarray:
    """Number the shot of each frame; of cuts in quick succession the last one counts."""
    starts, begins = np.array(cuts, np.int64), np.zeros(len(times), np.int64)
    begins[starts[np.diff(times[starts], append=np.inf) > FADE_SECONDS]] = 1
    return begins.cumsum()


def _crops(identity: IdentityArrays, numbers: Sequence[int]) -> list[np.ndarray]:
    """Return the embeddings of each track's crops that are large enough: (M, D) each."""
    large = identity.box[:, 2] - identity.box[:, 0] >= LEAST_SIDE
    return [identity.embedding[large & (identity.track == number)] for number in numbers]


def _compare_places(clip: _Clip, least: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Compare the boxes of tracks in the frames that they share.

    Returns:
        (N, N), bool: seen at two places in one frame; and the pairs whose boxes lie on each other.
    """
    tracks, rows = clip.tracks, list(clip.rows())
    seen = is_seen(tracks.rung)
    apart = np.zeros((len(rows), len(rows)), np.bool_)
    same: list[tuple[int, int]] = []
    span = [(tracks.frame[mine[0]], tracks.frame[mine[-1]]) for mine in rows]
    for i, mine in enumerate(rows):
        for j in range(i):
            if span[j][1] < span[i][0] or span[i][1] < span[j][0]:
                continue
            theirs = rows[j]
            _, a, b = np.intersect1d(
                tracks.frame[mine], tracks.frame[theirs], assume_unique=True, return_indices=True
            )
            if not len(a):
                continue
            shared = _overlaps(tracks.box[mine[a]], tracks.box[theirs[b]])
            both = seen[mine[a]] & seen[theirs[b]]
            apart[i, j] = apart[j, i] = bool((shared[both] < least).any())
            if np.median(shared) >= SAME_FACE:
                same.append((j, i))
    return apart, same


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes, pair by pair: (N, 4) twice -> (N,)."""
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    total = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1)
    return np.asarray(shared / np.maximum(total - shared, 1e-9))


def _continuations(clip: _Clip, crops: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Return the pairs of tracks of which one goes on in the other, the nearest first."""
    tracks, times, shots = clip.tracks, clip.times, clip.shots
    seen = is_seen(tracks.rung)
    ends = [rows[seen[rows]] for rows in clip.rows()]
    found: list[tuple[float, int, int]] = []
    for i, mine in enumerate(ends):
        for j, theirs in enumerate(ends):
            if i == j or not len(mine) or not len(theirs):
                continue
            last, first = int(tracks.frame[mine[-1]]), int(tracks.frame[theirs[0]])
            gap = float(times[first] - times[last])
            if not (last < first and gap <= GAP_SECONDS and shots[last] == shots[first]):
                continue
            if SAME_PERSON <= _distance(crops[i], crops[j]) < np.inf:
                continue
            far = _way(tracks, times, mine, theirs, gap)
            if far <= REACH + REACH_PER_SECOND * gap:
                found.append((far + gap, i, j))
    pairs: list[tuple[int, int]] = []
    for _, i, j in sorted(found):
        if all(i != before and j != after for before, after in pairs):
            pairs.append((i, j))
    return pairs


def _way(
    tracks: TrackArrays, times: np.ndarray, mine: np.ndarray, theirs: np.ndarray, gap: float
) -> float:
    """Return how far a track begins from where another was or was heading, in box sizes."""
    box = tracks.box.astype(np.float64)
    size, other = (float(box[row, 2] - box[row, 0]) for row in (mine[-1], theirs[0]))
    if not max(size, other) < GROWTH * min(size, other):
        return np.inf
    at = times[tracks.frame[mine]]
    recent = mine[at >= at[-1] - HEADING_SECONDS]
    centre = (box[recent, :2] + box[recent, 2:]) / 2
    passed = float(at[-1] - times[tracks.frame[recent[0]]])
    speed = (centre[-1] - centre[0]) / passed if passed > 0 else np.zeros(2)
    there = (box[theirs[0], :2] + box[theirs[0], 2:]) / 2
    ahead = centre[-1] + speed * min(gap, HEADING_SECONDS)
    return float(min(np.hypot(*(there - centre[-1])), np.hypot(*(there - ahead))) / size)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of two groups of crops: from a crop to the nearest of the others.

    The median over the crops of a group, and the mean of both ways; infinite without crops.

    Shapes (M and K crops):
        ``one``: (M, D). ``other``: (K, D).
    """
    if not (len(one) and len(other)):
        return np.inf
    far = np.linalg.norm(one[:, None].astype(np.float64) - other[None], axis=-1)
    return float(np.median(far.min(0)) + np.median(far.min(1))) / 2


def _join_by_identity(groups: _Groups, crops: Sequence[np.ndarray]) -> None:
    """Join groups by the distances of their crops, see ``join_tracks``."""
    pooled = [(g, np.concatenate([crops[place] for place in g])) for g in groups.members()]
    known = [(members[0], them, len(them)) for members, them in pooled if len(them)]
    place = [member for member, _, _ in known]
    weight = np.array([count for _, _, count in known], np.float64)
    far = np.full((len(known), len(known)), np.inf)
    for i, (_, mine, _) in enumerate(known):
        for j, (_, theirs, _) in enumerate(known[:i]):
            far[i, j] = far[j, i] = _distance(mine, theirs)
    apart = groups.apart[np.ix_(place, place)]
    open_ = np.where(apart, np.inf, far)  # pairs that may still be joined
    while open_.size and open_.min() < ONE_PERSON:
        i, j = sorted(map(int, np.unravel_index(open_.argmin(), open_.shape)))
        near = far[i, j] + MARGIN
        if (apart[i] & (far[j] < near)).any() or (apart[j] & (far[i] < near)).any():
            open_[i, j] = open_[j, i] = np.inf
            continue
        groups.join(place[i], place[j])
        for matrix in (far, open_):
            mean = (weight[i] * matrix[i] + weight[j] * matrix[j]) / (weight[i] + weight[j])
            matrix[i] = matrix[:, i] = mean
            matrix[j] = matrix[:, j] = matrix[i, i] = np.inf
        apart[i] |= apart[j]
        apart[:, i] = apart[i]
        apart[j] = apart[:, j] = False
        open_[apart] = np.inf
        weight[i] += weight[j]
