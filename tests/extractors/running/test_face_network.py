from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extractors.networks import NETWORKS, NetworkSpec
from extractors.other_networks.iresnet50 import IResNet50
from extractors.running import batch_sizes
from extractors.running.face_network import Begun, FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS, ViewSettings
from extractors.weights.files import WeightsError
from extractors.weights.random import initialise
from extractors.weights.tensors import weights_digest
from tests.extractors.onnx_writer import Exporter
from tests.extractors.small import (
    ROUNDING,
    give_statistics,
    needs_bfloat16,
    skip_without,
    small_specs,
    use_small_networks,
)

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
FEW = ViewSettings(rotations=(0.0, 5.0), scales=(1.0,))
SPECS = small_specs()
PLAIN = {"batch_size": 2, "channels_last": False, "merge_norms": False, "order_weights": False}


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)


def network(
    spec: NetworkSpec, settings: NetworkSettings | None = None, **options: Any
) -> FaceNetwork:
    module = spec.build()
    initialise(module, 3)
    give_statistics(module)
    return FaceNetwork(spec, module, settings or NetworkSettings(views=FEW), **options)


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize("layer", ["", "pooled"])
def test_it_yields_the_statistics_of_the_views_embeddings(
    name: str, layer: str, crops: np.ndarray
) -> None:
    spec = SPECS[name]
    net = network(spec, NetworkSettings(layer=layer, views=FEW))
    found = net.extract(crops)
    assert set(found) == {"basic", "mean", "std"}
    embeddings = net.embed(crops).numpy()
    assert embeddings.shape == (7, 4, net.dim)
    assert net.dim == spec.layers[layer or spec.default_layer]
    for values in found.values():
        assert values.shape == (7, net.dim)
        assert values.dtype == np.float32
    scale = np.abs(embeddings).max()
    np.testing.assert_allclose(found["basic"], embeddings[:, 0], atol=ROUNDING * scale)
    np.testing.assert_allclose(found["mean"], embeddings.mean(axis=1), atol=ROUNDING * scale)
    np.testing.assert_allclose(found["std"], embeddings.std(axis=1), atol=ROUNDING * scale)
    assert (found["std"] > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SPECS))
def test_batches_pixel_layout_and_merged_norms_change_nothing_beyond_rounding(
    name: str, crops: np.ndarray
) -> None:
    spec = SPECS[name]
    expected = network(spec, batch_size=7).extract(crops)
    scale = np.abs(expected["mean"]).max()
    for options in ({"batch_size": 1}, {"batch_size": 3}, {"channels_last": False}, PLAIN):
        found = network(spec, **options).extract(crops)
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, atol=ROUNDING * scale, err_msg=key)


def test_batches_filled_up_to_few_sizes_as_on_a_gpu_change_nothing_beyond_rounding(
    crops: np.ndarray,
) -> None:
    net = network(SPECS["resnet18"], batch_size=5)
    expected = net.extract(crops)
    sizes: list[int] = []
    net.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    net.pads = True
    for count, filled in ((7, [5, 2]), (3, [4]), (1, [1]), (0, [])):
        sizes.clear()
        found = net.extract(crops[:count])
        assert sizes == [4 * number for number in filled]  # four views
        for key, values in expected.items():
            scale = np.abs(values).max()
            np.testing.assert_allclose(found[key], values[:count], atol=ROUNDING * scale)


# As shares of the largest value. In float32, other convolutions add up in another order. bfloat16
# has 8 bits and float16 11: a rounding is 0.4 and 0.05 %, and some fifty follow each other.
ON_A_GPU: list[tuple[Precision, float]] = [
    ("float32", 1e-4),
    ("bfloat16", 5e-2),
    ("float16", 1e-2),
]


