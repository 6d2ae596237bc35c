"""A face network: its row of avfuse's table. PyTorch is imported when it is built, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extractors.networks import NetworkSpec

if TYPE_CHECKING:
    from torch import nn


def build() -> nn.Module:
    """Make the module; its parameters have the names of the weight file."""
    from avfuse_example.tinynet import TinyNet

    return TinyNet()


TINYNET = NetworkSpec(
    name="tinynet",  # as the entry point
    build=build,
    image_size=48,
    layers={"embedding": 16, "pooled": 16},  # the module's own output first
    mean=(127.5, 127.5, 127.5),  # of RGB from 0 to 255
    deviation=(127.5, 127.5, 127.5),
    source="make_weights.py of avfuse-example",
    any_size=True,
    first_stride=2,
)
