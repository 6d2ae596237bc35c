"""Plans for the sets that a run was trained on, to make them of other videos.

A run records the spec and the provenance of each set that it read; here they become plans again. A
plan that doesn't come to the recorded key is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cache.sets.spec import SetSpec, spec_difference
from cache.settings import settings_from
from extractors.networks import NETWORKS
from extractors.plugins import NETWORKS as NETWORK_PLUGINS
from extractors.plugins import PLUGIN, PluginError, check_recorded
from pipeline.extract.choices import AUDIO_SETS
from pipeline.extract.plan import ALGORITHM_VERSIONS, RECOGNISER, Plan, plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import ALEXNET, PlanError, WeightsChoice, parse_weights
from pipeline.faces.second import has_cuda
from pipeline.faces.settings import PERSON, FaceSettings


@dataclass(frozen=True)
class Recorded:
    """A set as a run records it."""

    spec: SetSpec
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class _Wanted:
    """A set to plan again: its name and key, and the settings and weights it was made with."""

    name: str
    key: str
    settings: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, WeightsChoice]


def replay_plans(
    recorded: Mapping[str, Recorded],
    keys: Sequence[str],
    weights: Mapping[str, WeightsChoice],
    *,
    cache: Path,
    device: str = "auto",
    command: Sequence[str] = (),
) -> list[Plan]:
    """Plan recorded sets again: all in one plan, so that a video is decoded once.

    Only sets that no single run can make, such as two networks whose crops were chosen to differ,
    get a plan each.

    Args:
        recorded: the sets by their keys, upstream sets included.
        keys: the sets to plan.
        weights: parameters per network; for a network not named here, those of the provenance.
        cache: folder for the features.
        device: see ``plan_sets``.
        command: the command line, for the provenance.

    Raises:
        PlanError: a set can't be made from video, its weights are gone, or this version of avfuse,
            or these weights, make other features.
        extractors.weights.files.WeightsError: a weight file doesn't fit its network.
    """
    wanted = [_recall(recorded, key, weights) for key in dict.fromkeys(keys)]
    plan = partial(_plan, cache=cache, device=device, command=command)
    together = plan(wanted)
    if all(_key_in(together, one.name) == one.key for one in wanted):
        return [together]
    plans = [plan([one]) for one in wanted]
    for one, made in zip(wanted, plans, strict=True):
        _check_same(recorded[one.key].spec, made)
    return plans


def _recall(
    recorded: Mapping[str, Recorded], key: str, weights: Mapping[str, WeightsChoice]
) -> _Wanted:
    """Read the settings and weights of one set out of its spec and provenance."""
    if key not in recorded:
        raise PlanError(f"the run doesn't record how its set {key[:16]} was made; train it again")
    spec, provenance = recorded[key].spec, recorded[key].provenance
    _check_plugin(spec)
    if spec.name not in (*NETWORKS, *AUDIO_SETS, ALEXNET):
        raise PlanError(
            f"the run was trained on the set {spec.name}, which avfuse can't make from a video; "
            "import its features for these clips and evaluate on them instead"
        )
    for one in (spec, *(recorded[upstream].spec for upstream in spec.upstream.values())):
        _check_version(one)
    settings: dict[str, Any] = {}
    choices: dict[str, WeightsChoice] = {}
    if spec.name in AUDIO_SETS:
        settings[spec.name] = dict(spec.settings)
    elif spec.name == ALEXNET:
        for name, upstream in spec.upstream.items():
            settings[name] = dict(recorded[upstream].spec.settings)
    else:
        own = dict(spec.settings)
        faces = recorded[spec.upstream["faces"]]
        policy = str(own.pop("policy", FaceSettings.policy))
        if policy.startswith(PERSON):
            raise PlanError(
                f"the run was trained on one person's face (policy={policy}), and who that is in "
                "another video only a cache's table of persons says; extract the video into that "
                "cache, run 'avfuse persons', and evaluate the run on it"
            )
        settings["crops"] = own.pop("crops")
        second = str(faces.spec.settings.get("second", "none"))
        settings["faces"] = {
            **{name: value for name, value in faces.spec.settings.items() if name != RECOGNISER},
            "policy": policy,
            "switch_seconds": own.pop("switch_seconds", FaceSettings.switch_seconds),
            # The same numbers, and who predicts has no other choice.
            "second": "mmod-cpu" if second == "mmod" and not has_cuda() else second,
        }
        own.pop(PLUGIN, None)
        settings["network"] = own
        # A detector's file that is gone is looked for in its package; the key tells another one.
        file = Path(str(faces.provenance.get("weights", "")))
        if second in weights or file.is_file():
            choices[second] = _weights(second, faces.provenance, weights)
    if spec.weights is not None:
        choices[spec.name] = _weights(spec.name, provenance, weights)
    return _Wanted(spec.name, key, settings, choices)


def _check_plugin(spec: SetSpec) -> None:
    """Refuse a set whose plug-in isn't here, or in another version."""
    recorded = spec.settings.get(PLUGIN)
    if not isinstance(recorded, Mapping):
        return
    try:
        check_recorded(NETWORK_PLUGINS, spec.name, recorded)
    except PluginError as error:
        raise PlanError(f"the set {spec.folder} that the run was trained on {error}") from error


def _check_version(spec: SetSpec) -> None:
    """Refuse a set that this version makes otherwise, before its settings are looked at."""
    version = ALGORITHM_VERSIONS["network" if spec.name in NETWORKS else spec.name]
    if spec.version != version:
        raise PlanError(
            f"the run was trained on {spec.name} of version {spec.version}, and this avfuse makes "
            f"version {version}; extract its clips again and train it again"
        )


def _plan(wanted: Sequence[_Wanted], *, cache: Path, device: str, command: Sequence[str]) -> Plan:
    """Plan sets as one. Settings in which they differ are left open, for the weights to fill in."""
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for one in wanted:
        for name, table in one.settings.items():
            tables.setdefault(name, []).append(table)
    return plan_sets(
        [one.name for one in wanted],
        settings_from(StageOneSettings, {name: _agreed(them) for name, them in tables.items()}),
        {name: choice for one in wanted for name, choice in one.weights.items()},
        cache=cache,
        device=device,
        command=command,
    )


def _agreed(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that have the same value in every table."""
    return {
        name: value
        for name, value in tables[0].items()
        if all(name in table and table[name] == value for table in tables[1:])
    }


def _key_in(plan: Plan, name: str) -> str:
    return next(planned.spec.key for planned in plan.sets if planned.name == name)


def _check_same(spec: SetSpec, plan: Plan) -> None:
    made = plan.sets[-1].spec
    if made.key != spec.key:
        difference = "; ".join(spec_difference(spec, made)) or "its upstream set"
        raise PlanError(
            f"the set {spec.name} that the run was trained on can't be made again: {difference}"
        )


def _weights(
    name: str, provenance: Mapping[str, Any], weights: Mapping[str, WeightsChoice]
) -> WeightsChoice:
    if name in weights:
        return weights[name]
    source = str(provenance.get("weights", ""))
    try:
        return parse_weights([f"{name}={source}"])[name]
    except PlanError as error:
        raise PlanError(
            f"the weights of {name} are not where they were ({source or 'not recorded'}); "
            f"pass --weights {name}=FILE"
        ) from error
