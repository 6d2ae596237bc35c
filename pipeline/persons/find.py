"""Persons of a corpus: cluster its tracks, name the clusters, propose each clip's speaker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cache.codec import JsonFields
from cache.digest import digest_text
from cache.manifest.clip import Clip
from cache.persons import (
    ClipSpeaker,
    DoubtfulPair,
    Person,
    Persons,
    PersonsError,
    PersonTrack,
    read_persons,
)
from cache.wording import name_by_reason
from pipeline.persons.cluster import cluster_groups, find_near, measure_widths
from pipeline.persons.corrections import Constraints, apply_corrections, read_corrections
from pipeline.persons.gather import Sets, Tracks, gather_tracks

# Distances of dlib's embeddings; it calls 0.6 one person. benchmarks/NOTES.md says what they rest
# on: strangers may be 0.37 apart, where they are small children, East Asian or in the dark.
SAME = 0.35
DOUBTFUL = 0.45
LEAST_MARGIN = 0.2  # of the area of the person seen most, before the next
AUTOMATIC = "p-"  # begins a name that nobody gave
_LONGEST_CLIP = 150  # characters of a clip's id in such a name


@dataclass(frozen=True)
class Disagreement(JsonFields):
    """A clip whose speaker in the manifest is not the person who is seen most in it.

    Args:
        clip: its id.
        speaker: the manifest's.
        person: name of the person.
    """

    clip: str
    speaker: str
    person: str


@dataclass(frozen=True)
class Found:
    """Result of looking for persons.

    Args:
        persons: the table; who is in most clips comes first.
        tracks: the tracks of all clips, and the clips that nothing is known of.
        disagreements: with the manifest's speakers.
        unclear: number of tracks whose person can't be told: no crop is large enough.
        dropped: clips of the table that was there which are not among the clips looked at.
    """

    persons: Persons
    tracks: Tracks
    disagreements: tuple[Disagreement, ...]
    unclear: int
    dropped: tuple[str, ...] = ()


def find_persons(
    clips: Sequence[Clip],
    sets: Sets,
    corrections: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Find the persons of a manifest's clips; ``cache.persons.write_persons`` keeps them.

    A person is called as the corrections say, else as the manifest's speaker of most of the clips
    in which the person is seen most, else ``p-CLIP-TRACK`` after the first track; whoever has such
    a name in the cache's table keeps it, so that clips that are added rename nobody.

    Args:
        clips: of a manifest, in order.
        sets: see ``pipeline.persons.gather.find_sets``.
        corrections: a table of corrections by hand.
        progress: called with the number of clips read and of all.

    Raises:
        CorrectionError: see ``read_corrections`` and ``apply_corrections``.
        PersonsError: no clip can be used.
        OSError: the cache can't be read.
    """
    rows = read_corrections(corrections) if corrections else ()
    tracks = gather_tracks(clips, sets, progress)
    if not tracks.identities:
        raise PersonsError(
            f"no clip of the manifest can be used: {name_by_reason(tracks.left_out)}; nothing is "
            "written"
        )
    before = _read_before(sets.identity.cache)
    said = apply_corrections(rows, tracks, corrections or Path())
    clusters = _cluster(tracks, said)
    foremost = dict(_find_foremost(tracks, clusters))
    speakers = {clip.id: clip.stated_speaker for clip in clips if clip.stated_speaker}
    votes: dict[int, Counter[str]] = {cluster: Counter() for cluster in clusters.rows}
    for clip, (cluster, _) in foremost.items():
        if clip in speakers and cluster in votes:
            votes[cluster][speakers[clip]] += 1
    names = _name(clusters, tracks, votes, _read_names(before, tracks))
    proposals = {
        clip: ClipSpeaker(None, 0.0, identity) for clip, identity in tracks.identities.items()
    }
    for clip, (cluster, margin) in foremost.items():
        if cluster in names and margin >= LEAST_MARGIN:
            confidence = round(margin * clusters.confidence[cluster], 4)
            proposals[clip] = ClipSpeaker(names[cluster], confidence, tracks.identities[clip])
    persons = Persons(
        sets.identity.folder.name,
        tuple(
            Person(
                names[cluster],
                round(clusters.confidence[cluster], 4),
                tuple(
                    PersonTrack(
                        tracks.clips[row],
                        int(tracks.number[row]),
                        round(float(tracks.share[row]), 4),
                    )
                    for row in clusters.rows[cluster]
                ),
            )
            for cluster in clusters.most_clips_first(tracks)
        ),
        proposals,
        tuple(
            DoubtfulPair(names[one], names[other], round(distance, 4))
            for distance, one, other in clusters.doubtful
        ),
    )
    disagreements = tuple(
        Disagreement(clip, speakers[clip], row.speaker)
        for clip, row in proposals.items()
        if row.speaker and speakers.get(clip, row.speaker) != row.speaker
    )
    unclear = len(tracks) - int(said.nobody.sum()) - sum(map(len, clusters.rows.values()))
    looked_at = {clip.id for clip in clips}
    dropped = tuple(clip for clip in (before.clips if before else ()) if clip not in looked_at)
    return Found(persons, tracks, disagreements, unclear, dropped)


