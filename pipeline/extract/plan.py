"""The plan of a run: from names on a command line to feature sets with settings, weights and keys.

The key of a set covers everything that can change its numbers, here and nowhere else: see
``plan_sets``. Device, workers and batch size are not in it. Nothing is loaded: digests are of the
weight files' bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cache.codec import fields_to_json
from cache.digest import JSON, digest_file
from cache.entries.source_check import SourceCheck
from cache.manifest.clip import Clip
from cache.persons import Persons
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec
from extractors.networks import NETWORKS, network_plugin
from extractors.running.device import choose_device
from extractors.running.face_network import examine_face_network
from extractors.running.frozen_alexnet import load_frozen_alexnet
from extractors.weights.files import WeightsError
from pipeline.choice.clip_persons import PERSONS, load_persons, persons_of
from pipeline.choice.overrides import OVERRIDES, Override, digest_overrides
from pipeline.extract.choices import AUDIO_SETS, TrustChoice, check_sets, set_names
from pipeline.extract.settings import StageOneSettings, make_provenance
from pipeline.extract.weights import (
    ALEXNET,
    FileState,
    PlanError,
    WeightsChoice,
    check_choices,
    describe_training,
    with_defaults,
)
from pipeline.faces.recogniser import find_recogniser
from pipeline.faces.second import find_model, load_second
from pipeline.faces.settings import DETECTORS, resolve_framing

Kind = Literal["faces", "identity", "network", "audio", "grid"]
# Made of a clip in one pass: where one lacks, all are made.
TOGETHER: tuple[Kind, ...] = ("faces", "identity")
RECOGNISER = "recogniser"  # in the settings of a faces set whose tracks are joined by it: digest

# Bumped by hand when the code of a kind of set starts to yield other numbers for the same settings.
ALGORITHM_VERSIONS: dict[str, int] = {
    "faces": 6,
    "identity": 1,
    "network": 2,
    "spectrogram": 2,
    "logmel": 2,
    "voice": 1,
    "alexnet": 1,
}


@dataclass(frozen=True)
class PlannedSet:
    """One feature set of a run.

    Attributes:
        kind: decides the stage that makes it.
        spec: everything that its key covers.
        choice: the weights of its network, encoder or detector.
        facts: added to its provenance.
        seen: of the file that a network's digest was taken from; None where it has none, or where
            it changed meanwhile.
    """

    kind: Kind
    spec: SetSpec
    choice: WeightsChoice | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen: FileState | None = None

    @property
    def name(self) -> str:
        """The set's name, as in ``--sets``."""
        return self.spec.name


@dataclass(frozen=True)
class Plan:
    """The sets of a run, in the order in which a clip goes through them. Sent to every worker."""

    cache: Path
    settings: StageOneSettings
    sets: tuple[PlannedSet, ...]
    device: str = "cpu"
    batch_size: int = 0
    retry_failed: bool = False
    trust: TrustChoice = "stat"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, tuple[Override, ...]] = field(default_factory=dict)
    persons: Persons | None = None

    def check(self, clip: Clip) -> SourceCheck:
        """Look at a clip's file, for all that the run asks of it."""
        return SourceCheck(
            clip.path,
            clip.span,
            cache=self.cache,
            clip=clip.id,
            content=self.trust == "content",
        )

    @cached_property
    def feature_sets(self) -> Mapping[str, FeatureSet]:
        """The cache's feature set of each of the sets, by name."""
        return {planned.name: FeatureSet(self.cache, planned.spec) for planned in self.sets}

    def of_kind(self, *kinds: Kind) -> tuple[PlannedSet, ...]:
        """The sets of one kind or several."""
        return tuple(planned for planned in self.sets if planned.kind in kinds)

    def choices(self, clip: str, kind: Kind) -> dict[str, str]:
        """Facts of a clip's entry in a set: digests of what decided its faces beside the policy."""
        if kind != "network":
            return {}
        facts = {OVERRIDES: digest_overrides(self.overrides.get(clip, ()))}
        if self.persons is not None:
            facts[PERSONS] = persons_of(clip, self.persons, self.settings.faces.policy).digest
        return {name: digest for name, digest in facts.items() if digest}


