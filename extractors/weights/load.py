"""Weights: load a file strictly, name what does not fit, digest, initialise, save."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from extractors.networks import NETWORKS
from extractors.weights.facts import KEY
from extractors.weights.files import WeightFile, WeightsError, read_weight_file
from extractors.weights.identify import COUNTER, Match, compare, compare_with_all, differences


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded.

    Attributes:
        path: the file.
        kind: ``safetensors``, ``pytorch`` or ``onnx``.
        matched: number of tensors loaded.
        dropped: tensors of a foreign classifier, left out knowingly.
        unwrapped: dictionary keys and name prefixes that were taken off.
        digest: ``weights_digest`` of the network afterwards.
        metadata: what a safetensors file says of itself.
    """

    path: Path
    kind: str
    matched: int
    dropped: tuple[str, ...]
    unwrapped: tuple[str, ...]
    digest: str
    metadata: Mapping[str, str]


def load_weights(module: nn.Module, path: Path) -> WeightsReport:
    """Load a weight file into a network, strictly.

    Every parameter must be there under its own name and in its shape, and nothing else but the
    classifier that the network's class names as foreign. Half precision becomes the network's own.

    Args:
        module: one of ``NETWORKS``, or any module with float parameters. Left as it was where the
            file is refused.
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.onnx``; see ``read_weight_file``.

    Raises:
        WeightsError: the file can't be read safely, is of another network, lacks a parameter, has
            one too many or one in another shape or kind, or holds nan, inf or a negative variance.
        OSError: the file can't be read.
    """
    file = read_weight_file(path)
    name = type(module).__name__
    match = compare(name, module, file.tensors)
    if not match.fits:
        raise WeightsError(
            f"{path} does not fit {name}{suggestion(match, file)}{differences(match)}"
        )
    state = module.state_dict()
    for key in match.matched:
        tensor = file.tensors[key]
        if torch.is_floating_point(state[key]) != torch.is_floating_point(tensor):
            raise WeightsError(f"{path}: {key} is {tensor.dtype}, expected {state[key].dtype}")
        # In the network's own type: what float64 holds may be inf in float32.
        bad = int((~tensor.to(state[key].dtype).isfinite()).sum())
        if key.endswith("running_var"):
            bad += int((tensor < 0).sum())
        if bad:
            raise WeightsError(
                f"{path}: {key} holds nan, inf or a negative variance ({bad} of {tensor.numel()} "
                "values); the training that wrote it diverged, or the file is damaged"
            )
    module.load_state_dict({key: file.tensors[key] for key in match.matched}, strict=False)
    return WeightsReport(
        path=path,
        kind=file.kind,
        matched=len(match.matched),
        dropped=match.dropped,
        unwrapped=file.unwrapped,
        digest=weights_digest(module),
        metadata=file.metadata,
    )


def suggestion(match: Match, file: WeightFile) -> str:
    """Say which other network the file looks like, where one fits better."""
    best = compare_with_all(file.tensors)[0]
    if best.share <= match.share or best.share < 0.5:
        return ""
    return f": this file looks like {best.network}"


def weights_digest(module: nn.Module) -> str:
    """Digest everything learned in a module: 64 hex digits of SHA-256.

    Over parameters and buffers in the order of their names: name, type, shape and bytes, as they
    are loaded. The container, prefixes and a dropped classifier therefore don't matter, nor does
    the counter of training steps.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.endswith(COUNTER):
            continue
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def initialise(module: nn.Module, seed: int) -> None:
    """Fill a network with random weights: the same for a seed on every machine.

    Uniform after He, so that activations keep their size from layer to layer; the last norm of
    each residual unit is scaled down by the root of their number, so that the sum over units keeps
    it too although the norms have no statistics yet. PyTorch's random state is left alone.

    Args:
        module: any network of ``NETWORKS``, on the CPU.
        seed: not negative.

    Raises:
        ValueError: ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    generator = np.random.Generator(np.random.PCG64(seed))
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                limit = math.sqrt(6.0 / layer.weight[0].numel())
                draws = generator.random(layer.weight.numel(), dtype=np.float32)
                values = (2 * draws - 1) * np.float32(limit)
                layer.weight.copy_(torch.from_numpy(values).view(layer.weight.shape))
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.reset_parameters()
            elif isinstance(layer, nn.PReLU):
                layer.weight.fill_(0.25)
        norms = list(last_norms(module))
        for norm in norms:
            norm.weight.fill_(1 / math.sqrt(len(norms)))


def last_norms(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """Yield the last norm of each residual unit."""
    for layer in module.modules():
        norm = getattr(layer, "last_norm", None)
        if isinstance(norm, nn.BatchNorm2d):
            yield norm


def save_weights(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Save a network as safetensors, under the key names of its source.

    Args:
        module: the network.
        path: where to; the folder must exist, a file there is replaced.
        metadata: text by name, stored in the file's header.

    Raises:
        OSError: the file can't be written.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    try:
        save_file(state, part, metadata=dict(metadata))
        part.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} can't be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def convert_weights(
    path: Path, target: Path, network: str, *, channel_order: Literal["rgb", "bgr"] = "rgb"
) -> WeightsReport:
    """Write a weight file as safetensors, with where it came from in its header.

    Args:
        path: the file; must fit the network.
        target: the safetensors file to write; replaced if it exists.
        network: a name in ``NETWORKS``.
        channel_order: what the file's network takes. Weights that came from Caffe often take
            blue, green, red; their first convolution is turned round, so that the result takes red,
            green, blue as every network here does, and yields the same numbers.

    Returns:
        What was loaded, with the digest of what was written.

    Raises:
        ValueError: ``network`` is unknown.
        WeightsError: see ``load_weights``.
        OSError: a file can't be read or written.
    """
    if network not in NETWORKS:
        raise ValueError(f"no network is called {network!r}; there are {', '.join(NETWORKS)}")
    module = NETWORKS[network].build()
    report = load_weights(module, path)
    if channel_order == "bgr":
        first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        with torch.no_grad():
            first.weight.copy_(first.weight.flip(1))
        report = replace(report, digest=weights_digest(module))
    with path.open("rb") as stream:
        source_digest = hashlib.file_digest(stream, "sha256").hexdigest()
    metadata = {
        "network": network,
        "source": path.name,
        "source_sha256": source_digest,
        "source_channel_order": channel_order,
        "dropped": ", ".join(report.dropped),
        "weights_digest": report.digest,
    }
    if KEY in report.metadata:  # what was fine-tuned is fed as it was, whatever holds it
        metadata[KEY] = report.metadata[KEY]
    save_weights(module, target, metadata)
    return report
