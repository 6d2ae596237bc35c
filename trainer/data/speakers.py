"""Speakers of clips whose manifest doesn't name them: groups of persons found by their faces.

What must not happen is that a face of a test person is in the training clips. So clips are kept
together, whoever speaks in them, if

- the same person is seen in both, each time in ``LEAST_SHARE`` of the frames or more,
- two persons are seen in them who may be one (the nearest pairs first, while no group that grows
  so has more than ``MOST_TOGETHER`` of the clips: else chance resemblances would join all),
- they have the same speaker in the manifest.

Clips in which nobody could be told are one more group: any two may be of one person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from cache.codec import JsonFields
from cache.manifest.clip import Clip
from cache.persons import Persons, find_stale_persons, read_persons
from cache.wording import name_by_reason, name_some, number_of
from trainer.data.folds import SplitError, natural_key

LEAST_SHARE = 0.1  # of a clip's frames: who is seen in fewer is hardly ever the chosen face
MOST_UNKNOWN = 0.2  # of the clips
MOST_TOGETHER = 0.2  # of the clips
UNKNOWN = "nobody known"  # name of the group of these
BY_FACES: Final = "by faces"


@dataclass(frozen=True)
class FaceSpeakers(JsonFields):
    """Facts about speakers that were found by faces.

    Args:
        clips: number of clips.
        proposed: number of those with a proposed speaker.
        confidence: median of these proposals' confidence.
        groups: number of groups that share no person.
        largest: number of clips of the largest group.
        doubtful: number of pairs of persons who may be one and are not kept together.
        unknown: ids of the clips in which nobody could be told.
        persons: digest of the table of persons.
    """

    clips: int
    proposed: int
    confidence: float
    groups: int
    largest: int
    doubtful: int
    unknown: tuple[str, ...]
    persons: str

    def describe_intervals(self) -> str:
        """Say in a sentence what intervals by speaker rest on, where folds don't."""
        return (
            f"intervals and tests by speaker take {self.groups} groups of persons found by faces "
            f"for speakers, as not every clip names its own: {self.proposed} of "
            f"{number_of(self.clips, 'clip')} with a person, median confidence "
            f"{self.confidence:.2f}; a person who was taken for two makes them too narrow"
        )

    def describe(self) -> str:
        """Say in a sentence what the folds rest on."""
        text = (
            f"speakers: persons found by faces, {self.proposed} of {number_of(self.clips, 'clip')} "
            f"with a speaker, median confidence {self.confidence:.2f}; {self.groups} groups of "
            f"persons share no clip, the largest has {number_of(self.largest, 'clip')}; a person "
            "who was taken for two may still be in training and test"
        )
        if self.doubtful:
            text += (
                f"; {number_of(self.doubtful, 'pair')} of persons who may be one are not kept "
                f"together, as more than {MOST_TOGETHER:.0%} of the clips would be"
            )
        if self.unknown:
            text += (
                f"; {number_of(len(self.unknown), 'clip')} without a known person are kept "
                f"together: {name_some(self.unknown)}"
            )
        return text


