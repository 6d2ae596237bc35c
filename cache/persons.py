"""Persons of a corpus: who is on which track of which clip, and who is thought to speak there.

``avfuse persons`` writes the table to ``CACHE/persons.json``; whatever chooses a face by its person
or divides clips by speakers reads it. It is made from a set ``identity``, and a clip's row is of
use only beside the entry that it was made from.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cache.codec import JsonFields, fields_from_json, fields_to_json, read_object
from cache.commit import write_whole
from cache.digest import canonical_json, digest_json, take_checksum
from cache.entries.entry import EntryError
from cache.manifest.clip_id import check_clip_id
from cache.manifest.rows import read_text, text_problem
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetError

PERSONS_FILE = "persons.json"
SCHEMA = 1
_SET_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{16}")


class PersonsError(ValueError):
    """The table of persons is damaged, of another version, contradicts itself, or can't be made."""


@dataclass(frozen=True, slots=True)
class PersonTrack(JsonFields):
    """One track of a person.

    Args:
        clip: the clip's id.
        track: number of the track in the clip's entry of the set ``faces``.
        share: share of the clip's frames in which the track's face is seen, in [0, 1].
    """

    clip: str
    track: int
    share: float

    def __post_init__(self) -> None:
        check_clip_id(self.clip)
        if self.track < 0 or not 0 <= self.share <= 1:
            raise ValueError(
                f"clip {self.clip}: expected a track from 0 on and a share in [0, 1], "
                f"got {self.track} and {self.share}"
            )


@dataclass(frozen=True, slots=True)
class Person(JsonFields):
    """A person of a corpus.

    Args:
        name: unique in the table.
        confidence: how sure it is that all tracks are this one person, in [0, 1].
        tracks: the tracks, sorted by clip and number.
    """

    name: str
    confidence: float
    tracks: tuple[PersonTrack, ...]

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_confidence(self.confidence)
        if not self.tracks:
            raise ValueError(f"person {self.name!r} has no track")

    @property
    def clips(self) -> tuple[str, ...]:
        """The clips with this person, each once, in the order of the tracks."""
        return tuple(dict.fromkeys(track.clip for track in self.tracks))


@dataclass(frozen=True, slots=True)
class ClipSpeaker(JsonFields):
    """Proposal of the person who speaks in a clip.

    Args:
        speaker: name of the person; None where nobody stands out.
        confidence: of the proposal, in [0, 1]; of None 0.
        identity: identity of the clip's entry in the set that the table was made from.
    """

    speaker: str | None
    confidence: float
    identity: str

    def __post_init__(self) -> None:
        _check_confidence(self.confidence)


@dataclass(frozen=True, slots=True)
class DoubtfulPair(JsonFields):
    """Two persons who may be one: too far apart to be merged, too near to be sure.

    Args:
        one: name of one person.
        other: name of the other.
        distance: of their embeddings.
    """

    one: str
    other: str
    distance: float