def plan_sets(
    names: Sequence[str],
    settings: StageOneSettings,
    choices: Mapping[str, WeightsChoice],
    *,
    cache: Path,
    device: str = "auto",
    batch_size: int = 0,
    retry_failed: bool = False,
    trust: TrustChoice = "stat",
    command: Sequence[str] = (),
    overrides: Mapping[str, tuple[Override, ...]] | None = None,
) -> Plan:
    """Work out the sets to make, upstream first, and their keys.

    Args:
        names: sets asked for; ``faces`` is added where another needs it, ``identity`` beside it
            but on the papers' ladder, and the spectrogram that ``alexnet`` was trained on.
        settings: all settings of stage one.
        choices: weights by network, encoder or detector; without one, those that avfuse ships.
        cache: the cache's folder; its table of persons is read where the policy asks for it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: crops per forward pass; 0 picks by device and views.
        retry_failed: try clips again whose failure is recorded.
        trust: ``stat`` takes a file for unchanged while its size, times and inode are; ``content``
            hashes every file.
        command: the command line, for the provenance.
        overrides: faces chosen by hand, by clip. They are in no key, as little as the clip's own
            file: an entry states which it was made with, and is made again when they change.

    Raises:
        PlanError: an unknown set, a network without weights for which none ship, weights for a set
            not asked for, a second detector that can't be had, a device that isn't there, or a
            policy that asks for a person whom the cache doesn't know.
        extractors.weights.files.WeightsError: a weight file doesn't fit its network.
    """
    wanted = _wanted(names, choices)
    try:
        device = choose_device(device)
    except ValueError as error:
        raise PlanError(str(error)) from error
    if batch_size < 0:
        raise PlanError(f"batch_size must not be negative, got {batch_size}")
    networks = [name for name in wanted if name in NETWORKS]
    sets: list[PlannedSet] = []
    if networks or set(TOGETHER) & set(wanted):
        settings = _with_second(settings, choices)
        sets += _planned_faces(settings, choices, alone="identity" not in wanted)
    elif any(name in DETECTORS for name in choices):
        raise PlanError("a second detector is given, but none of --sets is made from faces")
    if overrides and not networks:
        raise PlanError(
            "overrides choose the face that a network is given, and no network is among --sets "
            f"{','.join(names)}"
        )
    persons = None
    if networks:
        try:
            persons = load_persons(cache, settings.faces.policy, sets[0].spec)
        except (ValueError, OSError) as error:
            raise PlanError(str(error)) from error
        sets += _planned_networks(networks, choices, settings, sets[0].spec)
    grids = [_planned_grid(choices, settings)] if ALEXNET in wanted else []
    upstream = {name for planned in grids for name in planned.spec.upstream}
    for name in AUDIO_SETS:
        if name in wanted or name in upstream:
            sets.append(_planned_audio(name, settings))
    return Plan(
        cache=cache,
        settings=settings,
        sets=(*sets, *grids),
        device=device,
        batch_size=batch_size,
        retry_failed=retry_failed,
        trust=trust,
        provenance=make_provenance(command, settings),
        overrides=dict(overrides or {}),
        persons=persons,
    )


def tell_default(planned: PlannedSet) -> str:
    """Say that a set is made with the weights that avfuse ships, and how good they are."""
    measured = planned.facts.get("accuracy_of_default")
    return (
        f"{planned.name}: the default weights that come with avfuse"
        + (f", right on {measured}" if measured else "")
        + "; `avfuse weights list` tells more"
    )


def _wanted(names: Sequence[str], choices: Mapping[str, WeightsChoice]) -> list[str]:
    """Return the sets asked for, upstream first."""
    check_sets(names)
    check_choices(names, choices)
    return [name for name in set_names() if name in names]


def _with_second(
    settings: StageOneSettings, choices: Mapping[str, WeightsChoice]
) -> StageOneSettings:
    """Take a second detector whose file is named as asked for."""
    named = [name for name in DETECTORS if name in choices]
    second = settings.faces.second
    if named and settings.faces.ladder == "papers":
        raise PlanError(f"--weights {named[0]}=...: ladder=papers has no second detector")
    if len(named) > 1 or (named and second not in ("none", "yunet", named[0], f"{named[0]}-cpu")):
        asked = ", ".join([*named, *({second} - {"none"})])
        raise PlanError(f"one second detector at most; asked for {asked}")
    if named and second in ("none", "yunet"):
        return replace(settings, faces=replace(settings.faces, second=DETECTORS[named[0]]))
    return settings


