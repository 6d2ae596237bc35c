"""The weights that avfuse ships, so that it is of use before any file is downloaded."""

from __future__ import annotations

from pathlib import Path

from extractors.weights.error import WeightsError

DEFAULT_NETWORK = "resnet18"
DEFAULT_FILES: dict[str, Path] = {
    DEFAULT_NETWORK: Path(__file__).parent / "default_resnet18.safetensors"
}


def default_weights(network: str) -> Path | None:
    """Return the file of a network's shipped weights; None for a network that has none.

    Raises:
        WeightsError: the file is gone from the installed package.
    """
    path = DEFAULT_FILES.get(network)
    if path is not None and not path.is_file():
        raise WeightsError(
            f"the default weights of {network} belong to avfuse and are missing: {path}; install "
            f"avfuse again, or pass --weights {network}=FILE"
        )
    return path