@dataclass(frozen=True)
class _Clusters:
    """Clusters of tracks.

    Args:
        of_track: (N,), int64; the cluster of each track, those of nobody too.
        rows: the clusters that are persons, with their tracks.
        names: cluster to the name that was given by hand.
        doubtful: distance and numbers of two persons who may be one, the nearest first.
        widest: cluster to the largest distance of a track from the rest of its look.
    """

    of_track: np.ndarray
    rows: Mapping[int, list[int]]
    names: Mapping[int, str]
    doubtful: Sequence[tuple[float, int, int]]
    widest: Mapping[int, float]

    @cached_property
    def confidence(self) -> Mapping[int, float]:
        """The weaker of two: that all tracks are one person, and that nobody else is the same.

        The first falls with the squared distance from 1 to 0 at ``SAME``, the second from 1 where
        nobody is nearer than ``DOUBTFUL`` to 0 at ``SAME``.
        """
        found = {row: max(0.0, 1 - (self.widest[row] / SAME) ** 2) for row in self.rows}
        for distance, *both in self.doubtful:
            alone = max(0.0, (distance - SAME) / (DOUBTFUL - SAME))
            found.update({cluster: min(found[cluster], alone) for cluster in both})
        return found

    def most_clips_first(self, tracks: Tracks) -> list[int]:
        """Sort the persons by their number of clips, and by their first track."""
        clips = {one: len({tracks.clips[row] for row in rows}) for one, rows in self.rows.items()}
        return sorted(self.rows, key=lambda one: (-clips[one], self.rows[one][0]))


def _cluster(tracks: Tracks, said: Constraints) -> _Clusters:
    """Cluster tracks; whoever is one person by hand is a team from the beginning."""
    crops = np.where(said.nobody, 0, tracks.groups.count)
    groups = replace(tracks.groups, count=crops, team=said.team, known=said.known, apart=said.apart)
    look, of_track = cluster_groups(groups, SAME)
    whole = groups.merge(of_track)
    someone = (whole.count > 0) | (whole.known >= 0)
    widest = np.zeros(len(whole))
    np.maximum.at(widest, of_track, measure_widths(groups, look))
    rows: dict[int, list[int]] = {}
    for row, cluster in enumerate(of_track.tolist()):
        if someone[cluster]:
            rows.setdefault(cluster, []).append(row)
    return _Clusters(
        of_track=of_track,
        rows=rows,
        names={one: said.names[whole.known[one]] for one in rows if whole.known[one] >= 0},
        doubtful=find_near(whole, DOUBTFUL),
        widest=dict(enumerate(widest.tolist())),
    )


def _find_foremost(tracks: Tracks, clusters: _Clusters) -> Iterator[tuple[str, tuple[int, float]]]:
    """Yield each clip with the cluster that covers most of its picture, and its lead in [0, 1]."""
    areas: dict[str, Counter[int]] = {}
    for clip, cluster, area in zip(
        tracks.clips, clusters.of_track.tolist(), tracks.area.tolist(), strict=True
    ):
        areas.setdefault(clip, Counter())[cluster] += area
    for clip, found in areas.items():
        (first, most), *others = found.most_common(2)
        if most > 0:
            yield clip, (first, (most - (others[0][1] if others else 0.0)) / most)


def _read_before(cache: Path) -> Persons | None:
    try:
        return read_persons(cache)
    except PersonsError:
        return None  # it is about to be replaced


def _read_names(before: Persons | None, tracks: Tracks) -> Mapping[int, str]:
    """Return the automatic name that a track's person has in the cache's table, by row."""
    if before is None:
        return {}
    found: dict[int, str] = {}
    for person in before.persons:
        if person.name.startswith(AUTOMATIC):
            for one in person.tracks:
                same = tracks.identities.get(one.clip) == before.clips[one.clip].identity
                if same and one.track in tracks.rows[one.clip]:
                    found[tracks.rows[one.clip][one.track]] = person.name
    return found


def _name(
    clusters: _Clusters,
    tracks: Tracks,
    votes: Mapping[int, Counter[str]],
    before: Mapping[int, str],
) -> dict[int, str]:
    """Name the persons; each name once, for who has the best claim to it."""
    names = dict(clusters.names)
    claims = [
        (kind, -count, cluster, name)
        for cluster, rows in clusters.rows.items()
        for kind, found in enumerate(
            (votes[cluster], Counter(before[r] for r in rows if r in before))
        )
        for name, count in found.items()
        if kind or 2 * count > found.total()
    ]
    taken = set(names.values())
    for _, _, cluster, name in sorted(claims):
        if cluster not in names and name not in taken:
            names[cluster] = name
            taken.add(name)
    for cluster, rows in clusters.rows.items():
        if cluster not in names:
            names[cluster] = _automatic_name(
                tracks.clips[rows[0]], int(tracks.number[rows[0]]), taken
            )
            taken.add(names[cluster])
    return names


def _automatic_name(clip: str, track: int, taken: set[str]) -> str:
    short = (
        clip if len(clip) <= _LONGEST_CLIP else f"{clip[:_LONGEST_CLIP]}-{digest_text(clip)[:8]}"
    )
    name = f"{AUTOMATIC}{short}-{track}"
    while name in taken:  # a person who was split kept it, or somebody was called so by hand
        name += "+"
    return name
