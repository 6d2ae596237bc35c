from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.other_networks.iresnet50 import IResNet50
from extractors.weights.files import WeightsError, read_weight_file
from extractors.weights.load import load_weights
from extractors.weights.onnx_graph import OnnxError
from extractors.weights.onnx_iresnet50 import read_iresnet50
from extractors.weights.tensors import weights_digest
from tests.extractors.onnx_writer import Exporter, model, node
from tests.extractors.reference import randomise


def network(seed: int) -> IResNet50:
    module = IResNet50(image_size=19, embedding_dim=5, width=2)
    randomise(module, seed)
    module.float().eval()
    return module


def read(content: bytes) -> dict[str, torch.Tensor]:
    found = read_iresnet50(content)
    return {name: torch.from_numpy(np.array(values, np.float32)) for name, values in found.items()}


@pytest.mark.parametrize("merged", [True, False])
def test_an_exported_network_computes_the_same_again(merged: bool) -> None:
    # The same files as PyTorch's own exporter writes at opset 11 and 17, merged and not, with which
    # this was compared by hand: the onnx package that it needs is no dependency.
    source = network(3)
    tensors = read(Exporter(source, merged=merged).write())
    loaded = network(4)
    missing = loaded.load_state_dict(tensors, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)
    images = torch.rand(3, 3, 19, 19) - 0.5
    with torch.inference_mode():
        expected, found = source(images), loaded(images)
    assert (found - expected).abs().max() < 2e-6 * expected.abs().max()
    if not merged:
        for name, value in tensors.items():
            torch.testing.assert_close(value, source.state_dict()[name], rtol=0, atol=1e-7)


def test_a_norm_with_another_epsilon_and_a_transposed_matrix_compute_the_same() -> None:
    source = network(3)
    for module in source.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eps = 0.25
    loaded = network(4)
    exporter = Exporter(source, merged=False, epsilon=0.25, transposed=True)
    loaded.load_state_dict(read(exporter.write()), strict=False)
    images = torch.rand(3, 3, 19, 19) - 0.5
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), source(images), rtol=1e-4, atol=1e-5)


def test_a_file_is_recognised_and_read_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(Exporter(network(3), merged=True).write())
    file = read_weight_file(path)
    assert file.kind == "onnx"
    assert file.tensors["layer3.13.prelu.weight"].shape == (8,)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(WeightsError, match=r"w600k_r50\.onnx .*cut off or damaged"):
        read_weight_file(path)


def test_half_precision_is_loaded_as_float32(tmp_path: Path) -> None:
    halved = network(3).half().float()
    path = tmp_path / "half.onnx"
    path.write_bytes(Exporter(halved, merged=False, dtype="float16").write())
    loaded = network(4)
    load_weights(loaded, path)
    assert all(value.dtype == torch.float32 for value in loaded.parameters())
    assert weights_digest(loaded) == weights_digest(halved)


def test_another_graph_is_refused_with_what_was_expected() -> None:
    weights = {"w": np.ones((2, 3, 3, 3), np.float32), "v": np.ones(2, np.float32)}
    relu = model([node("Relu", ["x"], "y")], {}, ["x"])
    with pytest.raises(OnnxError, match=r"no iresnet50: expected Conv \(conv1\), got Relu"):
        read_iresnet50(relu)
    with pytest.raises(OnnxError, match=r"expected Conv \(conv1\), got the graph's end"):
        read_iresnet50(model([], {}, ["x"]))
    with pytest.raises(OnnxError, match="takes 2 inputs; a face network takes one"):
        read_iresnet50(model([], {}, ["x", "y"]))
    strided = model([node("Conv", ["x", "w"], "y", strides=[2, 2])], weights, ["x"])
    with pytest.raises(OnnxError, match=r"has strides \(2, 2\) at conv1; iresnet50 has 1"):
        read_iresnet50(strided)
    with pytest.raises(OnnxError, match="has no tensor for conv1: Conv lacks input 1"):
        read_iresnet50(model([node("Conv", ["x", "z"], "y")], weights, ["x"]))
    with pytest.raises(OnnxError, match=r"weights of shape \[2\] at conv1, expected 4 axes"):
        read_iresnet50(model([node("Conv", ["x", "v"], "y")], weights, ["x"]))


def test_a_unit_without_its_shortcut_is_refused() -> None:
    exporter = Exporter(network(3), merged=True)
    exporter.write()
    index = next(i for i, content in enumerate(exporter.nodes) if b"Add" in content)
    output = f"out{index}"
    inner = f"out{index - 2}"
    exporter.nodes[index] = node("Add", [inner, inner], output)
    with pytest.raises(OnnxError, match="not added to its shortcut"):
        read_iresnet50(model(exporter.nodes, exporter.tensors, ["image"]))


def test_a_norm_without_a_number_and_a_map_that_is_not_flattened_are_refused() -> None:
    exporter = Exporter(network(3), merged=True)
    whole = exporter.write()
    number = b"\x0a\x07epsilon\x15" + struct.pack("<f", 1e-5)
    assert number in whole
    with pytest.raises(OnnxError, match=r"no number as epsilon of layer1\.0\.bn1"):
        read_iresnet50(whole.replace(number, b"\x0a\x07epsilon\x18\x80\x80\x80\x01"))
    with pytest.raises(OnnxError, match="expected Flatten, got Flutter"):
        read_iresnet50(whole.replace(b"Flatten", b"Flutter"))


def test_damage_anywhere_ends_in_a_refusal_or_in_tensors() -> None:
    whole = Exporter(network(3), merged=True).write()
    generator = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 40):
            damaged[place] = generator.integers(0, 256)
        with contextlib.suppress(OnnxError):
            assert read_iresnet50(bytes(damaged))
