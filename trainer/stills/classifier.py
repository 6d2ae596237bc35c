"""A face network with a classifier on its embedding."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from extractors.networks import NETWORKS
from extractors.running.still_classifier import classifier_prefix
from extractors.weights.load import initialise


class FaceClassifier(nn.Module):
    """Turns face images into logits: embedding, dropout, one linear layer.

    Shapes (N images, C classes):
        ``images``: (N, 3, S, S), float, normalised as the network expects.
        result: (N, C) logits.

    Args:
        network: a name in ``extractors.networks.NETWORKS``.
        num_classes: C.
        dropout: probability, in training, of dropping a value of the embedding.
        seed: of the random weights that it starts from.

    Raises:
        ValueError: ``network`` is unknown, or ``num_classes`` is below 2.

    Source:
        Zhou et al., "Exploring Emotion Features and Fusion Strategies for Audio-Video Emotion
        Recognition", ICMI 2019, section 2.1: face networks are fine-tuned on still faces.
    """

    def __init__(self, network: str, num_classes: int, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        if network not in NETWORKS:
            raise ValueError(f"no network is called {network!r}; there are {', '.join(NETWORKS)}")
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        self.spec = NETWORKS[network]
        self.network = self.spec.build()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.spec.layers[self.spec.default_layer], num_classes)
        initialise(self, seed)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images; shapes are in the class docstring."""
        logits: Tensor = self.classifier(self.dropout(self.network(images)))
        return logits

    @property
    def file_prefix(self) -> str:
        """What the classifier's parameters are called in a weight file, before ``weight``."""
        return classifier_prefix(self.network)

    def file_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a state of this module to the key names of the network's source."""
        return {
            self.file_prefix + name.removeprefix("classifier.")
            if name.startswith("classifier.")
            else name.removeprefix("network."): value
            for name, value in state.items()
        }
