"""The optimiser of a head: its parameter groups, learning rate and state."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainer.settings import OptimSettings

MOMENTUM = 0.9


def make_optimiser(
    module: nn.Module, settings: OptimSettings, *, stack_axes: int = 0
) -> torch.optim.Optimizer:
    """Make the optimiser of a module; matrices and kernels decay, biases do not.

    Args:
        module: whose parameters are optimised.
        settings: which optimiser.
        stack_axes: leading axes of every parameter that only put heads behind each other.
    """
    decay = [p for p in module.parameters() if p.ndim - stack_axes > 1]
    plain = [p for p in module.parameters() if p.ndim - stack_axes <= 1]
    groups = [
        {"params": decay, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=MOMENTUM, fused=True)
    # One pass over the parameters instead of ten.
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def learning_rate_at(update: int, total: int, settings: OptimSettings) -> float:
    """Return the learning rate of one update.

    Args:
        update: its number, from 0.
        total: updates of the whole training.
        settings: the highest learning rate, the warm-up and the schedule.
    """
    warmup = settings.warmup * total
    if update < warmup:
        return settings.learning_rate * (update + 1) / (math.floor(warmup) + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    share = (update - warmup) / max(1.0, total - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


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
