"""The table of face networks: how each is built, what it takes and which layers it offers.

The table itself loads no PyTorch, so that a command can refuse an unknown name at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class NetworkSpec:
    """Input and layers of a face network, and the function that builds it.

    Every network takes RGB; ``mean`` and ``deviation`` are of values from 0 to 255 in that order.

    Attributes:
        name: as in ``--sets`` and ``--weights``.
        build: makes the module with parameters of the published shapes.
        image_size: height and width of its input in pixels.
        any_size: whether its parameters fit other sizes too.
        layers: layer name to length of its embedding; ``pooled`` is the mean over the last
            convolutional map, and ``embedding`` or ``fc6`` what the network itself ends in.
        mean: subtracted from the pixels.
        deviation: divided by after that.
        source: whose weights it loads, for ``avfuse weights list``.
        first_stride: pixels from one position of its first maps to the next; these are its largest.
    """

    name: str
    build: Callable[[], nn.Module]
    image_size: int
    layers: Mapping[str, int]
    mean: Triple
    deviation: Triple
    source: str
    any_size: bool = False
    first_stride: int = 1

    @property
    def default_layer(self) -> str:
        """The layer that the network itself ends in."""
        return next(iter(self.layers))

    def map_bytes(self, image_size: int) -> int:
        """Bytes of an image's first maps, 64 channels in float32 in each of the networks."""
        return 64 * 4 * (image_size // self.first_stride) ** 2


def _build(module: str, name: str, **sizes: int) -> nn.Module:
    """Build a network; its module, and PyTorch with it, is imported by the first call."""
    return cast("nn.Module", getattr(importlib.import_module(module), name)(**sizes))


HALF_RANGE = (127.5, 127.5, 127.5)

NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        NetworkSpec(
            name="ir50",
            build=partial(_build, "extractors.ir50", "IR50"),
            image_size=112,
            layers={"embedding": 512, "pooled": 512},
            mean=HALF_RANGE,
            deviation=HALF_RANGE,
            source="face.evoLVe IR-50, input 112 (backbone_ir50_*.pth)",
        ),
        NetworkSpec(
            name="iresnet50",
            build=partial(_build, "extractors.iresnet50", "IResNet50"),
            image_size=112,
            layers={"embedding": 512, "pooled": 512},
            mean=HALF_RANGE,
            deviation=HALF_RANGE,
            source="InsightFace iresnet50 (arcface_torch r50 backbone.pth, w600k_r50.onnx)",
        ),
        NetworkSpec(
            name="resnet18",
            build=partial(_build, "extractors.resnet18", "ResNet18"),
            image_size=224,
            # Its embedding is the pooled map, under both names.
            layers={"embedding": 512, "pooled": 512},
            mean=(123.675, 116.28, 103.53),
            deviation=(58.395, 57.12, 57.375),
            source="torchvision ResNet-18, resnet18_msceleb.pth of the expression literature",
            any_size=True,
            first_stride=2,
        ),
        NetworkSpec(
            name="vggface",
            build=partial(_build, "extractors.vggface", "VGGFace"),
            image_size=224,
            layers={"fc6": 4096, "pooled": 512},
            # vgg_face_dag's own figures; its published evaluation feeds RGB from 0 to 255.
            mean=(129.186279296875, 104.76238250732422, 93.59396362304688),
            deviation=(1.0, 1.0, 1.0),
            source="Oxford VGG-Face, VGG-16 (vgg_face_dag.pth)",
        ),
    )
}
