"""A fine-tuned network as one safetensors file that extraction takes as weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from cache.commit import write_whole
from extractors.networks import NETWORKS
from extractors.weights.facts import WeightFacts, read_facts
from extractors.weights.files import WeightsError, read_weight_file
from extractors.weights.load import load_weights
from trainer.stills.classifier import FaceClassifier


@dataclass(frozen=True)
class FinetunedFile:
    """A fine-tuned network read back.

    Attributes:
        path: the file.
        classifier: in evaluation mode.
        facts: what the file says of itself.
    """

    path: Path
    classifier: FaceClassifier
    facts: WeightFacts


def halve(classifier: FaceClassifier) -> None:
    """Round matrices and kernels to what half precision can hold; norms and biases stay.

    Raises:
        ValueError: a value is too large for half precision.
    """
    with torch.no_grad():
        for name, value in classifier.state_dict().items():
            if is_halved(value):
                rounded = value.half()
                if not bool(rounded.isfinite().all()):
                    raise ValueError(
                        f"{name} has values too large for half precision; leave out --half"
                    )
                value.copy_(rounded)


def is_halved(value: Tensor) -> bool:
    """Whether a tensor is stored in half precision, as matrices and kernels are."""
    return value.is_floating_point() and value.ndim > 1


def save_classifier(
    classifier: FaceClassifier, path: Path, facts: WeightFacts, *, half: bool = False
) -> Path:
    """Write a network and its classifier under the key names of the network's source.

    Args:
        classifier: what to write.
        path: where to; written whole or not at all, an older file is replaced.
        facts: go into the file's header.
        half: store matrices and kernels in half precision.

    Raises:
        OSError: the file can't be written.
    """
    state = {}
    for name, value in classifier.file_state(classifier.state_dict()).items():
        stored = value.detach().cpu().contiguous()
        state[name] = stored.half() if half and is_halved(stored) else stored
    return write_whole(path, safetensors.torch.save(state, facts.to_metadata()))


def load_classifier(path: Path) -> FinetunedFile:
    """Read a network and its classifier back.

    Raises:
        WeightsError: the file was not made by a fine-tuning, is damaged, does not fit its network,
            or its classifier has another number of outputs than it names classes.
        OSError: the file can't be read.
    """
    file = read_weight_file(path)
    found = read_facts(file.metadata, path)
    if found is None:
        raise WeightsError(
            f"{path} does not name its network and classes; expected a file that avfuse finetune "
            "wrote"
        )
    network, classes = found.network, found.classes
    if network not in NETWORKS or len(classes) < 2:
        raise WeightsError(
            f"{path} names the network {network!r} and {len(classes)} classes; known networks: "
            f"{', '.join(NETWORKS)}"
        )
    classifier = FaceClassifier(network, len(classes))
    load_weights(classifier.network, path)
    with torch.no_grad():
        for name, value in classifier.classifier.state_dict().items():
            key = classifier.file_prefix + name
            stored = file.tensors.get(key)
            if stored is None or stored.shape != tuple(value.shape):
                shape = "nothing" if stored is None else list(stored.shape)
                raise WeightsError(
                    f"{path}: for its {len(classes)} classes ({', '.join(classes)}) {key} must be "
                    f"{list(value.shape)}, got {shape}"
                )
            value.copy_(stored.read())
            if not bool(value.isfinite().all()):
                raise WeightsError(f"{path}: {key} holds nan or inf")
    return FinetunedFile(path, classifier.eval(), found)


def describe_start(path: Path, classes: tuple[str, ...]) -> str:
    """Describe the file to start from in a sentence, and say that its classifier is left out.

    Raises:
        WeightsError: the file can't be read safely, or what it says of itself makes no sense.
        OSError: the file can't be read.
    """
    found = read_facts(read_weight_file(path).metadata, path)
    before = found.classes if found else ()
    if not before:
        return f"starting from {path}"
    how = "the same" if before == classes else "other"
    return (
        f"starting from {path}, trained on {how} {len(before)} classes ({', '.join(before)}); its "
        f"classifier is left out, a new one learns {', '.join(classes)}"
    )
