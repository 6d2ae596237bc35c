from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from extractors.ir50 import IR50
from extractors.networks import NETWORKS, NetworkSpec
from extractors.resnet18 import ResNet18
from extractors.running.face_network import FaceNetwork
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS
from extractors.weights.files import WeightsError
from extractors.weights.load import convert_weights, load_weights, save_weights
from extractors.weights.random import initialise
from extractors.weights.tensors import weights_digest
from tests.extractors.small import use_small_networks


@pytest.fixture(autouse=True)
def specs(monkeypatch: pytest.MonkeyPatch) -> dict[str, NetworkSpec]:
    return use_small_networks(monkeypatch)


def built(name: str, seed: int) -> nn.Module:
    module = NETWORKS[name].build()
    initialise(module, seed)
    return module


def state(name: str = "resnet18", seed: int = 3) -> dict[str, Tensor]:
    return dict(built(name, seed).state_dict())


def saved(folder: Path, content: Any) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_loads_what_it_saved(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(built(name, 3), path, {"network": name})
    module = built(name, 4)
    report = load_weights(module, path)
    assert report.digest == weights_digest(module) == weights_digest(built(name, 3))
    assert report.matched == len(module.state_dict())
    assert (report.kind, report.dropped, report.metadata) == ("safetensors", (), {"network": name})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_expression_literatures_checkpoint_loads_and_names_its_classifier(
    tmp_path: Path,
) -> None:
    content = {f"module.{name}": value for name, value in state().items()}
    content["module.fc.weight"] = torch.zeros(1000, 512)
    content["module.fc.bias"] = torch.zeros(1000)
    path = saved(tmp_path, {"epoch": 3, "state_dict": content, "best": torch.tensor(0.5)})
    module = built("resnet18", 4)
    report = load_weights(module, path)
    assert report.dropped == ("fc.weight", "fc.bias")
    assert report.unwrapped == ("state_dict", "module.")
    assert report.digest == weights_digest(built("resnet18", 3))


def test_the_digest_is_of_the_parameters_and_not_of_the_container(tmp_path: Path) -> None:
    tensors = state()
    older = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    digests = set()
    counted = {k: v + 5 if k.endswith("num_batches_tracked") else v for k, v in tensors.items()}
    for index, content in enumerate((tensors, {"state_dict": tensors}, older, counted)):
        path = tmp_path / f"{index}.pth"
        torch.save(content, path)
        digests.add(load_weights(built("resnet18", 4), path).digest)
    save_file(tensors, tmp_path / "weights.safetensors", metadata={"any": "thing"})
    digests.add(load_weights(built("resnet18", 4), tmp_path / "weights.safetensors").digest)
    assert len(digests) == 1


def test_the_digest_is_sha256_over_sorted_names_types_shapes_and_bytes() -> None:
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.copy_(torch.arange(6.0).view(2, 3))
        module.bias.copy_(torch.tensor([7.0, 9.0]))
    expected = hashlib.sha256(
        b"bias torch.float32 [2]\n"
        + np.array([7, 9], np.float32).tobytes()
        + b"weight torch.float32 [2, 3]\n"
        + np.arange(6, dtype=np.float32).tobytes()
    ).hexdigest()
    assert weights_digest(module) == expected
    with torch.no_grad():
        module.bias[0] = torch.nextafter(module.bias[0], torch.tensor(8.0))
    assert weights_digest(module) != expected


def test_half_precision_becomes_the_networks_own(tmp_path: Path) -> None:
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in state().items()}
    module = built("resnet18", 4)
    load_weights(module, saved(tmp_path, tensors))
    assert module.conv1.weight.dtype == torch.float32
    assert torch.equal(module.conv1.weight, tensors["conv1.weight"].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("conv1.weight"), r"does not fit ResNet18\n  1 missing: conv1.weight"),
        (lambda t: t.update(extra=torch.ones(1)), "1 unexpected: extra"),
        (
            lambda t: t.update({"bn1.bias": torch.ones(5)}),
            r"1 misshapen: bn1.bias: \[5\], not \[4\]",
        ),
        (lambda t: t["bn1.bias"].fill_(float("nan")), r"bn1.bias holds nan, .* \(4 of 4 values\)"),
        (lambda t: t["bn1.bias"][:1].fill_(float("inf")), r"bn1.bias holds .* \(1 of 4 values\)"),
        (lambda t: t["bn1.running_var"][:1].fill_(-1.0), "bn1.running_var holds .*negative"),
        (
            lambda t: t.update({"bn1.bias": torch.full((4,), 1e300, dtype=torch.float64)}),
            "bn1.bias holds nan, inf",
        ),
        (
            lambda t: t.update({"bn1.bias": torch.ones(4, dtype=torch.int64)}),
            "bn1.bias is torch.int64, expected torch.float32",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_the_network_stays_as_it_was(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], message: str
) -> None:
    tensors = {name: value.clone() for name, value in state().items()}
    change(tensors)
    module = built("resnet18", 4)
    before = weights_digest(module)
    with pytest.raises(WeightsError, match=message):
        load_weights(module, saved(tmp_path, tensors))
    assert weights_digest(module) == before


