"""Values are read a piece at a time, whatever the file: the same digest and little memory."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from extractors.networks import NETWORKS
from extractors.other_networks.iresnet50 import IResNet50
from extractors.running.face_network import examine_face_network, load_face_network
from extractors.weights import random, tensors
from extractors.weights.files import WeightsError, read_weight_file
from extractors.weights.load import examine_weights, load_weights
from extractors.weights.random import initialise, random_weights
from extractors.weights.tensors import digest_tensors, in_memory, weights_digest
from tests.extractors.onnx_writer import Exporter
from tests.extractors.small import give_statistics, small_specs

SPECS = small_specs()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors of small networks have several pieces, the last one not full."""
    monkeypatch.setattr(tensors, "PIECE", 101)
    monkeypatch.setattr(random, "PIECE", 101)


def built(name: str, seed: int = 3) -> nn.Module:
    module = SPECS[name].build()
    initialise(module, seed)
    give_statistics(module)
    return module.eval()


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return SPECS[name].build()


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: v.half() if v.is_floating_point() and v.ndim > 1 else v for n, v in state.items()}


def compressed(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


WRITERS: dict[str, Callable[[dict[str, Tensor], Path], Any]] = {
    "safetensors": save_file,
    "safetensors in half precision": lambda state, path: save_file(halved(state), path),
    "pth": torch.save,
    "pth in half precision": lambda state, path: torch.save(halved(state), path),
    "pth in double precision": lambda state, path: torch.save(
        {n: v.double() if v.is_floating_point() else v for n, v in state.items()}, path
    ),
    "pth before 1.6": lambda state, path: torch.save(
        state, path, _use_new_zipfile_serialization=False
    ),
    "checkpoint": lambda state, path: torch.save(
        {"state_dict": {f"module.{n}": v for n, v in state.items()}, "best": torch.ones(1)}, path
    ),
    "views of one storage": lambda state, path: torch.save(
        {
            name: torch.cat([torch.zeros(7, dtype=v.dtype), v.reshape(-1)])[7:].view(v.shape)
            for name, v in state.items()
        },
        path,
    ),
    "transposed": lambda state, path: torch.save(
        {n: v.T.contiguous().T if v.ndim == 2 else v for n, v in state.items()}, path
    ),
    "compressed": compressed,
}


@pytest.mark.parametrize("kind", list(WRITERS))
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n != "resnet18" else ()) for n in SPECS],
)
def test_a_file_has_the_digest_of_the_network_that_it_becomes(
    name: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    WRITERS[kind](dict(built(name).state_dict()), path)
    loaded = built(name, seed=4)
    report = load_weights(loaded, path)
    assert report.digest == weights_digest(loaded)
    assert examine_weights(on_meta(name), path) == report


@pytest.mark.parametrize("options", [{}, {"transposed": True}, {"dtype": "float16"}])
@pytest.mark.parametrize("merged", [True, False])
def test_an_onnx_file_has_the_digest_of_the_network_that_it_becomes(
    merged: bool, options: dict[str, Any], tmp_path: Path
) -> None:
    source = built("iresnet50")
    assert isinstance(source, IResNet50)
    path = tmp_path / "weights.onnx"
    path.write_bytes(Exporter(source, merged=merged, **options).write())
    loaded = built("iresnet50", seed=4)
    report = load_weights(loaded, path)
    assert report.digest == weights_digest(loaded)
    assert examine_weights(on_meta("iresnet50"), path) == report


@pytest.mark.parametrize("name", list(SPECS))
def test_random_weights_have_the_digest_of_the_network_that_is_filled(name: str) -> None:
    module = SPECS[name].build()
    initialise(module, 5)
    assert digest_tensors(random_weights(on_meta(name), 5)) == weights_digest(module)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("conv1.weight"), r"does not fit ResNet18\n  1 missing: conv1.weight"),
        (lambda t: t.update(extra=torch.ones(1)), "1 unexpected: extra"),
        (lambda t: t.update({"bn1.bias": torch.ones(5)}), r"1 misshapen: bn1.bias: \[5\], not"),
        (lambda t: t["conv1.weight"].view(-1)[450:500].fill_(float("nan")), r"nan, .* \(50 of 588"),
        (lambda t: t["bn1.bias"][:1].fill_(float("-inf")), r"bn1.bias holds .* \(1 of 4 values\)"),
        (lambda t: t["bn1.running_var"][:1].fill_(-1.0), "bn1.running_var holds .*negative"),
        (lambda t: t.update({"bn1.bias": torch.ones(4).double() * 1e99}), "bn1.bias hol"),
        (lambda t: t.update({"bn1.bias": torch.ones(4).long()}), "bn1.bias is torch.int64, expect"),
    ],
)
def test_a_file_is_refused_unloaded_as_it_is_refused_loaded(
    change: Callable[[dict[str, Tensor]], Any], message: str, tmp_path: Path
) -> None:
    state = {name: value.clone() for name, value in built("resnet18").state_dict().items()}
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=message) as unloaded:
        examine_weights(on_meta("resnet18"), tmp_path / "weights.pth")
    with pytest.raises(WeightsError) as loaded:
        load_weights(built("resnet18"), tmp_path / "weights.pth")
    assert str(unloaded.value) == str(loaded.value)


