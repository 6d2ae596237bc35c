"""The weights that avfuse ships, so that it is of use before any file is downloaded."""

from __future__ import annotations

from pathlib import Path

from extractors.weights.error import WeightsError
from extractors.weights.facts import WeightFacts

DEFAULT_NETWORK = "resnet18"
DEFAULT_FILES: dict[str, Path] = {
    DEFAULT_NETWORK: Path(__file__).parent / "default_resnet18.safetensors"
}
# Clips from films and series that the default network named rightly, and all it was asked about:
# `python -m benchmarks.science.default_network`, benchmarks/results/default-network.json.
RIGHT_ON_FILM, CLIPS_OF_FILM = 7, 19


def describe_worth(facts: WeightFacts, *, film: bool) -> str:
    """Say what an answer of the default network is worth.

    Args:
        facts: of its file, where its accuracy on still photographs stands.
        film: whether clips were answered; else still pictures alone.
    """
    parts = []
    if facts.accuracy:
        parts.append(f"Still photographs: {facts.metrics['accuracy']:.0%}.".replace("%", " %"))
    if film:
        parts.append(
            f"Film and television are much harder: {RIGHT_ON_FILM} of {CLIPS_OF_FILM} clips in our "
            "test. Treat it as a hint."
        )
    return " ".join(parts)


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
