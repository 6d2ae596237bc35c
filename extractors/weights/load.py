"""Weight files of a network: loaded or examined strictly, saved, converted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from extractors.networks import NETWORKS
from extractors.weights.facts import KEY
from extractors.weights.files import WeightFile, WeightsError, read_weight_file
from extractors.weights.identify import Match, compare, compare_with_all, differences
from extractors.weights.tensors import LazyTensor, digest_tensors, in_memory, weights_digest


@dataclass(frozen=True)
class WeightsReport:
    """Account of a weight file that was loaded.

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


def load_weights(module: nn.Module, path: Path, *, examined: str | None = None) -> WeightsReport:
    """Load a weight file into a network, strictly.

    Every parameter must be there under its own name and in its shape, and nothing else but the
    classifier that the network's class names as foreign. Half precision becomes the network's own.

    Args:
        module: one of ``NETWORKS``, or any module with float parameters. Left as it was where the
            file is refused. On the meta device it has no values to overwrite, which saves the time
            of drawing them, and lies on the processor afterwards.
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.onnx``; see ``read_weight_file``.
        examined: the digest, where ``examine_weights`` has found these very bytes to be good: they
            are only read then.

    Raises:
        WeightsError: the file can't be read safely, is of another network, lacks a parameter, has
            one too many or one in another shape or kind, or holds nan, inf or a negative variance.
        OSError: the file can't be read.
    """
    file = read_weight_file(path)
    match = fit(module, file)
    state = {name: file.tensors[name].read() for name in match.matched}
    if examined:
        report = make_report(match, file, examined)
    else:
        report = examine(module, match, file, {n: in_memory(t) for n, t in state.items()})
    fill(module, state)
    return report


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network its values.

    Args:
        module: one on the meta device takes the tensors themselves, in its own types.
        state: for each parameter and buffer; counters of training steps may be missing.
    """
    own = module.state_dict()
    on_meta = any(value.is_meta for value in own.values())
    given = {name: values.to(own[name].dtype) for name, values in state.items()}
    if on_meta:  # nothing may stay without values
        for name in own.keys() - state.keys():
            given[name] = torch.zeros_like(own[name], device="cpu")
    module.load_state_dict(given, strict=False, assign=on_meta)


def examine_weights(module: nn.Module, path: Path) -> WeightsReport:
    """Report what ``load_weights`` would, or refuse what it would, without loading.

    Args:
        module: may lie on the meta device. A piece of the file at a time is in memory.
        path: see ``load_weights``.

    Raises:
        WeightsError: see ``load_weights``.
        OSError: the file can't be read.
    """
    file = read_weight_file(path)
    return examine(module, fit(module, file), file, file.tensors)


def fit(module: nn.Module, file: WeightFile) -> Match:
    """Compare a file with a network, and refuse what does not fit."""
    name = type(module).__name__
    match = compare(name, module, file.tensors)
    if not match.fits:
        raise WeightsError(
            f"{file.path} does not fit {name}{suggestion(match, file)}{differences(match)}"
        )
    state = module.state_dict()
    for key in match.matched:
        expected, found = state[key].dtype, file.tensors[key].dtype
        if expected.is_floating_point != found.is_floating_point:
            raise WeightsError(f"{file.path}: {key} is {found}, expected {expected}")
    return match


def examine(
    module: nn.Module, match: Match, file: WeightFile, tensors: Mapping[str, LazyTensor]
) -> WeightsReport:
    """Check and digest the values of a file that fits, in the network's own types."""
    state = module.state_dict()
    checked = {
        key: check_values(file.path, key, tensors[key], state[key].dtype) for key in match.matched
    }
    return make_report(match, file, digest_tensors(checked))


def make_report(match: Match, file: WeightFile, digest: str) -> WeightsReport:
    """Sum up a file that fits."""
    return WeightsReport(
        path=file.path,
        kind=file.kind,
        matched=len(match.matched),
        dropped=match.dropped,
        unwrapped=file.unwrapped,
        digest=digest,
        metadata=file.metadata,
    )


def check_values(path: Path, key: str, tensor: LazyTensor, dtype: torch.dtype) -> LazyTensor:
    """Convert a tensor to another type, and refuse values that no network can have at its end."""

    def pieces() -> Iterator[Tensor]:
        bad = 0
        for piece in tensor.pieces():
            value = piece.to(dtype)
            # In the network's own type: what float64 holds may be inf in float32. A sum is nan or
            # inf if a value is, and by itself only where values are near the largest there are.
            if not bool(value.sum().isfinite()):
                bad += int((~value.isfinite()).sum())
            if key.endswith("running_var"):
                bad += int((piece < 0).sum())
            yield value
        if bad:
            raise WeightsError(
                f"{path}: {key} holds nan, inf or a negative variance ({bad} of "
                f"{torch.Size(tensor.shape).numel()} values); the training that wrote it diverged, "
                "or the file is damaged"
            )

    return LazyTensor(dtype, tensor.shape, pieces)


def suggestion(match: Match, file: WeightFile) -> str:
    """Say which other network the file looks like, where one fits better."""
    best = compare_with_all(file.tensors)[0]
    if best.share <= match.share or best.share < 0.5:
        return ""
    return f": this file looks like {best.network}"


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
