"""The table of face networks: how each is built, what it takes and which layers it offers.

The table itself loads no PyTorch, so that a command can refuse an unknown name at once. Networks of
plug-ins stand in it under their names; each is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from extractors import plugins
from extractors.plugins import PLUGIN, Plugin, PluginError

if TYPE_CHECKING:
    from torch import nn

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class NetworkSpec:
    """Input and layers of a face network, and the function that builds it.

    Every network takes RGB; ``mean`` and ``deviation`` are of values from 0 to 255 in that order.
    The module that ``build`` makes yields the first of ``layers``: (N, 3, S, S) to (N, D), an image
    independently of those beside it; one with the layer ``pooled`` has a method ``feature_map``.

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


class NetworkTable(MutableMapping[str, NetworkSpec]):
    """Networks by their names: those of avfuse, then those of plug-ins.

    Names are listed and looked for without an import. The row of a plug-in that can't be imported,
    or is none, raises ``PluginError``, which says so; those of the others are not touched by it.

    Args:
        specs: those of avfuse.
    """

    def __init__(self, *specs: NetworkSpec) -> None:
        self._own = {spec.name: spec for spec in specs}

    def __getitem__(self, name: str) -> NetworkSpec:
        plugin = self.plugin(name)
        return self._own[name] if plugin is None else _load(plugin)

    def __setitem__(self, name: str, spec: NetworkSpec) -> None:
        self._own[name] = spec

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in plugins.read_plugins(plugins.NETWORKS)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *plugins.read_plugins(plugins.NETWORKS)]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def plugin(self, name: str) -> Plugin | None:
        """Return the plug-in that a network is of; None for one of avfuse, or an unknown name."""
        return None if name in self._own else plugins.read_plugins(plugins.NETWORKS).get(name)

    def usable(self) -> Iterator[NetworkSpec]:
        """Yield the networks that can be imported."""
        for name in self:
            try:
                yield self[name]
            except PluginError:
                continue

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each network of a plug-in that can't be used."""
        return plugins.find_problems(plugins.NETWORKS, _load)


def _load(plugin: Plugin) -> NetworkSpec:
    """Import a plug-in's row; refuse what is none, or contradicts itself."""
    found = plugin.load()
    if not isinstance(found, NetworkSpec):
        raise plugin.mismatch(found)
    problem = ""
    if found.name != plugin.name:
        problem = f"its name is {found.name!r}, and its entry point's {plugin.name!r}"
    elif not found.layers or set(found.layers) - {found.default_layer, "pooled"}:
        problem = (
            "its layers are the one that the module yields and, where it has a method feature_map, "
            f"pooled; got {', '.join(found.layers) or 'none'}"
        )
    elif min(found.image_size, found.first_stride, *found.layers.values()) < 1:
        problem = "its image_size, first_stride and the lengths of its layers must be at least 1"
    elif len(found.mean) != 3 or len(found.deviation) != 3 or min(found.deviation) <= 0:
        problem = "mean and deviation must be three numbers each, those of deviation above 0"
    if problem:
        raise PluginError(f"the {plugin} can't be used: {problem}")
    return found


def network_plugin(name: str) -> dict[str, dict[str, str]]:
    """Return the setting that the key of a network's set has beside its own: empty for avfuse's."""
    plugin = NETWORKS.plugin(name)
    return {} if plugin is None else {PLUGIN: plugin.facts}


HALF_RANGE = (127.5, 127.5, 127.5)

NETWORKS = NetworkTable(
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
        build=partial(_build, "extractors.other_networks.iresnet50", "IResNet50"),
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
        name="resnet29",
        build=partial(_build, "extractors.other_networks.resnet29", "ResNet29"),
        image_size=150,
        layers={"embedding": 256, "pooled": 256},
        mean=(122.782, 117.001, 104.298),
        deviation=(256.0, 256.0, 256.0),
        source="dlib's face recognition network (dlib_face_recognition_resnet_model_v1.dat)",
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
