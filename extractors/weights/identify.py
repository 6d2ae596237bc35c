"""Find the network that a weight file belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from extractors.networks import NETWORKS
from extractors.weights.files import read_weight_file
from extractors.weights.tensors import COUNTER, LazyTensor

# Where a file may keep a classifier of ours, and does if its network's source names none.
CLASSIFIER = "classifier."
NAMES_SHOWN = 10


@dataclass(frozen=True)
class Match:
    """Comparison of a file's names and shapes with a network's.

    Attributes:
        network: the network's name.
        matched: parameters with the right name and shape.
        missing: parameters that the network has and the file lacks.
        unexpected: tensors that the file has and the network lacks.
        misshapen: ``name: shape in the file, not shape of the network``.
        dropped: tensors of a foreign classifier, left out knowingly.
    """

    network: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the file loads: nothing missing, nothing unexpected, every shape right."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def share(self) -> float:
        """Matched names among all names of both, 0 to 1."""
        wrong = len(self.missing) + len(self.unexpected) + len(self.misshapen)
        return len(self.matched) / max(1, len(self.matched) + wrong)


def identify(path: Path) -> list[Match]:
    """Compare a weight file with every network, the likeliest first.

    Raises:
        WeightsError: the file can't be read safely.
        OSError: the file can't be read.
    """
    return compare_with_all(read_weight_file(path).tensors)


def compare_with_all(tensors: Mapping[str, Tensor | LazyTensor]) -> list[Match]:
    """Compare tensors with every network, the likeliest first."""
    matches = []
    for spec in NETWORKS.usable():
        with torch.device("meta"):
            matches.append(compare(spec.name, spec.build(), tensors))
    return sorted(matches, key=lambda match: (-match.share, match.network))


def compare(network: str, module: nn.Module, tensors: Mapping[str, Tensor | LazyTensor]) -> Match:
    """Compare the names and shapes of tensors with a module's own.

    Args:
        network: the name to report.
        module: whose parameters and buffers count; may lie on the meta device.
        tensors: of a file.
    """
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    foreign: tuple[str, ...] = (*getattr(module, "FOREIGN", ()), CLASSIFIER)
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    both = [key for key in expected if key in found]
    return Match(
        network=network,
        matched=tuple(key for key in both if found[key] == expected[key]),
        missing=tuple(key for key in expected if key not in found and not key.endswith(COUNTER)),
        unexpected=tuple(
            key for key in found if key not in expected and not key.startswith(foreign)
        ),
        misshapen=tuple(
            f"{key}: {list(found[key])}, not {list(expected[key])}"
            for key in both
            if found[key] != expected[key]
        ),
        dropped=tuple(key for key in found if key not in expected and key.startswith(foreign)),
    )


def differences(match: Match) -> str:
    """List what is missing, unexpected and misshapen, ten names of each and the count."""
    text = ""
    for kind in ("missing", "unexpected", "misshapen"):
        names: tuple[str, ...] = getattr(match, kind)
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            text += f"\n  {len(names)} {kind}: {', '.join(names[:NAMES_SHOWN])}{more}"
    return text
