"""Sets of a cache that contact sheets show, and the state of each clip in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.entries.entry import EntryError, read_entry_header
from cache.entries.source_check import SourceCheck
from cache.manifest.clip import Clip
from cache.persons import Persons, read_persons
from cache.sets.feature_set import FeatureSet, find_set, list_sets
from cache.sets.scan import check_cache
from cache.sets.spec import SetError
from cache.settings import SettingsError, settings_from
from pipeline.choice.clip_persons import load_persons
from pipeline.choice.overrides import Override
from pipeline.extract.plan import ALGORITHM_VERSIONS
from pipeline.faces.settings import CropSettings, FaceSettings, check_policy
from pipeline.inspect.request import FACES, NO_FACE


@dataclass(frozen=True)
class Shown:
    """Sets and choices that contact sheets show.

    Args:
        faces: the set that holds every track.
        chosen: the set whose choice of face and crops are shown: a network's, or ``faces``.
        policy: which of several faces.
        crops: how a face is cut out.
        overrides: faces chosen by hand, by clip; None: as the entries of ``chosen`` say.
        persons: the table, where another policy asks for it than that of ``chosen``.
        people: the cache's table, whose names are shown; None where it has none of these faces.
    """

    faces: FeatureSet
    chosen: FeatureSet
    policy: str
    crops: CropSettings
    overrides: Mapping[str, tuple[Override, ...]] | None = None
    persons: Persons | None = None
    people: Persons | None = None

    @property
    def switch_seconds(self) -> float:
        """Shortest time for which the chosen face changes."""
        stated = self.chosen.spec.settings.get("switch_seconds", FaceSettings.switch_seconds)
        return float(str(stated))


@dataclass(frozen=True)
class Listed:
    """A clip and its state in the cache.

    Args:
        clip: the clip.
        state: its entry's, or ``failed``, ``stale`` (there, and not to be used) or ``missing``.
        why: where it failed, is stale or missing.
        faceless: it has frames, and a face in none.
    """

    clip: Clip
    state: str
    why: tuple[str, ...] = field(default=())
    faceless: bool = False

    def is_kind(self, kind: str) -> bool:
        """Say whether the clip is of a kind that a user asks for: a state or ``NO_FACE``."""
        return self.faceless if kind == NO_FACE else self.state == kind


def find_shown(
    cache: Path,
    name: str = FACES,
    *,
    policy: str | None = None,
    overrides: Mapping[str, tuple[Override, ...]] | None = None,
) -> Shown:
    """Find the sets to show.

    Args:
        cache: the cache's folder.
        name: ``faces``, or a set that is made from one, such as ``resnet18``: then the faces and
            crops that this network was given; with the first digits of the key if there are more.
        policy: another policy than that of the set.
        overrides: others than those the set was made with, by clip.

    Raises:
        cache.sets.scan.NotACacheError: the folder is not a cache.
        SetError: there is no such set or several, it isn't made from faces, or its faces are
            gone or were found by another version of avfuse.
        cache.persons.PersonsError: the cache's table of persons is damaged.
        ValueError: the policy is unknown, or asks for a person whom the cache doesn't know.
    """
    check_cache(cache)
    chosen = _find_current(cache) if name == FACES else find_set(cache, name)
    spec = chosen.spec
    faces = chosen
    if spec.name != FACES:
        if FACES not in spec.upstream:
            raise SetError(f"{chosen.folder.name} is not made from faces; there is nothing to show")
        key = spec.upstream[FACES]
        known = [item for item in list_sets(cache) if item.spec.key == key]
        if not known:
            raise SetError(
                f"{chosen.folder.name} is made from {FACES}-{key[:16]}, which the cache no longer "
                f"has; {_advice(cache)}"
            )
        faces = known[0]
    if faces.spec.version != ALGORITHM_VERSIONS[FACES]:
        raise SetError(
            f"{faces.folder.name} is stale: its faces were found by version {faces.spec.version} "
            f"of the algorithm, this avfuse has version {ALGORITHM_VERSIONS[FACES]}; "
            f"{_advice(cache)}"
        )
    own = str(spec.settings.get("policy", FaceSettings.policy))
    if policy is not None:
        check_policy(policy)
    return Shown(
        faces=faces,
        chosen=chosen,
        policy=policy or own,
        crops=_read_crops(spec.settings.get("crops"), chosen),
        overrides=overrides,
        persons=load_persons(cache, policy, faces.spec) if policy else None,
        people=_read_people(cache, faces),
    )


def list_clip(clip: Clip, feature_set: FeatureSet) -> Listed:
    """Say what a set holds of a clip; opens no entry with HDF5.

    An entry whose video is gone counts as it is: what it says can be shown, without a picture.
    """
    path = feature_set.entry_path(clip.id)
    check = SourceCheck(clip.path, clip.span, cache=feature_set.cache, clip=clip.id)
    trust = feature_set.trust(clip.id, check)
    failure = feature_set.failure(clip.id)
    if failure is not None and not path.exists():
        return Listed(clip, "failed", (f"{failure.stage}: {failure.reason}",))
    try:
        header = read_entry_header(path)
    except FileNotFoundError:
        return Listed(clip, "missing", ("no entry yet; extract it",))
    except (EntryError, OSError) as error:
        return Listed(clip, "stale", (f"the entry is damaged: {error}",))
    whole = (header.clip, header.key, header.source.span) == (
        clip.id,
        feature_set.spec.key,
        clip.span,
    )
    if trust.state is None and (clip.path.is_file() or not whole):
        return Listed(clip, "stale", (f"{trust.reason}; extract it again",))
    coverage = header.coverage
    faceless = coverage is not None and coverage.num_frames > 0 and not coverage.num_with_face
    return Listed(clip, header.state, faceless=faceless)


def _find_current(cache: Path) -> FeatureSet:
    """Find the faces set; older ones stay beside it when the algorithm changes."""
    sets = [item for item in list_sets(cache) if item.spec.name == FACES]
    current = [item for item in sets if item.spec.version == ALGORITHM_VERSIONS[FACES]]
    if len(current) == 1:
        return current[0]
    if not sets:
        there = ", ".join(item.folder.name for item in list_sets(cache)) or "no sets"
        raise SetError(f"{cache} has no faces; it has {there}; {_advice(cache)}")
    return find_set(cache, FACES) if current or len(sets) == 1 else sets[-1]


def _read_people(cache: Path, faces: FeatureSet) -> Persons | None:
    """Read the table of persons, unless it is of other faces than these."""
    persons = read_persons(cache)
    if persons is None:
        return None
    made_from = [one.spec.upstream for one in list_sets(cache) if one.folder.name == persons.set]
    known = any(upstream.get(FACES) == faces.spec.key for upstream in made_from)
    return persons if known else None


def _read_crops(stated: Any, feature_set: FeatureSet) -> CropSettings:
    try:
        return settings_from(CropSettings, stated or {})
    except SettingsError as error:
        raise SetError(
            f"{feature_set.folder.name} was made by another version of avfuse: {error}"
        ) from error


def _advice(cache: Path) -> str:
    return f"run 'avfuse extract MANIFEST --cache {cache} --sets faces' first"
