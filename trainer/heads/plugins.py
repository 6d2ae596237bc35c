"""Poolings and audio encoders of plug-ins: built, tried on a small batch, and kept from padding.

A plug-in sees padding as zeros, and what it yields there is set to zero. A module that all the same
yields another result for a clip in longer or other company is refused before a head is trained.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors.plugins import ENCODERS, POOLINGS, Plugin, PluginError, find_plugin, shown_error

# The clips of a trial: steps of each, one without any, and the length that they are padded to.
LENGTHS, PADDED = (29, 0, 7, 1), 31


class PluginPooling(nn.Module):
    """Pooling over time of a plug-in; as the poolings of ``trainer.attention``.

    What the plug-in offers is a class of modules, built as ``Pooling(dim)``, with the attribute
    ``out_dim``. Its ``forward`` is given features with zeros for padding, and the mask.

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real. A clip may have no real step.
        result: (B, ``out_dim``) pooled embeddings and (B, T) weights, not negative, which sum to 1
        over the real steps. Weights of padding and all of a clip without a step are set to 0 here.

    Args:
        name: of the plug-in.
        dim: length D of one embedding.

    Raises:
        PluginError: it isn't installed, can't be imported or built, or fails the trial.
    """

    def __init__(self, name: str, dim: int) -> None:
        super().__init__()
        plugin = find_plugin(POOLINGS, name)
        self.module, self.out_dim = _build(plugin, dim)
        _try(plugin, self, dim, _try_pooling)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes are in the class docstring."""
        features = features.masked_fill(~mask.unsqueeze(-1), 0.0)
        pooled, weights = self.module(features, mask)
        has_step = mask.any(dim=1, keepdim=True)
        return pooled.masked_fill(~has_step, 0.0), weights.masked_fill(~mask, 0.0)


class PluginEncoder(nn.Module):
    """Audio encoder of a plug-in: a spectrogram becomes a sequence of steps that are pooled.

    What the plug-in offers is a class of modules, built as ``Encoder(num_bins, in_channels)``, with
    the attribute ``out_dim`` and a method ``num_steps(length)`` that says how many steps it makes
    of a clip of ``length`` steps: at least one of one step. They are taken to be spread evenly over
    the clip. Its ``forward`` is given features alone, with zeros for padding, which are the mean.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F, C), float; here also (B, T, F) for one channel.
        ``mask``: (B, T), bool; the real steps of a clip come first.
        result: features (B, L, ``out_dim``) with L at least ``num_steps(T)``, their mask, and (B,)
        False: no clip is said to be lengthened.

    Args:
        name: of the plug-in.
        shape: of one step: (F,) or (F, C).

    Raises:
        PluginError: it isn't installed, can't be imported or built, or fails the trial.
    """

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        plugin = find_plugin(ENCODERS, name)
        num_bins, in_channels = (*shape, 1)[:2]
        self.module, self.out_dim = _build(plugin, num_bins, in_channels)
        _try(plugin, self, (num_bins, in_channels), _try_encoder)

    def num_steps(self, length: int) -> int:
        """Return the number of steps of a clip with ``length`` of them; none for none."""
        return int(self.module.num_steps(length)) if length else 0  # type: ignore[operator]  # a method

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode each clip; shapes are in the class docstring."""
        if features.ndim == 3:
            features = features.unsqueeze(-1)
        steps = self.module(features.masked_fill(~mask[:, :, None, None], 0.0))
        counts = [self.num_steps(length) for length in mask.sum(dim=1).tolist()]
        steps = steps[:, : max(1, *counts)]
        number = torch.arange(steps.shape[1], device=steps.device)
        real = number < torch.tensor(counts, device=steps.device).unsqueeze(1)
        lengthened = torch.zeros_like(real[:, 0])
        return steps.masked_fill(~real.unsqueeze(-1), 0.0), real, lengthened

    def times(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds of the steps of a clip, (L,), from those of its spectrogram, (T,)."""
        if not len(times):
            return np.zeros(0)
        count = self.num_steps(len(times))
        centres = (np.arange(count) + 0.5) * len(times) / count - 0.5
        return np.interp(centres, np.arange(len(times)), times)


def _build(plugin: Plugin, *sizes: int) -> tuple[nn.Module, int]:
    """Build a plug-in's module; return it with its ``out_dim``."""
    try:
        module = plugin.load()(*sizes)
    except PluginError:
        raise
    except Exception as error:
        raise _refuse(plugin, f"can't be built with the sizes {sizes}", error) from error
    out_dim = getattr(module, "out_dim", None)
    if not isinstance(module, nn.Module):
        raise _refuse(plugin, f"must be a torch module, got {type(module).__name__}")
    if type(out_dim) is not int or out_dim < 1:
        raise _refuse(plugin, f"needs an attribute out_dim, a whole number above 0; got {out_dim}")
    return module, out_dim


def _try(plugin: Plugin, module: nn.Module, sizes: object, trial: Callable[..., None]) -> None:
    """Try a module once for these sizes, in evaluation mode, with PyTorch's state left alone."""
    if (plugin, sizes) in _tried():
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            trial(plugin, module.eval(), sizes)
    except PluginError:
        raise
    except Exception as error:
        raise _refuse(plugin, "fails on a small batch", error) from error
    finally:
        module.train()
    _tried().add((plugin, sizes))


