"""``avfuse weights``: what the Python calls say, printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from extractors.networks import NETWORKS
from extractors.running.face_network import load_face_network
from extractors.weights.random import initialise
from extractors.weights.tensors import weights_digest
from pipeline.cli import main
from tests.extractors.small import use_small_networks
from tests.pipeline.default_weights import FACTS, ship_small_default


@pytest.fixture
def weight_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_small_networks(monkeypatch)
    module = NETWORKS["resnet18"].build()
    initialise(module, 3)
    path = tmp_path / "weights.pth"
    tensors = dict(module.state_dict()) | {"fc.weight": torch.zeros(7, 32)}
    torch.save({"state_dict": tensors}, path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["weights", *map(str, arguments)])


def test_list_names_every_network_with_its_layers() -> None:
    found = json.loads(run("list", "--json").output)
    assert [row["network"] for row in found] == list(NETWORKS)
    assert found[0] == {
        "network": "ir50",
        "image_size": 112,
        "any_size": False,
        "layers": {"embedding": 512, "pooled": 512},
        "default_layer": "embedding",
        "source": NETWORKS["ir50"].source,
        "default": None,
    }
    lines = run("list").output.splitlines()
    assert len(lines) == len(NETWORKS) + 2
    assert "fc6 (4096), pooled (512)" in lines[-1]


def test_check_says_what_a_file_is(weight_file: Path) -> None:
    module = NETWORKS["resnet18"].build()
    initialise(module, 3)
    result = run("check", weight_file)
    assert result.exit_code == 0
    assert f"{weight_file} is resnet18: every parameter matches" in result.output
    assert weights_digest(module) in result.output
    assert "left out, as parts of a classifier: fc.weight" in result.output
    found = json.loads(run("check", weight_file, "--json").output)
    assert (found["network"], found["digest"]) == ("resnet18", weights_digest(module))
    assert found["unwrapped"] == ["state_dict"]
    assert found["candidates"][0]["matched"] == 120


def test_check_says_what_does_not_match(weight_file: Path) -> None:
    content = torch.load(weight_file)["state_dict"]
    del content["bn1.weight"]
    torch.save(content, weight_file)
    result = run("check", weight_file)
    assert result.exit_code == 1
    assert "fits no network" in result.output
    assert "nearest: resnet18, 119 parameters match" in result.output
    assert "1 missing: bn1.weight" in result.output
    found = json.loads(run("check", weight_file, "--json").stdout)
    assert found["candidates"][0]["missing"] == ["bn1.weight"]
    assert found["network"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"text", "no weight file"), (None, "does not exist")],
)
def test_check_of_what_is_no_weight_file_exits_with_1(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    result = run("check", path)
    assert result.exit_code == 1
    assert message in result.output
    found = json.loads(run("check", path, "--json").stdout)
    assert message in found["problem"]
    assert found["candidates"] == []


@pytest.mark.slow
def test_check_of_a_strange_state_dict_says_so(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"layer.weight": torch.ones(2)}, path)
    result = run("check", path)
    assert result.exit_code == 1
    assert "it has no parameter of ir50, iresnet50, resnet18, resnet29, vggface" in result.output


def test_check_finds_nan(weight_file: Path) -> None:
    content = torch.load(weight_file)["state_dict"]
    content["bn1.weight"][0] = float("nan")
    torch.save(content, weight_file)
    result = run("check", weight_file)
    assert result.exit_code == 1
    assert "bn1.weight holds nan" in result.output


@pytest.mark.slow
def test_convert_writes_what_check_then_accepts(weight_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    result = run("convert", weight_file, "-o", out, "--network", "resnet18")
    assert result.exit_code == 0, result.output
    assert "left out, as parts of a classifier: fc.weight" in result.output
    found = json.loads(run("check", out, "--json").output)
    assert (found["network"], found["kind"]) == ("resnet18", "safetensors")
    assert found["metadata"]["source"] == "weights.pth"
    assert "source_sha256" in run("check", out).output

    again = run("convert", weight_file, "-o", out, "--network", "resnet18")
    assert again.exit_code == 2
    assert "exists; pass --overwrite to replace it" in again.output
    bgr = run(
        *("convert", weight_file, "-o", out, "--network", "resnet18", "--overwrite"),
        *("--channel-order", "bgr"),
    )
    assert bgr.exit_code == 0
    assert json.loads(run("check", out, "--json").output)["digest"] != found["digest"]


def test_convert_refuses_what_does_not_fit(weight_file: Path, tmp_path: Path) -> None:
    result = run("convert", weight_file, "-o", tmp_path / "out.safetensors", "--network", "ir50")
    assert result.exit_code == 2
    assert "this file looks like resnet18" in result.output
    assert not (tmp_path / "out.safetensors").exists()
    result = run("convert", weight_file, "-o", tmp_path / "out.pth", "--network", "resnet18")
    assert result.exit_code == 2
    assert "ends in .safetensors" in result.output
    assert run("convert", weight_file, "-o", tmp_path / "o.safetensors").exit_code == 2


def test_list_and_check_tell_of_the_weights_that_come_with_avfuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ship_small_default(monkeypatch, tmp_path / "default.safetensors")
    row = next(r for r in json.loads(run("list", "--json").output) if r["network"] == "resnet29")
    assert row["default"]["file"] == str(path)
    assert row["default"]["accuracy"] == "75.00 % of 8 images of FER+ test"
    assert f"comes with avfuse: {path}, right on 75.00 %" in run("list").output
    checked = run("check", path)
    assert checked.exit_code == 0
    assert "classes  neutral, happy" in checked.output
    assert "input    24 pixels, grey, enlarged from 12" in checked.output
    assert "framing  extend 0.5, lift 0.1" in checked.output
    assert "{" not in checked.output
    path.unlink()
    assert f"{path} does not exist" in run("list").output


def test_a_converted_file_still_says_how_its_network_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ship_small_default(monkeypatch, tmp_path / "default.safetensors")
    out = tmp_path / "out.safetensors"
    assert run("convert", path, "-o", out, "--network", "resnet29").exit_code == 0
    assert load_face_network("resnet29", out).facts == FACTS


def test_check_refuses_a_file_that_says_nonsense_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(FACTS, image_size=0)
    path = ship_small_default(monkeypatch, tmp_path / "w.safetensors", facts=facts)
    result = run("check", path)
    assert result.exit_code == 1
    assert "its header states image_size 0, expected a whole number from 1" in result.stderr
