"""InsightFace's ONNX files of iresnet50 (w600k_r50.onnx and its kin) as that network's weights."""

from __future__ import annotations

import mmap

import numpy as np

from extractors.other_networks.iresnet50 import UNITS
from extractors.weights.onnx_graph import Graph, Node, OnnxError, read_graph

EPSILON = 1e-5  # of every norm of the network
# Operations after which the same numbers go by another name, in evaluation and as a flat list.
RENAMES = ("Identity", "Dropout", "Unsqueeze")


def read_iresnet50(content: bytes | mmap.mmap) -> dict[str, np.ndarray]:
    """Find the weights of an iresnet50 in an ONNX file, under the names of its ``.pth``.

    An exporter renames the tensors and merges a norm into the convolution before it. So the graph
    is followed from its input, operation by operation, as the network is built. Where a norm was
    merged, the convolution's bias becomes the norm's, which then does nothing else: the same
    function up to rounding.

    Returns:
        Arrays of floats. Most lie in ``content``.

    Raises:
        OnnxError: the bytes are no ONNX graph, or not that of an iresnet50: the text says which
            operation was expected and what came.
    """
    walk = Walk(read_graph(content))
    walk.convolve("conv1", "bn1", stride=1)
    walk.prelu("prelu")
    for stage, count in enumerate(UNITS, start=1):
        for unit in range(count):
            key = f"layer{stage}.{unit}"
            stride = 2 if unit == 0 else 1
            entry = walk.place
            walk.norm(f"{key}.bn1")
            walk.convolve(f"{key}.conv1", f"{key}.bn2", stride=1)
            walk.prelu(f"{key}.prelu")
            walk.convolve(f"{key}.conv2", f"{key}.bn3", stride=stride)
            inner, shortcut = walk.place, entry
            if unit == 0:
                walk.place = entry
                walk.convolve(f"{key}.downsample.0", f"{key}.downsample.1", stride=stride)
                shortcut = walk.place
            walk.add(inner, shortcut)
    walk.norm("bn2")
    walk.flatten()
    walk.linear("fc")
    walk.norm("features")
    return walk.found


class Walk:
    """A place in a graph, and the parameters found on the way to it.

    Args:
        graph: with one input.

    Raises:
        OnnxError: the graph has another number of inputs.
    """

    def __init__(self, graph: Graph) -> None:
        if len(graph.inputs) != 1:
            raise OnnxError(f"takes {len(graph.inputs)} inputs; a face network takes one")
        self.found: dict[str, np.ndarray] = {}
        self.place = graph.inputs[0]
        self._tensors = dict(graph.tensors)
        self._consumers: dict[str, list[Node]] = {}
        same: dict[str, str] = {}  # exporters write tensors that are equal once, and name them anew
        for node in graph.nodes:
            if node.op in RENAMES and node.inputs and node.outputs:
                same[node.outputs[0]] = same.get(node.inputs[0], node.inputs[0])
                if node.inputs[0] in self._tensors:
                    self._tensors[node.outputs[0]] = self._tensors[node.inputs[0]]
                continue
            for name in node.inputs:
                self._consumers.setdefault(same.get(name, name), []).append(node)

    def convolve(self, conv: str, norm: str, *, stride: int) -> None:
        """Take a 3x3 or 1x1 convolution, and its norm whether it was merged or not."""
        node = self._step("Conv", conv)
        strides = node.attributes.get("strides", (1, 1))
        if strides != (stride, stride):
            raise OnnxError(f"has strides {strides} at {conv}; iresnet50 has {stride}")
        weight = self._tensor(node, 1, conv)
        if weight.ndim != 4:
            raise OnnxError(f"has weights of shape {list(weight.shape)} at {conv}, expected 4 axes")
        self.found[f"{conv}.weight"] = weight
        if len(node.inputs) < 3:
            self.norm(norm)
            return
        ones = np.ones(len(weight), np.float32)
        self.found[f"{norm}.weight"] = ones
        self.found[f"{norm}.bias"] = self._tensor(node, 2, conv)
        self.found[f"{norm}.running_mean"] = 0 * ones
        self.found[f"{norm}.running_var"] = ones - np.float32(EPSILON)

    def norm(self, key: str) -> None:
        """Take a batch norm."""
        node = self._step("BatchNormalization", key)
        for index, name in enumerate(("weight", "bias", "running_mean", "running_var"), start=1):
            self.found[f"{key}.{name}"] = self._tensor(node, index, key)
        epsilon = node.attributes.get("epsilon", EPSILON)
        if not isinstance(epsilon, float):
            raise OnnxError(f"has no number as epsilon of {key}")
        variance = self.found[f"{key}.running_var"].astype(np.float32)
        self.found[f"{key}.running_var"] = variance + np.float32(epsilon - EPSILON)

    def prelu(self, key: str) -> None:
        """Take a PReLU; its slopes are stored with the axes of an image."""
        node = self._step("PRelu", key)
        self.found[f"{key}.weight"] = self._tensor(node, 1, key).reshape(-1)

    def add(self, inner: str, shortcut: str) -> None:
        """Take the sum that ends a unit."""
        for node in self._consumers.get(inner, []):
            if node.op == "Add" and len(node.outputs) == 1 and len(node.inputs) == 2:
                other = self._consumers.get(shortcut, [])
                if any(node is candidate for candidate in other):
                    self.place = node.outputs[0]
                    return
        raise OnnxError("is no iresnet50: a unit's result is not added to its shortcut")

    def flatten(self) -> None:
        """Take the step from a map to a vector."""
        nodes = self._consumers.get(self.place, [])
        if len(nodes) != 1 or nodes[0].op not in ("Flatten", "Reshape") or not nodes[0].outputs:
            raise OnnxError(f"is no iresnet50: expected Flatten, got {operations(nodes)}")
        self.place = nodes[0].outputs[0]

    def linear(self, key: str) -> None:
        """Take a linear layer."""
        node = self._step("Gemm", key)
        weight = self._tensor(node, 1, key)
        self.found[f"{key}.weight"] = weight if node.attributes.get("transB") else weight.T
        self.found[f"{key}.bias"] = self._tensor(node, 2, key)

    def _step(self, op: str, key: str) -> Node:
        """Go on by the one operation of this kind that takes what is here."""
        nodes = self._consumers.get(self.place, [])
        fitting = [node for node in nodes if node.op == op and node.outputs]
        if len(fitting) != 1:
            raise OnnxError(
                f"is no iresnet50: expected {op} ({key}), got {operations(nodes)}; of ONNX only "
                "that network is read, so export another's state_dict"
            )
        self.place = fitting[0].outputs[0]
        return fitting[0]

    def _tensor(self, node: Node, index: int, key: str) -> np.ndarray:
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self._tensors:
            raise OnnxError(f"has no tensor for {key}: {node.op} lacks input {index}")
        return self._tensors[name]


def operations(nodes: list[Node]) -> str:
    """Name some operations for a message."""
    return ", ".join(ascii(node.op)[1:-1] for node in nodes[:3]) or "the graph's end"