def _planned_faces(
    settings: StageOneSettings, choices: Mapping[str, WeightsChoice], *, alone: bool
) -> list[PlannedSet]:
    """Plan faces and, unless the papers' ladder is to have them alone, who they are."""
    second = settings.faces.second.removesuffix("-cpu")
    choice = choices.get(second)
    try:
        model = find_model(settings.faces, choice.file if choice else None)
        digest = digest_file(model) if model else None
        if model and digest:
            load_second(settings.faces.second, model, digest)
        recogniser = None if alone and settings.faces.ladder == "papers" else find_recogniser()
        recognises = digest_file(recogniser) if recogniser else None
    except (ValueError, OSError) as error:
        raise PlanError(str(error)) from error
    joins = settings.faces.ladder == "full" and settings.faces.join == "identity"
    joined: dict[str, JSON] = {RECOGNISER: recognises} if joins else {}
    spec = SetSpec(
        name="faces",
        settings=settings.faces.keyed() | joined,
        version=ALGORITHM_VERSIONS["faces"],
        weights=digest,
    )
    faces = PlannedSet("faces", spec, WeightsChoice(model) if model else None)
    if recogniser is None:
        return [faces]
    identity = SetSpec(
        name="identity",
        settings={},
        version=ALGORITHM_VERSIONS["identity"],
        weights=recognises,
        upstream={"faces": spec.key},
    )
    return [faces, PlannedSet("identity", identity, WeightsChoice(recogniser))]


def _planned_networks(
    names: Sequence[str],
    choices: Mapping[str, WeightsChoice],
    settings: StageOneSettings,
    faces: SetSpec,
) -> list[PlannedSet]:
    complete = with_defaults(names, choices)
    chosen = [complete[name] for name in names]
    with ThreadPoolExecutor(len(names)) as threads:  # digesting leaves the interpreter free
        plan = functools.partial(_planned_network, settings=settings, faces=faces)
        return list(threads.map(plan, names, chosen))


def _planned_network(
    name: str, choice: WeightsChoice, settings: StageOneSettings, faces: SetSpec
) -> PlannedSet:
    before = choice.look()
    try:
        network = examine_face_network(name, choice.file, settings.network, seed=choice.seed)
    except WeightsError:
        raise
    except ValueError as error:
        raise PlanError(str(error)) from error
    spec = SetSpec(
        name=name,
        settings={
            **fields_to_json(network.settings),
            "crops": fields_to_json(resolve_framing(settings.crops, network.facts)),
            "policy": settings.faces.policy,
            "switch_seconds": settings.faces.switch_seconds,
            **network_plugin(name),
        },
        version=ALGORITHM_VERSIONS["network"],
        weights=network.weights_digest,
        upstream={"faces": faces.key},
        untrained=choice.untrained,
    )
    facts = {"accuracy_of_default": network.facts.accuracy if network.facts else ""}
    seen = before if choice.look() == before else None
    return PlannedSet("network", spec, choice, facts if choice.default else {}, seen)


def _planned_audio(name: str, settings: StageOneSettings) -> PlannedSet:
    own = fields_to_json(getattr(settings, name))
    return PlannedSet("audio", SetSpec(name=name, settings=own, version=ALGORITHM_VERSIONS[name]))


def _planned_grid(choices: Mapping[str, WeightsChoice], settings: StageOneSettings) -> PlannedSet:
    choice = choices[ALEXNET]
    if choice.file is None:
        raise PlanError(f"{ALEXNET} has no random weights; pass --weights {ALEXNET}=RUN")
    encoder = load_frozen_alexnet(choice.file)
    name = encoder.features
    if name not in AUDIO_SETS:
        raise PlanError(f"{choice.file} was trained on {name}, which can't be made from a video")
    audio = _planned_audio(name, settings).spec
    if audio.key != encoder.features_key:
        raise PlanError(
            f"{choice.file} was trained on the set {name}-{encoder.features_key[:16]}, not on "
            f"{audio.folder}; give the settings ({name}.*) that it was made with"
        )
    spec = SetSpec(
        name=ALEXNET,
        settings={},
        version=ALGORITHM_VERSIONS[ALEXNET],
        weights=encoder.digest,
        upstream={name: audio.key},
        untrained=encoder.untrained,
    )
    return PlannedSet("grid", spec, choice, {"trained_on": describe_training(choice.file)})
