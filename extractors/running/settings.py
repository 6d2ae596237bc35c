"""Settings of a face network; open ones are filled in from the weight file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from extractors.networks import NetworkSpec
from extractors.view_settings import ViewSettings
from extractors.weights.facts import WeightFacts

PRECISIONS = ("float32", "bfloat16", "float16")  # names of PyTorch's types
COLOURS = ("weights", "rgb", "grey")


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a face network. Each can change the numbers, so all of them are in the key.

    Attributes:
        layer: a layer of ``NetworkSpec.layers``; the network's own last one if empty.
        image_size: pixels; 0 takes that of the weights, or else the network's own. Others only
            where its parameters fit any.
        precision: ``float32``, or ``bfloat16`` or ``float16`` for convolutions and products.
        colour: ``rgb``; ``grey`` gives the network the luma of a crop in all three channels;
            ``weights`` is what the weight file was trained on, and ``rgb`` where it doesn't say.
        detail: pixels that a crop is reduced to before it is brought to ``image_size``, because
            the network has only ever seen enlarged images; 0 is what the weight file says, and no
            reduction where it doesn't; from ``image_size`` on there is none either.
        views: which variants of a crop are embedded.
    """

    layer: str = ""
    image_size: int = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    colour: Literal["weights", "rgb", "grey"] = "weights"
    detail: int = 0
    views: ViewSettings = field(default_factory=ViewSettings)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        if self.colour not in COLOURS:
            raise ValueError(f"colour must be one of {', '.join(COLOURS)}, got {self.colour!r}")
        if self.detail < 0:
            raise ValueError(f"detail must not be negative, got {self.detail}")


def resolve_settings(
    settings: NetworkSettings, spec: NetworkSpec, facts: WeightFacts | None
) -> NetworkSettings:
    """Put in what was left open, so that two ways to ask for the same numbers get the same key.

    Args:
        settings: as asked for.
        spec: the network.
        facts: what its weights say of themselves, if anything.

    Raises:
        ValueError: the network has no such layer, or takes no such image size.
    """
    layer = settings.layer or spec.default_layer
    if layer not in spec.layers:
        raise ValueError(
            f"{spec.name} has the layers {', '.join(spec.layers)}, not {settings.layer!r}"
        )
    size = settings.image_size or (facts.image_size if facts else spec.image_size)
    if size < 1 or (size != spec.image_size and not spec.any_size):
        raise ValueError(
            f"{spec.name} takes images of {spec.image_size} pixels only, got image_size {size}"
        )
    colour = settings.colour
    if colour == "weights":
        colour = "grey" if facts and facts.grey else "rgb"
    detail = settings.detail or (facts.detail if facts else 0) or size
    return replace(settings, layer=layer, image_size=size, colour=colour, detail=min(detail, size))
