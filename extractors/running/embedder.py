"""Face network as a function of crops, for Python: the door of this package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extractors.running.device import check_device, choose_device
from extractors.running.face_network import FaceNetwork, find_network, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.view_settings import VIEW_SETS
from extractors.weights.default import default_weights
from extractors.weights.error import WeightsError

RANDOM, DEFAULT = "random", "default"


class Embedder:
    """A face network that embeds crops; ``load_network`` makes it.

    Attributes:
        network: the network beneath, with its settings, facts and digest.
        dim: length D of an embedding.
    """

    def __init__(self, network: FaceNetwork) -> None:
        self.network = network
        self.dim = network.dim

    def __repr__(self) -> str:
        return f"Embedder({self.network.spec.name!r}, dim={self.dim})"

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed crops.

        Shapes (N crops, D = ``dim``):
            ``crops``: (N, H, W, 3), uint8, RGB, N from 0; H and W are brought to the network's.
            result: (N, D), float32.

        Raises:
            ValueError: ``crops`` has another shape or type.
        """
        if crops.ndim != 4 or crops.shape[-1] != 3 or crops.dtype != np.uint8:
            raise ValueError(
                f"crops must be (N, H, W, 3) uint8, got {crops.shape} {crops.dtype}; one crop is "
                "crop[None]"
            )
        parts: list[NDArray[np.float32]] = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(crops), self.network.batch_size):
            part = self.network.embed(crops[start : start + self.network.batch_size])
            parts.append(part[:, 0].cpu().numpy())
        return np.concatenate(parts)


def load_network(
    name: str,
    weights: str | Path = DEFAULT,
    *,
    layer: str = "",
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 0,
) -> Embedder:
    """Load a face network, to embed crops with it.

    Args:
        name: ``resnet29``, ``resnet18``, ``ir50``, ``iresnet50`` or ``vggface``.
        weights: its weight file; ``default`` for those that avfuse ships; ``random`` for trials.
        layer: the layer to read; empty: the one that the network ends in.
        seed: of random weights, from 0.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: crops in a forward pass; 0: by network and device.

    Raises:
        ValueError: no such network, layer or device.
        WeightsError: none are shipped, or the file is damaged or of another network.
        OSError: it can't be read.

    Example:
        >>> embed = extractors.load_network("resnet18")
        >>> embed(np.zeros((2, 112, 112, 3), np.uint8)).shape
        (2, 512)
    """
    find_network(name)
    check_device(device)
    settings = NetworkSettings(layer=layer, views=VIEW_SETS["basic"])
    file: Path | None = None
    if weights != RANDOM:
        file = default_weights(name) if weights == DEFAULT else Path(weights)
        if file is None:
            raise WeightsError(
                f"avfuse ships no weights of {name}; name a file, or 'random' to try things out"
            )
    return Embedder(
        load_face_network(
            name, file, settings, seed=seed, device=choose_device(device), batch_size=batch_size
        )
    )
