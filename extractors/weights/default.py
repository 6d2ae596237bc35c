"""The weights that avfuse ships, so that it is of use before any file is downloaded."""

from __future__ import annotations

from pathlib import Path

from extractors.weights.error import WeightsError

DEFAULT_NETWORK = "resnet29"
# That of earlier versions stays, so that caches made with it can go on.
DEFAULT_FILES: dict[str, Path] = {
    name: Path(__file__).parent / f"default_{name}.safetensors"
    for name in (DEFAULT_NETWORK, "resnet18")
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
