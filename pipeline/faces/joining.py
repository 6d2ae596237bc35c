"""Joining of tracks: one person of a clip is one track.

Within a shot tracks are joined by motion, across cuts and gaps by identity embeddings alone. A
false link is worse than a missed one: whoever is seen in one frame at two places is two persons,
and what could be either of them is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.faces.identity import (
    IDENTITY_DIM,
    LEAST_SHARPNESS,
    ONE_PERSON,
    SAME_PERSON,
    IdentityArrays,
)
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import ClipTracks, TrackArrays, is_seen, rank_sources

SAME_FACE = 0.5  # overlap of two tracks, in the middle of their common frames, that are of one face
GAP_SECONDS = 2.0  # within a shot, for which a face may be out of sight and go on
REACH = 0.5  # how far from where it was heading a face may then turn up, in box sizes ...
REACH_PER_SECOND = 1.0  # ... and how much further for each second
GROWTH = 1.5
HEADING_SECONDS = 0.5  # over which motion is measured, and for which it goes on
MARGIN = 0.05  # by which a person must be nearer than another who can't be the same
MOST_GROUPS = 1000  # whose distances are kept, those seen most: 8 MB
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
        identity=None if found.identity is None else renumber_identity(found.identity, persons),
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
        identity: embeddings of crops of the tracks; used where ``join`` is ``identity``.
        settings: ``join`` says which steps are taken, ``link_overlap`` from which overlap on two
            boxes are not two places.

    Shapes (T frames):
        ``times``: (T,), seconds.

    Returns:
        Number of each track -> number of its person, from 0 in order of appearance.
    """
    numbers = np.unique(tracks.number)
    if settings.join == "none":
        return {int(number): int(number) for number in numbers}
    rows = _split(tracks.number)
    crops = _crops(identity if settings.join == "identity" else None, numbers)
    apart, same = _compare_places(tracks, rows, settings.link_overlap)
    groups = _Groups(apart)
    for one, other in [*same, *_continuations(tracks, times, _shots(times, cuts), rows, crops)]:
        groups.join(one, other)
    if settings.join == "identity":
        seen = is_seen(tracks.rung)
        _join_by_identity(groups, crops, [int(seen[mine].sum()) for mine in rows])
    first = [int(tracks.frame[mine[0]]) for mine in rows]
    members = sorted(groups.members(), key=lambda group: min((first[one], one) for one in group))
    return {int(numbers[one]): person for person, group in enumerate(members) for one in group}


def renumber_tracks(tracks: TrackArrays, persons: dict[int, int]) -> TrackArrays:
    """Number rows by person; of several in one frame the surest stays, of such the best score."""
    number = _mapped(tracks.number, persons)
    order = np.lexsort((-tracks.score, -rank_sources(tracks.rung), number, tracks.frame))
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


