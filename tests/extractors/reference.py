"""The networks once more, in NumPy at float64, written from their definitions and key names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

Arrays = Mapping[str, np.ndarray]


def randomise(module: nn.Module, seed: int) -> Arrays:
    """Give every parameter and buffer a value of its own, as training would; return them."""
    generator = torch.Generator().manual_seed(seed)
    module.double().eval()
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        draw = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + draw)
        elif tensor.ndim > 1:
            tensor.copy_((draw - 0.5) * 3 / np.sqrt(tensor[0].numel()))
        else:
            tensor.copy_(draw - 0.3)
    return {name: value.numpy() for name, value in module.state_dict().items()}


def conv(
    x: np.ndarray, weight: np.ndarray, stride: int, pad: int, bias: np.ndarray | None = None
) -> np.ndarray:
    height, width = weight.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows = (x.shape[2] - height) // stride + 1
    columns = (x.shape[3] - width) // stride + 1
    out = np.zeros((x.shape[0], weight.shape[0], rows, columns))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            patch = x[:, :, top : top + height, left : left + width]
            out[:, :, row, column] = np.einsum("nchw,ochw->no", patch, weight)
    return out if bias is None else out + bias[:, None, None]


def norm(x: np.ndarray, state: Arrays, key: str) -> np.ndarray:
    shape = (-1,) + (1,) * (x.ndim - 2)
    mean, var, weight, bias = (
        state[f"{key}.{name}"].reshape(shape)
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * slope[:, None, None])


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def max_pool(x: np.ndarray, kernel: tuple[int, int], stride: int, pad: int = 0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    rows = (x.shape[2] - kernel[0]) // stride + 1
    columns = (x.shape[3] - kernel[1]) // stride + 1
    out = np.zeros((*x.shape[:2], rows, columns))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = x[:, :, top : top + kernel[0], left : left + kernel[1]]
            out[:, :, row, column] = window.max(axis=(2, 3))
    return out


def ir50(x: np.ndarray, s: Arrays) -> np.ndarray:
    x = conv(x, s["input_layer.0.weight"], 1, 1)
    x = prelu(norm(x, s, "input_layer.1"), s["input_layer.2.weight"])
    first_of_stage = {0, 3, 7, 21}
    for unit in range(24):
        key = f"body.{unit}"
        stride = 2 if unit in first_of_stage else 1
        inner = norm(x, s, f"{key}.res_layer.0")
        inner = conv(inner, s[f"{key}.res_layer.1.weight"], 1, 1)
        inner = prelu(inner, s[f"{key}.res_layer.2.weight"])
        inner = conv(inner, s[f"{key}.res_layer.3.weight"], stride, 1)
        inner = norm(inner, s, f"{key}.res_layer.4")
        if f"{key}.shortcut_layer.0.weight" in s:
            x = conv(x, s[f"{key}.shortcut_layer.0.weight"], stride, 0)
            x = norm(x, s, f"{key}.shortcut_layer.1")
        else:
            x = x[:, :, ::stride, ::stride]
        x = x + inner
    flat = norm(x, s, "output_layer.0").reshape(len(x), -1)
    flat = flat @ s["output_layer.3.weight"].T + s["output_layer.3.bias"]
    return norm(flat, s, "output_layer.4")


def iresnet50(x: np.ndarray, s: Arrays) -> np.ndarray:
    x = prelu(norm(conv(x, s["conv1.weight"], 1, 1), s, "bn1"), s["prelu.weight"])
    for stage, count in enumerate((3, 4, 14, 3), start=1):
        for unit in range(count):
            key = f"layer{stage}.{unit}"
            stride = 2 if unit == 0 else 1
            inner = conv(norm(x, s, f"{key}.bn1"), s[f"{key}.conv1.weight"], 1, 1)
            inner = prelu(norm(inner, s, f"{key}.bn2"), s[f"{key}.prelu.weight"])
            inner = norm(conv(inner, s[f"{key}.conv2.weight"], stride, 1), s, f"{key}.bn3")
            if unit == 0:
                x = conv(x, s[f"{key}.downsample.0.weight"], stride, 0)
                x = norm(x, s, f"{key}.downsample.1")
            x = inner + x
    flat = norm(x, s, "bn2").reshape(len(x), -1) @ s["fc.weight"].T + s["fc.bias"]
    return norm(flat, s, "features")


def resnet18(x: np.ndarray, s: Arrays, stem: str) -> np.ndarray:
    if stem == "imagenet":
        x = relu(norm(conv(x, s["conv1.weight"], 2, 3), s, "bn1"))
        x = max_pool(x, (3, 3), 2, pad=1)
    else:
        x = relu(norm(conv(x, s["conv1.weight"], 1, 1), s, "bn1"))
    for stage in range(1, 5):
        for unit in range(2):
            key = f"layer{stage}.{unit}"
            stride = 2 if stage > 1 and unit == 0 else 1
            inner = relu(norm(conv(x, s[f"{key}.conv1.weight"], stride, 1), s, f"{key}.bn1"))
            inner = norm(conv(inner, s[f"{key}.conv2.weight"], 1, 1), s, f"{key}.bn2")
            if stride == 2:
                x = conv(x, s[f"{key}.downsample.0.weight"], stride, 0)
                x = norm(x, s, f"{key}.downsample.1")
            x = relu(inner + x)
    return x.mean(axis=(2, 3))


def vggface(x: np.ndarray, s: Arrays) -> np.ndarray:
    for block, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, convs + 1):
            key = f"conv{block}_{index}"
            x = relu(conv(x, s[f"{key}.weight"], 1, 1, s[f"{key}.bias"]))
        x = max_pool(x, (2, 2), 2)
    return x.reshape(len(x), -1) @ s["fc6.weight"].T + s["fc6.bias"]


def local_response(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        near = x[:, max(0, channel - 2) : channel + 3]
        out[:, channel] = x[:, channel] / (2 + 1e-4 / 5 * (near**2).sum(axis=1)) ** 0.75
    return out


def alexnet(x: np.ndarray, s: Arrays) -> np.ndarray:
    """One clip (1, C, T, F) -> its grid (T', F', D)."""
    plan = [(4, 0), (1, 2), (1, 1), (1, 1), (1, 1)]
    for index, (stride, pad) in enumerate(plan):
        weight, bias = s[f"convs.{index}.weight"], s[f"convs.{index}.bias"]
        x = relu(conv(x, weight, stride, pad, bias))
        if index < 2:
            x = local_response(x)
        if index in (0, 1, 4):
            x = max_pool(x, (3, min(3, x.shape[3])), 2)
    return x[0].transpose(1, 2, 0)
