"""Optimiser of heads and stills: parameter groups, learning rate, state; seeds mixed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

MOMENTUM = 0.9


def make_optimiser(
    module: nn.Module,
    kind: str,
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float = MOMENTUM,
    nesterov: bool = False,
    fused: bool = True,
    stack_axes: int = 0,
) -> torch.optim.Optimizer:
    """Make the optimiser of a module; matrices and kernels decay, biases and norms do not.

    Args:
        module: whose parameters are optimised.
        kind: "adamw" or "sgd".
        learning_rate: the highest.
        weight_decay: of matrices and kernels.
        momentum: of SGD.
        nesterov: of SGD: look ahead along the momentum.
        fused: one pass over the parameters instead of ten; other rounding.
        stack_axes: leading axes of every parameter that only put heads behind each other.
    """
    decay = [p for p in module.parameters() if p.ndim - stack_axes > 1]
    plain = [p for p in module.parameters() if p.ndim - stack_axes <= 1]
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if kind == "sgd":
        return torch.optim.SGD(
            groups, lr=learning_rate, momentum=momentum, nesterov=nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def learning_rate_at(
    update: int, total: int, *, highest: float, warmup: float, schedule: str = "cosine"
) -> float:
    """Return the learning rate of one update: up in a line, then down in a half cosine.

    Args:
        update: its number, from 0.
        total: updates of the whole training.
        highest: the learning rate after the warm-up.
        warmup: share of the updates before that.
        schedule: "cosine", or "constant", which stays at the highest.
    """
    rise = warmup * total
    if update < rise:
        return highest * (update + 1) / (math.floor(rise) + 1)
    if schedule == "constant":
        return highest
    share = (update - rise) / max(1.0, total - rise)
    return highest * 0.5 * (1.0 + math.cos(math.pi * share))


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every parameter."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate


def optimiser_tensors(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as tensors named ``<parameter>/<quantity>``."""
    return {
        f"{name}/{quantity}": value
        for name, parameter in module.named_parameters()
        for quantity, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimiser_tensors(
    module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what ``optimiser_tensors`` returned."""
    parameters = dict(module.named_parameters())
    for full_name, value in tensors.items():
        name, _, quantity = full_name.rpartition("/")
        parameter = parameters[name]
        optimiser.state[parameter][quantity] = value.clone().to(parameter.device)


def mix_seed(*numbers: int) -> int:
    """Mix numbers into one seed; other numbers, or another order, give another."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