def find_speakers(cache: Path, clips: Sequence[Clip]) -> tuple[list[Clip], FaceSpeakers] | None:
    """Give each clip its group of persons as the speaker, by a cache's table of persons.

    Args:
        cache: the cache's folder.
        clips: labelled clips.

    Returns:
        The clips in their order, and the facts; None where there is no table.

    Raises:
        SplitError: a row of the table is not of the entry that is there, or in more than
            ``MOST_UNKNOWN`` of the clips nobody is known.
        PersonsError: the table is damaged.
        OSError: an entry can't be read.
    """
    persons = read_persons(cache)
    if persons is None:
        return None
    if stale := find_stale_persons(cache, persons, [clip.id for clip in clips]):
        raise SplitError(
            f"{number_of(len(stale), 'clip')} changed since their persons were found: "
            f"{name_by_reason(stale)}; run 'avfuse persons' again"
        )
    group, doubtful = _group(persons, clips)
    unknown = tuple(clip.id for clip in clips if clip.id not in group)
    if len(unknown) > MOST_UNKNOWN * len(clips):
        absent = sum(clip not in persons.clips for clip in unknown)
        raise SplitError(
            f"in {len(unknown)} of {len(clips)} labelled clips nobody is known, by manifest or by "
            f"face, and any two of them may be of one person: {name_some(unknown)}; "
            + (f"{absent} of them are yet to be extracted; " if absent else "")
            + "fill in the "
            "manifest's column speaker, name their tracks with 'avfuse persons --corrections', or "
            "leave them out"
        )
    sure = [row.confidence for clip in clips if (row := persons.clips.get(clip.id)) and row.speaker]
    sizes = Counter(group.get(clip.id, UNKNOWN) for clip in clips)
    facts = FaceSpeakers(
        clips=len(clips),
        proposed=len(sure),
        confidence=round(median(sure or [0.0]), 4),
        groups=len(sizes),
        largest=max(sizes.values()),
        doubtful=doubtful,
        unknown=unknown,
        persons=persons.digest,
    )
    return [replace(clip, speaker=group.get(clip.id, UNKNOWN)) for clip in clips], facts


def find_shared_persons(
    cache: Path, parts: Iterable[tuple[Sequence[Clip], Sequence[Clip]]]
) -> tuple[str, ...]:
    """Name the persons of a cache's table who are seen in training and in test clips.

    Rows that are not of the entries that are there are passed over.

    Args:
        cache: the cache's folder.
        parts: training and test clips of each fold.

    Raises:
        PersonsError: the table is damaged.
        OSError: an entry can't be read.
    """
    persons = read_persons(cache)
    if persons is None:
        return ()
    folds = [[{clip.id for clip in part} for part in fold] for fold in parts]
    stale = find_stale_persons(
        cache, persons, set().union(*(part for one in folds for part in one))
    )
    seen = {clip: names for clip, names in _find_seen(persons).items() if clip not in stale}
    shared: set[str] = set()
    for fold in folds:
        train, test = ({name for clip in part for name in seen.get(clip, ())} for part in fold)
        shared |= train & test
    return tuple(sorted(shared, key=natural_key))


def _find_seen(persons: Persons) -> dict[str, list[str]]:
    """Return the names of those who are seen in ``LEAST_SHARE`` of a clip's frames or more."""
    share: dict[str, dict[str, float]] = {}
    for person in persons.persons:
        for track in person.tracks:
            found = share.setdefault(track.clip, {})
            found[person.name] = found.get(person.name, 0.0) + track.share
    return {
        clip: [name for name, part in found.items() if part >= LEAST_SHARE]
        for clip, found in share.items()
    }


def _group(persons: Persons, clips: Sequence[Clip]) -> tuple[dict[str, str], int]:
    """Return the group of each clip with somebody known, called after who is in most clips.

    Beside them stands the number of pairs of persons who may be one and are in two groups.
    """
    seen = _find_seen(persons)
    of_clip = {
        # A person and a speaker of the same name are one: that is where the person's comes from.
        clip.id: [
            *seen.get(clip.id, ()),
            *([clip.stated_speaker] if clip.stated_speaker else []),
        ]
        for clip in clips
    }
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name] = root[root[name]]
        return name

    for names in of_clip.values():
        for other in names[1:]:
            root[find(names[0])] = find(other)
    size = Counter(find(names[0]) for names in of_clip.values() if names)
    left = 0
    for pair in persons.doubtful:
        one, other = find(pair.one), find(pair.other)
        if one != other and size[one] and size[other]:  # both are seen in these clips
            if size[one] + size[other] > MOST_TOGETHER * len(clips):
                left += 1
            else:
                root[one] = other
                size[other] += size[one]
    times = Counter(name for names in of_clip.values() for name in set(names))
    best: dict[str, str] = {}
    for name in sorted(times, key=lambda name: (-times[name], natural_key(name))):
        best.setdefault(find(name), name)
    return {clip: best[find(names[0])] for clip, names in of_clip.items() if names}, left
