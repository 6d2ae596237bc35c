"""Description of the face networks, with the weights that avfuse ships for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extractors.networks import NETWORKS, network_plugin
from extractors.running.still_classifier import load_still_classifier
from extractors.weights.default import DEFAULT_FILES
from extractors.weights.files import WeightsError


def describe_networks() -> list[dict[str, Any]]:
    """Describe every face network as JSON types, with the weights that avfuse ships for it.

    One of a plug-in says of which; one that can't be loaded is left out.
    """
    return [
        {
            "network": spec.name,
            "image_size": spec.image_size,
            "any_size": spec.any_size,
            "layers": dict(spec.layers),
            "default_layer": spec.default_layer,
            "source": spec.source,
            "default": _describe_default(spec.name),
            **network_plugin(spec.name),
        }
        for spec in NETWORKS.usable()
    ]


def _describe_default(network: str) -> Mapping[str, Any] | None:
    """Describe the weights that avfuse ships for a network; None if it ships none."""
    path = DEFAULT_FILES.get(network)
    if path is None:
        return None
    described: dict[str, Any] = {"file": str(path), "accuracy": "", "classes": [], "problem": None}
    try:
        facts = load_still_classifier(path).facts
    except (WeightsError, OSError) as error:
        return described | {"problem": str(error)}
    return described | {"accuracy": facts.accuracy, "classes": list(facts.classes)}
