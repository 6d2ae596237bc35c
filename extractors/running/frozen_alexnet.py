"""The audio encoder of a trained head, taken out of its checkpoint and frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors.alexnet import AlexNetFCN, cut, grid_steps, min_steps, step_times
from extractors.running.arithmetic import full_float32
from extractors.weights.files import WeightsError, read_safetensors
from extractors.weights.tensors import weights_digest

FORMAT = "avfuse head 1"  # what checkpoints of heads say of themselves
PREFIX = "head.branches.audio.encoder.network."


class Sliceable(Protocol):
    """A clip's features in memory or on the disk, of which a slice is read at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all of them, (T, ...)."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return some steps, (t, ...)."""


class FrozenAlexNet(nn.Module):
    """Normalise a clip's spectrogram and encode it, as the head did that it comes from.

    Shapes (T steps, F bins, C channels):
        ``features``: (T, F) for one channel, else (T, F, C), float32.
        result: blocks of times (n,) and grid (n, F', 256); together T' steps. A clip shorter than
        the encoder's reach is lengthened with zeros, the mean of normalised features, so that it
        has one step; a clip without a step has one block of none.

    Args:
        shape: of one step, (F,) or (F, C).
        normalised: whether there is a mean and a deviation to load.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], *, normalised: bool) -> None:
        super().__init__()
        self.shape = shape
        self.network = AlexNetFCN(shape[1] if len(shape) == 2 else 1)
        if normalised:
            self.register_buffer("mean", torch.zeros(shape))
            self.register_buffer("deviation", torch.ones(shape))
        self.normalised = normalised

    @torch.no_grad()
    def blocks(
        self, times: NDArray[np.float64], features: Sliceable
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32]]]:
        """Encode a clip; shapes and guarantees are in the class docstring.

        One block of ``cut`` with what it looks at is in memory at once, 34 s of sound; only the
        times are taken whole.

        Raises:
            ValueError: ``features`` is not (T, ...) with the shape of a step, for T times.
        """
        if features.shape != (len(times), *self.shape):
            raise ValueError(
                f"features must have shape ({len(times)}, {', '.join(map(str, self.shape))}), got "
                f"{features.shape}"
            )
        count = grid_steps(max(len(times), min_steps())) if len(times) else 0
        centres = step_times(count).numpy()
        seconds = np.interp(centres, np.arange(len(times)), times) if count else np.zeros(0)
        if not count:
            empty = np.zeros((min_steps(), *self.shape), np.float32)
            yield seconds, self._encode(empty)[:0]
        done = 0
        for block in cut(max(len(times), min_steps())) if count else ():
            grid = self._encode(features[block.first : block.last])
            part = slice(done, done + block.steps)
            yield seconds[part], grid[block.lead : block.lead + block.steps]
            done += block.steps

    def _encode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.normalised:
            mean, deviation = self.mean.cpu().numpy(), self.deviation.cpu().numpy()
            features = np.subtract(features, mean, dtype=np.float32) / deviation
        missing = max(0, min_steps() - len(features))
        features = np.pad(features, [(0, missing), *[(0, 0)] * len(self.shape)])
        steps = torch.from_numpy(features).to(next(self.parameters()).device)
        steps = steps.unsqueeze(-1) if len(self.shape) == 1 else steps
        lengths = torch.tensor([len(steps)], device=steps.device)
        # Channels-last would be faster, and round otherwise than the entries that are there.
        spectrogram = steps.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
        with full_float32(steps.device):
            grid, _ = self.network(spectrogram.unsqueeze(0), lengths)
        result: NDArray[np.float32] = grid[0].cpu().numpy()
        return result


@dataclass(frozen=True)
class FrozenEncoder:
    """Encoder with the facts that its checkpoint states.

    Args:
        module: in evaluation mode.
        features: what it takes: "spectrogram" or "logmel".
        features_key: key of the feature set that it was trained on.
        digest: of its parameters and its normalisation.
        untrained: whether random weights stand behind the head that it comes from.
        classes: of that head.
        seed: of that training.
    """

    module: FrozenAlexNet
    features: str
    features_key: str
    digest: str
    untrained: bool
    classes: tuple[str, ...]
    seed: int


def load_frozen_alexnet(path: Path, *, device: str = "cpu") -> FrozenEncoder:
    """Take the audio encoder out of a head's checkpoint.

    Args:
        path: the checkpoint, a safetensors file of a run's folder ``checkpoints``.
        device: where to compute.

    Raises:
        WeightsError: the file is not such a checkpoint, its head has no AlexNet, or parameters
            are missing, left over or of another shape.
        OSError: it can't be read.
    """
    tensors, metadata = read_safetensors(path)
    facts = _facts(path, metadata)
    try:
        audio = facts["settings"]["audio"]
        if facts["settings"]["fusion"]["kind"] == "video" or audio["encoder"] != "alexnet":
            raise WeightsError(
                f"{path}: its head has no audio encoder; train one with --preset icmi19, "
                "for instance with --set fusion.kind=audio"
            )
        names = {n.removeprefix(PREFIX): n for n in tensors if n.startswith(PREFIX)}
        state = {f"network.{name}": tensors[full].read() for name, full in names.items()}
        for part in ("mean", "deviation"):
            if f"normalisation.audio.{part}" in tensors:
                state[part] = tensors[f"normalisation.audio.{part}"].read()
        with torch.random.fork_rng(devices=[]):
            module = FrozenAlexNet(tuple(facts["shapes"]["audio"]), normalised="mean" in state)
        module.load_state_dict(state)
        encoder = FrozenEncoder(
            module=module.eval().to(device),
            features=str(facts["features"]["audio"]),
            features_key=str(facts["set_keys"][audio["set"]]),
            digest=weights_digest(module),
            untrained=bool(facts["untrained"]),
            classes=tuple(facts["classes"]),
            seed=int(facts["seed"]),
        )
    except WeightsError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is a damaged checkpoint: {error}") from error
    return encoder


def _facts(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        facts = json.loads(metadata.get("avfuse", "{}"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is a damaged checkpoint: {error}") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is not the checkpoint of a head of avfuse; pass a run's "
            "checkpoints/*.safetensors"
        )
    return facts