def _split(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each track, by number: in order of frames, as the rows are."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []


class _Groups:
    """Groups of tracks, joined only where no two are apart.

    Tracks go by their place in the order of numbers, a group by one of its tracks.

    Args:
        apart: of each track, those that are someone else.
    """

    def __init__(self, apart: Sequence[set[int]]) -> None:
        self._apart = [set(others) for others in apart]
        self._members = {place: [place] for place in range(len(apart))}
        self._group = list(range(len(apart)))

    def join(self, one: int, other: int) -> None:
        """Join the groups of two tracks unless they are apart."""
        a, b = sorted((self._group[one], self._group[other]))
        if a == b or self.are_apart(a, b):
            return
        gone = self._members.pop(b)
        self._members[a] += gone
        self._apart[a] |= self._apart[b]
        for place in gone:
            self._group[place] = a

    def are_apart(self, one: int, other: int) -> bool:
        """Say whether the groups of two tracks are two persons."""
        return not self._apart[one].isdisjoint(self._members[other])

    def members(self) -> list[list[int]]:
        """Return the tracks of each group."""
        return list(self._members.values())


def _shots(times: np.ndarray, cuts: Sequence[int]) -> np.ndarray:
    """Number the shot of each frame; of cuts in quick succession the last one counts."""
    starts, begins = np.array(cuts, np.int64), np.zeros(len(times), np.int64)
    begins[starts[np.diff(times[starts], append=np.inf) > FADE_SECONDS]] = 1
    return begins.cumsum()


def _crops(identity: IdentityArrays | None, numbers: np.ndarray) -> list[np.ndarray]:
    """Return the embeddings of each track's crops that are sharp enough: (M, D) each."""
    if identity is None:
        return [np.zeros((0, IDENTITY_DIM), np.float32)] * len(numbers)
    sharp = identity.sharpness >= LEAST_SHARPNESS
    return [identity.embedding[sharp & (identity.track == number)] for number in numbers]


def _compare_places(
    tracks: TrackArrays, rows: Sequence[np.ndarray], least: float
) -> tuple[list[set[int]], list[tuple[int, int]]]:
    """Compare the boxes of tracks in the frames that they share.

    Returns:
        Of each track, those that were seen elsewhere in one frame with it; and the pairs whose
        boxes lie on each other.
    """
    seen = is_seen(tracks.rung)
    first, last = (np.array([tracks.frame[mine[at]] for mine in rows]) for at in (0, -1))
    apart: list[set[int]] = [set() for _ in rows]
    same: list[tuple[int, int]] = []
    for i, mine in enumerate(rows):
        for j in np.flatnonzero((first[:i] <= last[i]) & (last[:i] >= first[i])).tolist():
            theirs = rows[j]
            _, a, b = np.intersect1d(
                tracks.frame[mine], tracks.frame[theirs], assume_unique=True, return_indices=True
            )
            if not len(a):
                continue
            shared = _overlaps(tracks.box[mine[a]], tracks.box[theirs[b]])
            both = seen[mine[a]] & seen[theirs[b]]
            if (shared[both] < least).any():
                apart[i].add(j)
                apart[j].add(i)
            elif np.median(shared) >= SAME_FACE:
                same.append((j, i))
    return apart, same


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes, pair by pair: (N, 4) twice -> (N,)."""
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    total = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1)
    return np.asarray(shared / np.maximum(total - shared, 1e-9))


def _continuations(
    tracks: TrackArrays,
    times: np.ndarray,
    shots: np.ndarray,
    rows: Sequence[np.ndarray],
    crops: Sequence[np.ndarray],
) -> list[tuple[int, int]]:
    """Return the pairs of tracks of which one goes on in the other, the nearest first."""
    seen = is_seen(tracks.rung)
    ends = [(place, mine[seen[mine]]) for place, mine in enumerate(rows) if seen[mine].any()]
    begin = np.array([tracks.frame[mine[0]] for _, mine in ends], np.int64)
    found: list[tuple[float, int, int]] = []
    for i, mine in ends:
        last = tracks.frame[mine[-1]]
        soon = (begin > last) & (times[begin] - times[last] <= GAP_SECONDS)
        for j, theirs in (ends[at] for at in np.flatnonzero(soon & (shots[begin] == shots[last]))):
            if SAME_PERSON <= _distance(crops[i], crops[j]) < np.inf:
                continue
            gap = float(times[tracks.frame[theirs[0]]] - times[last])
            far = _way(tracks, times, mine, theirs)
            if far <= REACH + REACH_PER_SECOND * gap:
                found.append((far + gap, i, j))
    after: dict[int, int] = {}
    for _, i, j in sorted(found):
        if i not in after and j not in after.values():
            after[i] = j
    return list(after.items())


def _way(tracks: TrackArrays, times: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> float:
    """Return how far a track begins from where another was or was heading, in box sizes."""
    at, begin = times[tracks.frame[mine]], times[tracks.frame[theirs[0]]]
    recent = at >= at[-1] - HEADING_SECONDS
    box, there = (tracks.box[them].astype(np.float64) for them in (mine[recent], theirs[0]))
    size, other = box[-1, 2] - box[-1, 0], there[2] - there[0]
    if not max(size, other) < GROWTH * min(size, other):
        return np.inf
    centre, there = (box[:, :2] + box[:, 2:]) / 2, (there[:2] + there[2:]) / 2
    passed = float(at[-1] - at[recent][0])
    speed = (centre[-1] - centre[0]) / passed if passed > 0 else np.zeros(2)
    ahead = centre[-1] + speed * min(begin - at[-1], HEADING_SECONDS)
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


def _join_by_identity(
    groups: _Groups, crops: Sequence[np.ndarray], num_seen: Sequence[int]
) -> None:
    """Join groups by the distances of their crops, see ``join_tracks``."""
    known = [
        (sum(num_seen[one] for one in members), members[0], them)
        for members in groups.members()
        for them in [np.concatenate([crops[one] for one in members])]
        if len(them)
    ]
    known = sorted(known, key=lambda group: (-group[0], group[1]))[:MOST_GROUPS]
    weight = np.array([len(them) for _, _, them in known], np.float64)
    far = np.full((len(known), len(known)), np.inf)
    apart = np.zeros(far.shape, np.bool_)
    for i, (_, mine, my_crops) in enumerate(known):
        for j, (_, theirs, their_crops) in enumerate(known[:i]):
            far[i, j] = far[j, i] = _distance(my_crops, their_crops)
            apart[i, j] = apart[j, i] = groups.are_apart(mine, theirs)
    closed = apart | np.eye(len(known), dtype=np.bool_)  # pairs that are not to be joined any more
    while not closed.all():
        open_pairs = np.where(closed, np.inf, far)
        i, j = sorted(map(int, np.unravel_index(open_pairs.argmin(), far.shape)))
        if far[i, j] >= ONE_PERSON:
            return
        near = far[i, j] + MARGIN
        if (apart[i] & (far[j] < near)).any() or (apart[j] & (far[i] < near)).any():
            closed[i, j] = closed[j, i] = True
            continue
        groups.join(known[i][1], known[j][1])
        mean = (weight[i] * far[i] + weight[j] * far[j]) / (weight[i] + weight[j])
        far[i] = far[:, i] = mean
        far[j] = far[:, j] = np.inf
        weight[i] += weight[j]
        for matrix in (apart, closed):
            matrix[i] |= matrix[j]
            matrix[:, i] = matrix[i]
        closed[j] = closed[:, j] = True