def assert_close(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], share: float
) -> None:
    assert set(found) == set(expected)
    largest = np.abs(expected["basic"]).max()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=0, atol=share * largest, err_msg=key)


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize("layer", ["", "pooled"])
@pytest.mark.parametrize(("precision", "share"), ON_A_GPU)
def test_a_gpu_yields_what_the_processor_yields(
    name: str, layer: str, precision: Precision, share: float, crops: np.ndarray, gpu: str
) -> None:
    expected = network(SPECS[name], NetworkSettings(layer=layer, views=FEW)).extract(crops)
    skip_without(precision, gpu)
    settings = NetworkSettings(layer=layer, views=FEW, precision=precision)
    net = network(SPECS[name], settings, device=gpu, batch_size=5)
    assert_close(net.extract(crops), expected, share)
    if precision == "float32":
        assert net.deviation is None
    else:
        assert net.deviation is not None
        assert 0 < net.deviation["max_relative"] < share
        assert net.deviation["min_cosine"] > 1 - share


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize(("precision", "share"), ON_A_GPU)
def test_a_gpu_yields_what_the_processor_yields_in_the_published_sizes(
    name: str, precision: Precision, share: float, gpu: str
) -> None:
    skip_without(precision, gpu)
    images = np.random.default_rng(7).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    basic = VIEW_SETS["basic"]
    expected = network(NETWORKS[name], NetworkSettings(views=basic)).extract(images)
    settings = NetworkSettings(views=basic, precision=precision)
    found = network(NETWORKS[name], settings, device=gpu).extract(images)
    assert_close(found, expected, share)


@pytest.mark.parametrize("name", list(SPECS))
def test_on_a_gpu_a_crop_yields_alone_what_it_yields_within_a_batch(
    name: str, crops: np.ndarray, gpu: str
) -> None:
    net = network(SPECS[name], device=gpu, batch_size=7)
    together = net.extract(crops)
    for row in range(3):
        alone = net.extract(crops[row : row + 1])
        for key, values in together.items():
            largest = np.abs(values).max()
            np.testing.assert_allclose(alone[key][0], values[row], atol=1e-4 * largest)


@pytest.mark.parametrize("name", list(SPECS))
def test_on_a_gpu_identical_views_have_no_deviation(name: str, crops: np.ndarray, gpu: str) -> None:
    mirror = NetworkSettings(views=ViewSettings(rotations=(0.0,), scales=(1.0,)))
    crops = crops[:, :32, :32]  # the networks' own size: resizing rounds left and right apart
    symmetric = np.maximum(crops, crops[:, :, ::-1])
    found = network(SPECS[name], mirror, device=gpu).extract(symmetric)
    assert (found["std"] == 0).all()
    np.testing.assert_array_equal(found["mean"], found["basic"])