def test_large_values_whose_sum_overflows_are_no_damage(tmp_path: Path) -> None:
    state = dict(built("resnet18").state_dict())
    state["bn1.bias"] = torch.full((4,), 3e38)
    torch.save(state, tmp_path / "weights.pth")
    assert examine_weights(on_meta("resnet18"), tmp_path / "weights.pth").matched == len(state)


def test_an_archive_of_a_machine_with_another_order_of_bytes_is_read(tmp_path: Path) -> None:
    # On the meta device PyTorch reverses values that are not there, and crashes.
    path, values = tmp_path / "weights.pth", torch.arange(7.0)
    torch.save(
        {"a": values.view(torch.uint8).view(7, 4).flip(1).reshape(-1).view(values.dtype)}, path
    )
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            order = b"big" if sys.byteorder == "little" else b"little"
            archive.writestr(name, order if name.endswith("byteorder") else content)
    assert torch.equal(read_weight_file(path).tensors["a"].read(), values)


def test_a_file_that_is_cut_off_after_its_header_was_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(307)}, path)
    tensor = read_weight_file(path).tensors["a"]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"weights.safetensors ended while it was read"):
        tensor.read()


def test_tensors_come_back_whole_whatever_their_shape() -> None:
    for values in (torch.rand(2, 3, 101), torch.tensor(5), torch.ones(3, 0), torch.rand(7, 5).T):
        assert torch.equal(in_memory(values).read(), values)


@pytest.mark.slow
def test_a_network_is_examined_as_it_is_loaded(tmp_path: Path) -> None:
    initialise(module := NETWORKS["resnet18"].build(), 3)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    for file in (tmp_path / "weights.pth", None):
        examined, loaded = (
            examine_face_network("resnet18", file),
            load_face_network("resnet18", file),
        )
        assert examined.weights_digest == loaded.weights_digest
        assert (examined.settings, examined.facts) == (loaded.settings, loaded.facts)


CODE = """
import sys
from pathlib import Path
from extractors.running.face_network import examine_face_network
def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
examine_face_network("resnet18", None)
before = peak()
for name, path in zip(sys.argv[1::2], sys.argv[2::2]):
    examine_face_network(name, Path(path) if path else None)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_networks_of_half_a_gigabyte_are_examined_in_little_memory(tmp_path: Path) -> None:
    module = NETWORKS["iresnet50"].build()
    initialise(module, 3)
    state = dict(module.state_dict())
    torch.save({"state_dict": state}, tmp_path / "iresnet50.pth")
    save_file(state, tmp_path / "iresnet50.safetensors")
    assert isinstance(module, IResNet50)
    onnx = tmp_path / "iresnet50.onnx"
    onnx.write_bytes(Exporter(module.eval(), merged=False).write())
    files = [f"iresnet50.{kind}" for kind in ("pth", "safetensors", "onnx")]
    arguments = [part for name in files for part in ("iresnet50", str(tmp_path / name))]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments, "vggface", ""],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    # The networks have 174 and 470 MB; a plan may take 150 MB.
    assert int(done.stdout) < 120
