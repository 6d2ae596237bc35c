"""Linear probe of each layer of a face network for expressions, and a picture of one.

A probe trains a logistic regression on frozen embeddings. It says what a head can get out of a
layer at best without changing the network.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from extractors.resnet18 import ResNet18
from trainer.runs.metrics import measure
from trainer.stills.augment import resize, to_float
from trainer.stills.classifier import IMAGES_PER_FORWARD, FaceClassifier, normalise
from trainer.stills.images.stills import Stills

# Strengths of the inverse regularisation, weakest fit first; standardised features.
CHOICES = (0.0003, 0.003, 0.03, 0.3)
MAX_ITERATIONS = 300
# Where the stages before the last map end; those are mean-pooled too.
STAGES: Mapping[str, tuple[str, ...]] = {
    "resnet18": ("layer1", "layer2", "layer3"),
    "iresnet50": ("layer1", "layer2", "layer3"),
    "ir50": ("body.2", "body.6", "body.20"),
}
TSNE_COMPONENTS = 50


@dataclass(frozen=True)
class Probe:
    """Accuracy that one layer's embeddings allow.

    Attributes:
        layer: its name, as ``network.layer`` has it, or that of an earlier stage.
        dim: length of its embedding.
        strength: the inverse regularisation, chosen on the validation images.
        valid_accuracy: share of the validation images that are right.
        test: the figures on the test images; see ``Metrics.to_json``.
    """

    layer: str
    dim: int
    strength: float
    valid_accuracy: float
    test: Mapping[str, Any]


def embed_layers(
    classifier: FaceClassifier, stills: Stills, image_size: int, *, grey: bool
) -> dict[str, NDArray[np.float32]]:
    """Embed images with every layer that extraction offers, and with the stages before it.

    Args:
        classifier: its network is used, on the CPU, in evaluation mode.
        stills: the images.
        image_size: side in pixels of the network's input.
        grey: turn colours to grey.

    Returns:
        Layer to (N, D), earlier stages first. Layers that are one stand there both, as one array.
    """
    spec, network = classifier.spec, classifier.network
    maps: dict[str, Tensor] = {}
    parts: dict[str, list[NDArray[np.float32]]] = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(_keeper(maps, name))
        for name in STAGES.get(spec.name, ())
    ]
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(stills), IMAGES_PER_FORWARD):
                pixels = torch.from_numpy(stills.images[start : start + IMAGES_PER_FORWARD])
                images = normalise(classifier, resize(to_float(pixels, grey=grey), image_size))
                images = images.expand(-1, 3, -1, -1)
                last = network.feature_map(images)  # type: ignore[operator]  # every network has it
                found = {name: value.mean(dim=(2, 3)) for name, value in maps.items()}
                found["pooled"] = last.mean(dim=(2, 3))
                # A network that ends in the mean of its map needs no second pass.
                if not isinstance(network, ResNet18):
                    found[spec.default_layer] = network(images)
                for name, value in found.items():
                    parts.setdefault(name, []).append(value.float().numpy())
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    result = {name: np.concatenate(values) for name, values in parts.items()}
    if isinstance(network, ResNet18):
        result["embedding"] = result["pooled"]
    return result


def _keeper(maps: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        del module, inputs
        maps[name] = output

    return keep


def probe_layer(
    layer: str,
    embeddings: Mapping[str, NDArray[np.float32]],
    parts: Mapping[str, Stills],
    *,
    choices: Sequence[float] = CHOICES,
) -> Probe:
    """Fit a logistic regression on training embeddings and test it.

    The regularisation is chosen on the validation images; the test images are predicted once.

    Args:
        layer: the layer's name.
        embeddings: (N, D) of ``train``, ``valid`` and ``test``.
        parts: their images, each with a label; see ``Stills.testable``.
        choices: inverse regularisations to choose from.
    """
    fits: list[tuple[float, float, Any]] = []
    for strength in choices:
        fit = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
        )
        fit.fit(embeddings["train"], parts["train"].labels)
        right = fit.predict(embeddings["valid"]) == parts["valid"].labels
        fits.append((float(right.mean()), -strength, fit))
    accuracy, negative, fit = max(fits, key=lambda item: item[:2])
    test = parts["test"]
    names = test.classes
    figures = measure(
        [names[i] for i in test.labels],
        [names[i] for i in fit.predict(embeddings["test"])],
        names,
    )
    dim = embeddings["train"].shape[1]
    return Probe(layer, dim, -negative, accuracy, figures.to_json())


def project(
    embeddings: NDArray[np.float32], how: str = "tsne", *, seed: int = 0
) -> NDArray[np.float64]:
    """Lay embeddings out in a plane: (N, D) to (N, 2).

    Args:
        embeddings: (N, D).
        how: ``pca``, the plane of the largest variance, or ``tsne``, which keeps neighbours.
        seed: of t-SNE.

    Raises:
        ValueError: ``how`` is neither.
    """
    if how not in ("pca", "tsne"):
        raise ValueError(f"how must be pca or tsne, got {how!r}")
    if how == "pca":
        return np.asarray(PCA(2, random_state=seed).fit_transform(embeddings), np.float64)
    count = min(TSNE_COMPONENTS, *embeddings.shape)
    reduced = PCA(count, random_state=seed).fit_transform(embeddings)
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=seed)
    return np.asarray(tsne.fit_transform(reduced), np.float64)


def plot_plane(
    places: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str], title: str
) -> bytes:
    """Draw images as points in the colour of their label, as a small PNG.

    Args:
        places: (N, 2).
        labels: (N,), class of each.
        classes: their names.
        title: what is drawn.
    """
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(classes):
        rows = labels == number
        x, y = places[rows].T
        axes.scatter(x, y, s=5, alpha=0.6, linewidths=0, label=f"{name} ({int(rows.sum())})")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize="medium")
    axes.legend(markerscale=3, fontsize="small", frameon=False, bbox_to_anchor=(1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
