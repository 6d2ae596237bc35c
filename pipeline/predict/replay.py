"""Plans from recorded sets: how a run's features were made, to make them of other clips.

``avfuse predict`` needs exactly the features that a head was trained on. A run records the spec
and the provenance of each set that it read; here they become plans again, and a plan that doesn't
come to the same key is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.sets.spec import SetSpec, spec_difference
from cache.settings import settings_from
from extractors.networks import NETWORKS
from pipeline.extract.plan import AUDIO_SETS, Plan, plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import ALEXNET, PlanError, WeightsChoice, parse_weights
from pipeline.faces.second import has_cuda


def replay_plan(
    recorded: Mapping[str, tuple[SetSpec, Mapping[str, Any]]],
    key: str,
    weights: Mapping[str, WeightsChoice],
    *,
    cache: Path,
    device: str = "auto",
    command: Sequence[str] = (),
) -> Plan:
    """Plan one recorded set again.

    Args:
        recorded: key to spec and provenance, upstream sets included.
        key: the set to plan.
        weights: parameters per network; for a network not named here, those of the provenance.
        cache: where the features will go.
        device: see ``plan_sets``.
        command: the command line, for the provenance.

    Raises:
        PlanError: the set can't be made from video, its weights are gone, or this version of
            avfuse, or these weights, make other features.
        extractors.weights.files.WeightsError: a weight file doesn't fit its network.
    """
    if key not in recorded:
        raise PlanError(f"the run doesn't record how its set {key[:16]} was made; train it again")
    spec, provenance = recorded[key]
    if spec.name not in (*NETWORKS, *AUDIO_SETS, ALEXNET):
        raise PlanError(
            f"the run was trained on the set {spec.name}, which avfuse can't make from a video; "
            "import its features for these clips and evaluate on them instead"
        )
    settings: dict[str, Any] = {}
    choices: dict[str, WeightsChoice] = {}
    if spec.name in AUDIO_SETS:
        settings[spec.name] = dict(spec.settings)
    elif spec.name == ALEXNET:
        for name, upstream in spec.upstream.items():
            settings[name] = dict(recorded[upstream][0].settings)
    else:
        own = dict(spec.settings)
        faces, found = recorded[spec.upstream["faces"]]
        settings["crops"] = own.pop("crops")
        second = str(faces.settings.get("second", "none"))
        settings["faces"] = {
            **faces.settings,
            "policy": own.pop("policy", "largest"),
            # The same numbers, and who predicts has no other choice.
            "second": "mmod-cpu" if second == "mmod" and not has_cuda() else second,
        }
        settings["network"] = own
        if faces.weights is not None:
            choices[second] = _weights(second, found, weights)
    if spec.weights is not None:
        choices[spec.name] = _weights(spec.name, provenance, weights)
    plan = plan_sets(
        [spec.name],
        settings_from(StageOneSettings, settings),
        choices,
        cache=cache,
        device=device,
        command=command,
    )
    made = plan.sets[-1].spec
    if made.key != spec.key:
        difference = "; ".join(spec_difference(spec, made)) or "its upstream set"
        raise PlanError(
            f"the set {spec.name} that the run was trained on can't be made again: {difference}"
        )
    return plan


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