def test_on_a_gpu_batches_are_large_and_filled_up_to_a_power_of_two(
    crops: np.ndarray, gpu: str
) -> None:
    net = network(SPECS["resnet18"], device=gpu)
    if gpu.startswith("cuda"):
        assert net.pads
        assert net.batch_size == min(batch_sizes.CROPS_ON_GPU, batch_sizes.VIEWS_ON_GPU // 4)
    net.pads, net.batch_size = True, 5
    sizes: list[int] = []
    net.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    expected = network(SPECS["resnet18"]).extract(crops)
    for count, filled in ((7, [5, 2]), (3, [4]), (1, [1]), (0, [])):
        sizes.clear()
        found = net.extract(crops[:count])
        assert sizes == [4 * number for number in filled]
        for key, values in expected.items():
            largest = np.abs(values).max()
            np.testing.assert_allclose(found[key], values[:count], rtol=0, atol=1e-4 * largest)


def test_a_network_that_runs_out_of_memory_halves_its_batches(
    crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(SPECS["resnet18"], batch_size=7)
    expected = net.extract(crops)
    errors = iter(
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
            RuntimeError("GET was unable to find an engine to execute this computation"),
        ]
    )
    monkeypatch.setattr(net, "begin", lambda images: raise_next(errors, net, images))
    net.batch_size = 16
    assert_close(net.extract(crops), expected, ROUNDING)
    assert net.batch_size == 2
    net.batch_size = 1
    monkeypatch.setattr(net, "begin", lambda _: raise_next(iter([RuntimeError("out of memory")])))
    with pytest.raises(RuntimeError, match="out of memory"):
        net.extract(crops)


def raise_next(
    errors: Iterator[Exception], net: FaceNetwork | None = None, images: np.ndarray | None = None
) -> Begun:
    for error in errors:
        raise error
    assert net is not None
    assert images is not None
    return FaceNetwork.begin(net, images)


def test_on_a_gpu_the_rows_of_an_onnx_file_are_embedded(
    crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    use_small_networks(monkeypatch)
    module = SPECS["iresnet50"].build()
    initialise(module, 3)
    give_statistics(module)
    assert isinstance(module, IResNet50)
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(Exporter(module.eval(), merged=True).write())
    settings = NetworkSettings(views=FEW)
    expected = load_face_network("iresnet50", path, settings)
    found = load_face_network("iresnet50", path, settings, device=gpu)
    assert found.weights_digest == expected.weights_digest
    assert_close(found.extract(crops), expected.extract(crops), 1e-4)
    assert_close(found.extract(crops), network(SPECS["iresnet50"]).extract(crops), 1e-4)


def test_a_second_gpu_computes_what_it_is_asked_to(crops: np.ndarray, second_gpu: str) -> None:
    before = torch.cuda.max_memory_allocated(second_gpu), torch.cuda.memory_allocated(0)
    net = network(SPECS["resnet18"], device=second_gpu, batch_size=5)
    assert_close(net.extract(crops), network(SPECS["resnet18"]).extract(crops), 1e-4)
    assert torch.cuda.max_memory_allocated(second_gpu) > before[0]
    assert torch.cuda.memory_allocated(0) == before[1]


def test_the_same_crops_yield_the_same_bits(crops: np.ndarray) -> None:
    net = network(SPECS["resnet18"])
    first, second = net.extract(crops), net.extract(crops)
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_pixels_are_normalised_by_the_table_in_rgb_order() -> None:
    spec = replace(SPECS["resnet18"], mean=(10.0, 20.0, 30.0), deviation=(1.0, 2.0, 5.0))
    net = network(spec, NetworkSettings(views=VIEW_SETS["basic"]))
    seen: list[torch.Tensor] = []
    net.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.extract(np.full((1, 32, 32, 3), (11, 24, 45), np.uint8))
    assert seen[0][0, :, 3, 5].tolist() == [1.0, 2.0, 3.0]


def test_crops_are_resized_to_what_the_network_takes(crops: np.ndarray) -> None:
    spec = SPECS["resnet18"]
    net = network(spec, NetworkSettings(views=VIEW_SETS["basic"], image_size=48))
    seen: list[torch.Tensor] = []
    net.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.extract(crops)
    assert seen[0].shape == (7, 3, 48, 48)
    assert net.settings.image_size == 48


def test_one_view_yields_the_basic_embedding_alone(crops: np.ndarray) -> None:
    basic = network(SPECS["ir50"], NetworkSettings(views=VIEW_SETS["basic"])).extract(crops)
    assert set(basic) == {"basic"}
    every = network(SPECS["ir50"]).extract(crops)
    scale = np.abs(basic["basic"]).max()
    np.testing.assert_allclose(basic["basic"], every["basic"], atol=ROUNDING * scale)


@pytest.mark.parametrize("name", list(SPECS))
def test_identical_views_have_no_deviation_bit_for_bit(name: str, crops: np.ndarray) -> None:
    mirror = ViewSettings(rotations=(0.0,), scales=(1.0,))  # the crop and its mirror image
    crops = crops[:, :32, :32]  # the networks' own size: resizing rounds left and right apart
    symmetric = np.maximum(crops, crops[:, :, ::-1])
    found = network(SPECS[name], NetworkSettings(views=mirror)).extract(symmetric)
    assert (found["std"] == 0).all()
    assert (network(SPECS[name], NetworkSettings(views=mirror)).extract(crops)["std"] > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SPECS))
def test_views_in_several_passes_yield_what_one_pass_yields(
    name: str, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SPECS[name]
    expected = network(spec, batch_size=len(crops)).extract(crops)
    monkeypatch.setattr(batch_sizes, "MAP_BYTES_ON_CPU", 2 * spec.map_bytes(32))
    net = network(spec)
    sizes: list[int] = []
    net.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    found = net.extract(crops)
    assert sizes == [2] * 2 * len(crops)  # of four views
    for key, values in expected.items():
        scale = np.abs(expected["mean"]).max()
        np.testing.assert_allclose(found[key], values, atol=ROUNDING * scale, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SPECS))
def test_identical_views_in_different_passes_are_the_same_bit_for_bit(
    name: str, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_sizes, "MAP_BYTES_ON_CPU", 2 * SPECS[name].map_bytes(32))
    crops = crops[:, :32, :32]
    symmetric = np.maximum(crops, crops[:, :, ::-1])
    views = network(SPECS[name]).embed(symmetric)  # two rotations, then both mirrored
    assert torch.equal(views[:, 0], views[:, 2])
    assert not torch.equal(views[:, 1], views[:, 3])


def test_no_crops_yield_empty_arrays(crops: np.ndarray) -> None:
    found = network(SPECS["vggface"]).extract(crops[:0])
    assert {key: values.shape for key, values in found.items()} == {
        "basic": (0, 5),
        "mean": (0, 5),
        "std": (0, 5),
    }


def test_settings_are_resolved_so_that_one_result_has_one_key() -> None:
    asked = network(SPECS["ir50"], NetworkSettings(layer="embedding", image_size=32)).settings
    assert network(SPECS["ir50"], NetworkSettings()).settings == asked


def test_it_is_frozen_in_evaluation_mode() -> None:
    net = network(SPECS["ir50"])
    assert not net.module.training
    assert not any(parameter.requires_grad for parameter in net.module.parameters())
    module = SPECS["ir50"].build()
    initialise(module, 3)
    give_statistics(module)
    assert net.weights_digest == weights_digest(module)


def test_read_only_crops_are_taken_without_a_warning(crops: np.ndarray) -> None:
    crops.flags.writeable = False
    assert network(SPECS["resnet18"]).extract(crops)["basic"].shape == (7, 32)


@needs_bfloat16
@pytest.mark.slow
def test_bfloat16_stays_near_float32_and_says_how_near(crops: np.ndarray) -> None:
    rounded = network(SPECS["ir50"], NetworkSettings(views=FEW, precision="bfloat16"))
    measured = rounded.deviation_from_float32(crops)
    assert 0 < measured["max_relative"] < 0.05
    assert 0.999 < measured["min_cosine"] <= 1.000001
    exact = network(SPECS["ir50"]).deviation_from_float32(crops)
    assert exact["max_relative"] == 0
    assert rounded.extract(crops)["basic"].dtype == np.float32


def test_embeddings_that_are_not_finite_are_refused(crops: np.ndarray) -> None:
    net = network(SPECS["resnet18"], order_weights=False)
    with torch.no_grad():
        net.module.conv1.weight.mul_(1e38)
    with pytest.raises(ValueError, match="resnet18 in float32 gave values that are nan or inf"):
        net.extract(crops)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (NetworkSettings(layer="fc6"), {}, "ir50 has the layers embedding, pooled, not 'fc6'"),
        (NetworkSettings(image_size=64), {}, "ir50 takes images of 32 pixels only, got .* 64"),
        (NetworkSettings(image_size=-1), {}, "got image_size -1"),
        (NetworkSettings(), {"batch_size": -1}, "batch_size must not be negative, got -1"),
    ],
)
def test_what_the_network_does_not_offer_is_refused(
    settings: NetworkSettings, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(SPECS["ir50"], settings, **options)
    with pytest.raises(ValueError, match=r"resnet18 .* got image_size -3"):
        network(SPECS["resnet18"], NetworkSettings(image_size=-3))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, float16, got 'int8'"):
        NetworkSettings(precision="int8")  # type: ignore[arg-type]  # a wrong value is what is tested


def test_crops_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="square RGB images"):
        network(SPECS["ir50"]).extract(np.zeros((2, 5, 7, 3), np.uint8))


@pytest.mark.slow
def test_loading_by_name_fills_from_the_file_or_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_networks(monkeypatch)
    drawn = load_face_network("ir50", None, seed=7)
    assert drawn.weights_digest == load_face_network("ir50", None, seed=7).weights_digest
    assert drawn.weights_digest != load_face_network("ir50", None, seed=8).weights_digest
    path = tmp_path / "ir50.safetensors"
    module = NETWORKS["ir50"].build()
    initialise(module, 7)
    save_file(module.state_dict(), path)
    loaded = load_face_network("ir50", path, NetworkSettings(layer="pooled"), batch_size=2)
    assert loaded.weights_digest == drawn.weights_digest
    assert (loaded.settings.layer, loaded.batch_size) == ("pooled", 2)
    with pytest.raises(WeightsError, match="does not exist"):
        load_face_network("ir50", tmp_path / "none.pth")
    with pytest.raises(ValueError, match="no network is called 'ir500'; there are ir50"):
        load_face_network("ir500", None)
    with pytest.raises(ValueError, match="not 'fc9'"):
        load_face_network("ir50", None, NetworkSettings(layer="fc9"))


def test_the_table_holds_the_real_networks_again_after_the_test_above() -> None:
    assert NETWORKS["ir50"].image_size == 112
