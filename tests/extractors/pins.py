"""A digest of a network's key names and shapes: what published weights have to match."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def layout(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def layout_digest(build: type[nn.Module]) -> str:
    with torch.device("meta"):
        lines = [f"{name} {list(shape)}\n" for name, shape in layout(build()).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
