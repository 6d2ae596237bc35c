"""Writes ONNX models byte by byte, as PyTorch's exporter lays out an iresnet50."""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import nn

from extractors.other_networks.iresnet50 import UNITS, IResNet50


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"float32": 1, "float16": 10, "float64": 11, "int64": 7}[values.dtype.name]
    dims = b"".join(number(1, size) for size in values.shape)
    return dims + number(2, kind) + chunk(8, name) + chunk(9, values.tobytes())


def node(op: str, inputs: list[str], output: str, **attributes: int | float | list[int]) -> bytes:
    out = b"".join(chunk(1, name) for name in inputs) + chunk(2, output) + chunk(4, op)
    for name, value in attributes.items():
        if isinstance(value, float):
            content = varint(2 << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            content = number(3, value)
        else:
            content = b"".join(number(8, item) for item in value)
        out += chunk(5, chunk(1, name) + content)
    return out


def model(nodes: list[bytes], tensors: dict[str, np.ndarray], inputs: list[str]) -> bytes:
    graph = b"".join(chunk(1, content) for content in nodes)
    graph += b"".join(chunk(5, tensor(name, values)) for name, values in tensors.items())
    graph += b"".join(chunk(11, chunk(1, name)) for name in inputs)
    return number(1, 7) + chunk(2, "pytorch") + chunk(7, graph) + chunk(8, number(2, 11))


class Exporter:
    """Follows an iresnet50 and writes its nodes; ``merged`` puts norms into convolutions."""

    def __init__(
        self,
        module: IResNet50,
        *,
        merged: bool,
        dtype: str = "float32",
        epsilon: float = 1e-5,
        transposed: bool = False,
    ) -> None:
        self.module = module
        self.epsilon = epsilon
        self.transposed = transposed
        self.merged = merged
        self.dtype = dtype
        self.nodes: list[bytes] = []
        self.tensors: dict[str, np.ndarray] = {}

    def name(self, values: torch.Tensor) -> str:
        name = str(685 + len(self.tensors))
        self.tensors[name] = values.detach().numpy().astype(self.dtype)
        return name

    def emit(self, op: str, inputs: list[str], **attributes: int | float | list[int]) -> str:
        output = f"out{len(self.nodes)}"
        self.nodes.append(node(op, inputs, output, **attributes))
        return output

    def norm(self, x: str, norm: nn.Module) -> str:
        parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        names = [self.name(part) for part in parts]
        return self.emit("BatchNormalization", [x, *names], epsilon=self.epsilon, momentum=0.9)

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.Module) -> str:
        attributes = {"strides": list(conv.stride), "kernel_shape": list(conv.kernel_size)}
        if not self.merged:
            x = self.emit("Conv", [x, self.name(conv.weight)], **attributes)
            return self.norm(x, norm)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = self.name(conv.weight * scale.view(-1, 1, 1, 1))
        bias = self.name(norm.bias - norm.running_mean * scale)
        return self.emit("Conv", [x, weight, bias], **attributes)

    def prelu(self, x: str, prelu: nn.PReLU) -> str:
        return self.emit("PRelu", [x, self.name(prelu.weight.view(-1, 1, 1))])

    def write(self) -> bytes:
        net = self.module
        x = self.prelu(self.conv("image", net.conv1, net.bn1), net.prelu)
        for stage in range(1, len(UNITS) + 1):
            for unit in getattr(net, f"layer{stage}"):
                inner = self.prelu(
                    self.conv(self.norm(x, unit.bn1), unit.conv1, unit.bn2), unit.prelu
                )
                inner = self.conv(inner, unit.conv2, unit.bn3)
                if unit.downsample is not None:
                    x = self.conv(x, *unit.downsample)
                x = self.emit("Add", [inner, x])
        x = self.emit("Flatten", [self.norm(x, net.bn2)], axis=1)
        weight = net.fc.weight.T if self.transposed else net.fc.weight
        inputs = [x, self.name(weight), self.name(net.fc.bias)]
        x = self.emit("Gemm", inputs, transB=int(not self.transposed))
        self.norm(x, net.features)
        return model(self.nodes, self.tensors, ["image"])
