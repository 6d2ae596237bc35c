"""Random weights: the same for a seed on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from extractors.weights.tensors import COUNTER, PIECE, LazyTensor, in_memory


def initialise(module: nn.Module, seed: int) -> None:
    """Fill a network with random weights; see ``random_weights``. PyTorch's state is left alone.

    Args:
        module: any network of ``NETWORKS``, on the CPU.
        seed: not negative.

    Raises:
        ValueError: ``seed`` is negative.
    """
    drawn, state = random_weights(module, seed), module.state_dict()
    for name, tensor in drawn.items():
        tensor.copy_into(state[name])


def random_weights(module: nn.Module, seed: int) -> dict[str, LazyTensor]:
    """Return random weights for a network: the same for a seed on every machine.

    Uniform after He, so that activations keep their size from layer to layer; the last norm of
    each residual unit is scaled down by the root of their number, so that the sum over units keeps
    it too although the norms have no statistics yet.

    Args:
        module: any network of ``NETWORKS``, which may lie on the meta device.
        seed: not negative.

    Returns:
        A tensor for each parameter and buffer, drawn when it is asked for.

    Raises:
        ValueError: ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    last = set(last_norms(module))
    result: dict[str, LazyTensor] = {}
    drawn = 0
    for prefix, layer in module.named_modules():
        constants: dict[str, float] = {}
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            limit = math.sqrt(6.0 / layer.weight[0].numel())
            result[f"{prefix}.weight"] = uniform(seed, drawn, limit, layer.weight.shape)
            drawn += layer.weight.numel()
            constants["bias"] = 0
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            gain = 1 / math.sqrt(len(last)) if layer in last else 1
            constants = {"weight": gain, "bias": 0, "running_mean": 0, "running_var": 1, COUNTER: 0}
        elif isinstance(layer, nn.PReLU):
            constants["weight"] = 0.25
        for name, value in constants.items():
            tensor = getattr(layer, name)
            if tensor is not None:
                full = torch.full(tensor.shape, value, dtype=tensor.dtype)
                result[f"{prefix}.{name}"] = in_memory(full)
    return {name.removeprefix("."): tensor for name, tensor in result.items()}


def uniform(seed: int, skipped: int, limit: float, shape: torch.Size) -> LazyTensor:
    """Return a tensor of float32 from -``limit`` to ``limit``: a part of a seed's one sequence.

    Args:
        seed: of the sequence.
        skipped: numbers that come before this tensor's.
        limit: of their size.
        shape: of the tensor.
    """

    def pieces() -> Iterator[Tensor]:
        bits = np.random.PCG64(seed)
        bits.advance(skipped // 2)  # a step yields 64 bits, a number takes 32
        generator = np.random.Generator(bits)
        generator.random(skipped % 2, dtype=np.float32)
        for start in range(0, shape.numel(), PIECE):
            draws = generator.random(min(PIECE, shape.numel() - start), dtype=np.float32)
            yield torch.from_numpy((2 * draws - 1) * np.float32(limit))

    return LazyTensor(torch.float32, tuple(shape), pieces)


def last_norms(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """Yield the last norm of each residual unit."""
    for layer in module.modules():
        norm = getattr(layer, "last_norm", None)
        if isinstance(norm, nn.BatchNorm2d):
            yield norm
