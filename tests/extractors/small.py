"""Small networks under their real names, so that tests of what surrounds a network are fast."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

from extractors import networks
from extractors.networks import NetworkSpec
from extractors.running.device import check_precision


def _refusal_of(precision: str, device: str) -> str:
    try:
        check_precision(precision, device)
    except ValueError as error:
        return str(error)
    return ""


def skip_without(precision: str, device: str) -> None:
    """Skip a test where a processor stands in for the GPU and has no such precision."""
    if refusal := _refusal_of(precision, device):
        pytest.skip(refusal)


_refusal = _refusal_of("bfloat16", "cpu")
needs_bfloat16 = pytest.mark.skipif(bool(_refusal), reason=_refusal)
# Convolutions pick another order of summation with the batch size; no value moves further.
ROUNDING = 1e-5
WIDTHS = {
    "ir50": {"image_size": 32, "width": 4, "embedding_dim": 5},
    "iresnet50": {"image_size": 32, "width": 4, "embedding_dim": 5},
    "resnet18": {"width": 4},
    "resnet29": {"width": 4},
    "vggface": {"image_size": 32, "width": 4, "embedding_dim": 5},
}


def small_specs() -> dict[str, NetworkSpec]:
    specs = {}
    for name, spec in networks.NETWORKS.items():
        layers = dict.fromkeys(spec.layers, 5) | {"pooled": 32}
        if name in ("resnet18", "resnet29"):
            layers["embedding"] = 32
        specs[name] = replace(
            spec,
            build=functools.partial(spec.build, **WIDTHS[name]),
            image_size=32,
            layers=layers,
        )
    return specs


def use_small_networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, NetworkSpec]:
    specs = small_specs()
    for name, spec in specs.items():
        monkeypatch.setitem(networks.NETWORKS, name, spec)
    return specs


def give_statistics(module: nn.Module) -> None:
    """Let norms do something: fresh ones only divide by the root of 1 + eps."""
    generator = torch.Generator().manual_seed(11)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (norm.running_mean, -0.3, 0.3),
                (norm.running_var, 0.5, 2.0),
                (norm.bias.data, -0.2, 0.2),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
