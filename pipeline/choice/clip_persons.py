"""Persons of a clip, out of the cache's table, for the policies that choose by person."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cache.digest import JSON, digest_json
from cache.persons import Persons, find_stale_persons, read_persons
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetError, SetSpec
from pipeline.faces.settings import OTHER, PERSON

PERSONS = "persons"  # the fact in an entry's header: digest of what the table decided
_AGAIN = "run 'avfuse persons MANIFEST --cache {cache}' again"


class PolicyError(ValueError):
    """A policy asks for a person whom the cache doesn't know."""


class StalePersonsError(ValueError):
    """The table of persons doesn't know a clip's faces, or knew others."""


@dataclass(frozen=True)
class ClipPersons:
    """Persons of a clip, as far as a policy asks for them.

    Args:
        names: number of a track to the person's name; tracks of nobody are left out.
        speaker: name of the clip's speaker; None where nobody stands out.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    speaker: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the fields as JSON."""
        names = {str(number): name for number, name in sorted(self.names.items())}
        return {"names": names, "speaker": self.speaker}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build them from what ``to_json`` returned."""
        names = {int(number): str(name) for number, name in values["names"].items()}
        return cls(names, values["speaker"])

    @property
    def digest(self) -> str:
        """Digest, 16 hex digits; empty for nobody."""
        return digest_json(self.to_json())[:16] if self.names else ""


def load_persons(cache: Path, policy: str, faces: SetSpec) -> Persons | None:
    """Read a cache's table of persons, if a policy needs it.

    Args:
        cache: the cache's folder.
        policy: see ``FaceSettings``; ``other`` does without a table.
        faces: the set whose tracks are chosen from.

    Raises:
        PolicyError: there is no table, nobody of that name in it, or it is of other faces.
        cache.persons.PersonsError: the table is damaged.
        OSError: it can't be read.
    """
    by_name = policy.startswith(PERSON)
    persons = read_persons(cache) if by_name or policy == OTHER else None
    if persons is None:
        if by_name:
            raise PolicyError(
                f"policy={policy} needs the table of persons, and {cache} has none; run "
                f"'avfuse persons MANIFEST --cache {cache}' first"
            )
        return None
    name = policy.removeprefix(PERSON)
    if by_name and name not in persons.by_name:
        near = difflib.get_close_matches(name, persons.by_name, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PolicyError(
            f"policy={policy}: the table of persons of {cache} has no {name!r} among its "
            f"{len(persons.persons)}{hint}"
        )
    try:
        made_from = FeatureSet.open(cache / persons.set).spec.upstream.get(faces.name)
    except SetError as error:
        raise PolicyError(
            f"policy={policy}: the table of persons was made from {persons.set}: {error}; "
            f"{_AGAIN.format(cache=cache)}"
        ) from error
    if made_from != faces.key:
        raise PolicyError(
            f"policy={policy}: the table of persons was made from {faces.name}-"
            f"{str(made_from)[:16]}, and these settings make {faces.folder}; "
            f"{_AGAIN.format(cache=cache)}, or give the settings that it was made with"
        )
    return persons


def persons_of(clip: str, persons: Persons, policy: str) -> ClipPersons:
    """Return what a table decides for a clip by a policy; nothing else is to be digested."""
    names = persons.in_clip(clip)
    if policy.startswith(PERSON):
        name = policy.removeprefix(PERSON)
        return ClipPersons({number: one for number, one in names.items() if one == name})
    return ClipPersons(dict(names), persons.speaker(clip))


def check_fresh(cache: Path, clip: str, persons: Persons) -> None:
    """Check that a table of persons is of the faces that a clip has now.

    Raises:
        StalePersonsError: it isn't.
        OSError: an entry can't be read.
    """
    if clip not in persons.clips:
        problem: str | None = "it doesn't have this clip"
    else:
        problem = find_stale_persons(cache, persons, [clip]).get(clip)
    if problem:
        raise StalePersonsError(
            f"the table of persons is stale: {problem}; {_AGAIN.format(cache=cache)}"
        )