@pytest.mark.slow
def test_weights_of_another_network_are_recognised(tmp_path: Path) -> None:
    path = saved(tmp_path, state("resnet18"))
    with pytest.raises(WeightsError, match="does not fit IR50: this file looks like resnet18\n"):
        load_weights(built("ir50", 1), path)


def test_weights_of_another_width_are_no_other_network(tmp_path: Path) -> None:
    path = saved(tmp_path, ResNet18(width=6).state_dict())
    with pytest.raises(WeightsError, match=r"does not fit ResNet18\n  100 misshapen: conv1.weight"):
        load_weights(built("resnet18", 1), path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        load_weights(built("resnet18", 1), tmp_path / "none.pth")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_random_weights_follow_their_seed_alone_and_keep_activations_in_bounds(name: str) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    module = built(name, 5)
    torch.manual_seed(8)
    again = built(name, 5)
    assert weights_digest(module) == weights_digest(again) != weights_digest(built(name, 6))
    torch.manual_seed(7)
    initialise(again, 9)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.inference_mode():
        deviation = module.eval()(torch.randn(7, 3, 32, 32)).std()
    # Of resnet29's shortcuts half of the channels are zeros wherever their number doubles.
    assert (0.02 if name == "resnet29" else 0.1) < deviation < 10


@pytest.mark.slow
def test_random_weights_of_the_real_ir50_keep_activations_in_bounds() -> None:
    module = IR50().eval()
    initialise(module, 0)
    with torch.inference_mode():
        assert 0.1 < module(torch.randn(1, 3, 112, 112)).std() < 10


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        initialise(ResNet18(width=2), -1)


def test_saving_where_no_folder_is_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"weights\.safetensors can't be written"):
        save_weights(built("resnet18", 1), tmp_path / "none" / "weights.safetensors", {})


def test_saving_that_breaks_off_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"whole")

    def break_off(tensors: object, part: Path, metadata: object) -> None:
        part.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("extractors.weights.load.save_file", break_off)
    with pytest.raises(OSError, match="can't be written: No space left on device"):
        save_weights(built("resnet18", 1), path, {})
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b"whole")]


def test_converting_keeps_the_parameters_and_writes_their_source(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": state() | {"fc.weight": torch.zeros(7, 32)}})
    target = tmp_path / "out.safetensors"
    report = convert_weights(path, target, "resnet18")
    assert report.digest == weights_digest(built("resnet18", 3))
    assert load_weights(built("resnet18", 4), target).digest == report.digest
    with safe_open(target, framework="pt") as file:
        assert file.metadata() == {
            "network": "resnet18",
            "source": "weights.pth",
            "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "source_channel_order": "rgb",
            "dropped": "fc.weight",
            "weights_digest": report.digest,
        }


def test_weights_that_take_blue_first_give_the_same_numbers_after_conversion(
    tmp_path: Path,
) -> None:
    spec = NETWORKS["vggface"]
    path = saved(tmp_path, state("vggface", 3))
    target = tmp_path / "out.safetensors"
    report = convert_weights(path, target, "vggface", channel_order="bgr")
    turned = spec.build()
    assert load_weights(turned, target).digest == report.digest
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = built("vggface", 3)(images.flip(1))
        torch.testing.assert_close(turned(images), expected, rtol=1e-4, atol=1e-5)
    crops = np.zeros((1, 32, 32, 3), np.uint8)
    settings = NetworkSettings(views=VIEW_SETS["basic"])
    assert FaceNetwork(spec, turned, settings).extract(crops)["basic"].shape == (1, 5)


def test_converting_to_an_unknown_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no network is called 'vgg'; there are ir50, "):
        convert_weights(tmp_path / "a", tmp_path / "b", "vgg")
    with pytest.raises(WeightsError, match="does not exist"):
        convert_weights(tmp_path / "a", tmp_path / "b", "vggface")