@functools.cache
def _tried() -> set[tuple[Plugin, object]]:
    """Return what was tried in this process and is in order."""
    return set()


def _try_pooling(plugin: Plugin, module: PluginPooling, dim: int) -> None:
    features, mask = _batch(dim)
    found, given = module.module(features.masked_fill(~mask.unsqueeze(-1), 0.0), mask)
    _check_shape(plugin, "the pooled embeddings", found, (len(LENGTHS), module.out_dim))
    _check_shape(plugin, "the weights", given, (len(LENGTHS), PADDED))
    pooled, weights = module(features, mask)
    sums = weights.sum(dim=1)
    expected = torch.tensor([float(length > 0) for length in LENGTHS])
    if weights.min() < 0 or not _close(sums, expected):
        raise _refuse(
            plugin,
            "must give weights that are not negative and sum to 1 over the real steps of a clip; "
            f"got sums of {_shown(sums)} for clips of {LENGTHS} steps, the least weight is "
            f"{float(weights.detach().min()):.3g}",
        )
    for clip, length in enumerate(LENGTHS):
        if length:
            alone = module(features[clip : clip + 1, :length], mask[clip : clip + 1, :length])
            _check_alone(plugin, length, pooled[clip], alone[0][0])
    _check_gradients(plugin, module, features, pooled)


def _try_encoder(plugin: Plugin, module: PluginEncoder, sizes: tuple[int, int]) -> None:
    features, mask = _batch(*sizes)
    counts = [module.num_steps(length) for length in range(PADDED + 1)]
    if min(counts[1:]) < 1 or counts != sorted(counts):
        raise _refuse(
            plugin,
            "needs a num_steps(length) that is at least 1 and doesn't fall as length grows; got "
            f"{counts[1:]} for 1 to {PADDED} steps",
        )
    raw = module.module(features.masked_fill(~mask[:, :, None, None], 0.0))
    if raw.ndim != 3 or raw.shape[::2] != (len(LENGTHS), module.out_dim):
        raise _refuse(
            plugin,
            f"must yield steps of shape ({len(LENGTHS)}, L, {module.out_dim}) for features of "
            f"shape {tuple(features.shape)}; got {tuple(raw.shape)}",
        )
    if raw.shape[1] < counts[PADDED]:
        raise _refuse(
            plugin,
            f"must yield at least num_steps({PADDED}) = {counts[PADDED]} steps for {PADDED}; got "
            f"{raw.shape[1]}",
        )
    steps, real, _ = module(features, mask)
    for clip, length in enumerate(LENGTHS):
        if length:
            alone = module(features[clip : clip + 1, :length], mask[clip : clip + 1, :length])
            _check_alone(plugin, length, steps[clip, real[clip]], alone[0][0])
    _check_gradients(plugin, module, features, steps)


def _batch(*sizes: int) -> tuple[Tensor, Tensor]:
    """Return features (B, PADDED, ...) with nan for padding, which want gradients, and a mask."""
    mask = torch.arange(PADDED) < torch.tensor(LENGTHS).unsqueeze(1)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(*mask.shape, *sizes, generator=generator)
    padding = ~mask.view(*mask.shape, *(1 for _ in sizes))
    return features.masked_fill(padding, torch.nan).requires_grad_(), mask


def _check_shape(plugin: Plugin, what: str, found: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(found.shape) != expected:
        raise _refuse(
            plugin,
            f"must yield {what} of shape {expected} for {expected[0]} clips of {PADDED} steps; got "
            f"{tuple(found.shape)}",
        )


def _check_alone(plugin: Plugin, length: int, found: Tensor, alone: Tensor) -> None:
    if not found.isfinite().all():
        raise _refuse(plugin, f"yields nan or inf for a clip of {length} steps")
    if found.shape != alone.shape or not _close(found, alone):
        raise _refuse(
            plugin,
            f"yields other values for a clip of {length} steps alone than in a batch padded to "
            f"{PADDED}: padding must not matter, nor other clips",
        )


def _check_gradients(plugin: Plugin, module: nn.Module, features: Tensor, result: Tensor) -> None:
    """Refuse gradients that aren't finite, of the parameters and of the features."""
    if not result.requires_grad:
        return
    wanted = [features, *(one for one in module.parameters() if one.requires_grad)]
    grads = torch.autograd.grad(result.square().sum(), wanted, allow_unused=True)
    if not all(grad.isfinite().all() for grad in grads if grad is not None):
        raise _refuse(plugin, "has gradients that are nan or inf, in a batch with an empty clip")


def _close(found: Tensor, expected: Tensor) -> bool:
    """Compare float32 numbers that may be summed in another order."""
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


def _refuse(plugin: Plugin, why: str, error: Exception | None = None) -> PluginError:
    return PluginError(f"the {plugin} {why}" + (f": {shown_error(error)}" if error else ""))


def _shown(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.tolist())