@dataclass(frozen=True)
class Persons(JsonFields):
    """The persons of a corpus.

    Args:
        set: folder of the set ``identity`` that they were found in, such as
            ``identity-0123456789abcdef``.
        persons: the persons; no track is of two, and none without a track is listed.
        clips: clip to its proposed speaker; every clip of a track is among them.
        doubtful: pairs of persons who may be one, the nearest first.

    Raises:
        ValueError: ``set`` is no folder of a set, a name or a track stands twice, a speaker is
            not seen in the clip, a person's clip is missing, or a pair names nobody.
    """

    set: str
    persons: tuple[Person, ...]
    clips: Mapping[str, ClipSpeaker]
    doubtful: tuple[DoubtfulPair, ...] = ()

    def __post_init__(self) -> None:
        if not _SET_FOLDER.fullmatch(self.set):
            raise ValueError(f"{self.set!r} is no folder of a feature set")
        for clip in self.clips:
            check_clip_id(clip)
        _check_once("person", (person.name for person in self.persons))
        tracks = [(t.clip, t.track) for person in self.persons for t in person.tracks]
        _check_once("track", (f"{track} of clip {clip}" for clip, track in tracks))
        for clip, _ in tracks:
            if clip not in self.clips:
                raise ValueError(f"clip {clip} has a person and no row")
        for clip, row in self.clips.items():
            if row.speaker is not None and row.speaker not in self.in_clip(clip).values():
                raise ValueError(f"clip {clip}: its speaker {row.speaker!r} is not seen in it")
        for pair in self.doubtful:
            if not {pair.one, pair.other} <= self.by_name.keys() or pair.one == pair.other:
                raise ValueError(f"{pair.one!r} and {pair.other!r} are not two of the persons")

    @functools.cached_property
    def by_name(self) -> Mapping[str, Person]:
        """Each person under its name."""
        return {person.name: person for person in self.persons}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the whole table, 64 hex digits."""
        return digest_json(self.to_json())

    def in_clip(self, clip: str) -> Mapping[int, str]:
        """Return the name of the person on each track of a clip; tracks of nobody are left out."""
        return self._by_clip.get(clip, {})

    def speaker(self, clip: str) -> str | None:
        """Return the name of a clip's proposed speaker, None where there is no proposal."""
        row = self.clips.get(clip)
        return row.speaker if row else None

    @functools.cached_property
    def _by_clip(self) -> Mapping[str, Mapping[int, str]]:
        found: dict[str, dict[int, str]] = {}
        for person in self.persons:
            for track in person.tracks:
                found.setdefault(track.clip, {})[track.track] = person.name
        return found


def check_name(name: str) -> str:
    """Return a person's name if a manifest can hold it as a speaker.

    Raises:
        ValueError: it can't: empty, too long, with control characters, a formula ...
    """
    problem = text_problem("speaker", name)
    if problem or read_text("speaker", name) != name or not name:
        raise ValueError(problem or f"{name!r} is no name of a person; call it otherwise")
    return name


def read_persons(cache: Path) -> Persons | None:
    """Read a cache's table of persons; None if ``avfuse persons`` was never run.

    Raises:
        PersonsError: it is damaged, or of another version.
        OSError: it can't be read.
    """
    path = cache / PERSONS_FILE
    try:
        values = read_object(path)
        if values.get("schema") != SCHEMA:
            raise ValueError(f"it has schema {values.get('schema')!r}, expected {SCHEMA}")
        take_checksum(values)
        del values["schema"]
        return fields_from_json(Persons, values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise PersonsError(
            f"the table of persons {path} can't be used: {error}; run 'avfuse persons' again"
        ) from error


def write_persons(cache: Path, persons: Persons) -> Path:
    """Write a cache's table of persons, complete or not at all, replacing the one that is there.

    Returns:
        Its path.

    Raises:
        CacheWriteError: it couldn't be written; the one that was there stays.
    """
    values = {"schema": SCHEMA, **fields_to_json(persons)}
    text = canonical_json({**values, "checksum": digest_json(values)})
    return write_whole(cache / PERSONS_FILE, text + "\n", what="the table of persons")


def find_stale_persons(cache: Path, persons: Persons, clips: Iterable[str]) -> dict[str, str]:
    """Find the clips whose rows were not made from the entries that are there now.

    Args:
        cache: the cache's folder.
        persons: its table.
        clips: the clips to look at; those with neither row nor entry are left out.

    Returns:
        Clip to the reason.

    Raises:
        OSError: an entry can't be read.
    """
    try:
        made_from = FeatureSet.open(cache / persons.set)
    except SetError as error:
        return {clip: str(error) for clip in clips if clip in persons.clips}
    stale = {}
    for clip in clips:
        row = persons.clips.get(clip)
        try:
            header = made_from.read_headers([clip]).get(clip)
        except EntryError as error:
            stale[clip] = str(error)
            continue
        stated, there = row.identity if row else None, header.identity if header else None
        if stated != there:
            what = "made again" if row and header else "added" if header else "removed"
            stale[clip] = f"its entry in {persons.set} was {what} since"
    return stale


def _check_once(what: str, names: Iterable[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} stands twice")


def _check_confidence(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"a confidence is in [0, 1], got {value}")
