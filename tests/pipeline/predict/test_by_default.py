"""The network that avfuse ships, taken where no weights are named: planned, keyed and refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cache.sets.feature_set import find_set
from cache.settings import settings_from
from extractors.weights import default as default_network
from extractors.weights.files import WeightsError
from pipeline.extract.plan import Plan, plan_sets, tell_default
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError
from pipeline.faces.settings import CropSettings, resolve_framing
from pipeline.predict.replay import Recorded, replay_plans
from tests.pipeline.command import avfuse
from tests.pipeline.default_weights import FACTS, ship_small_default


def plan(tmp_path: Path, sets: Sequence[str] = ("resnet29",), **values: Any) -> Plan:
    settings = settings_from(StageOneSettings, values)
    return plan_sets(sets, settings, {}, cache=tmp_path / "c", device="cpu")


def test_without_weights_the_default_is_planned_as_its_file_says(
    default: Path, tmp_path: Path
) -> None:
    made = plan(tmp_path).sets[-1]
    assert not made.spec.untrained
    assert str(made.choice) == "default"
    assert (made.spec.settings["image_size"], made.spec.settings["colour"]) == (24, "grey")
    assert made.spec.settings["detail"] == 12
    crops = made.spec.settings["crops"]
    assert (crops["extend"], crops["lift"], crops["framing"]) == (0.5, 0.1, "given")
    assert tell_default(made).startswith(
        "resnet29: the default weights that come with avfuse, right on 75.00 % of 8 images of FER+"
    )


def test_other_default_weights_have_another_key(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(tmp_path).sets[-1].spec
    ship_small_default(monkeypatch, default, seed=4)
    second = plan(tmp_path).sets[-1].spec
    assert (first.weights, first.key) != (second.weights, second.key)
    assert first.settings == second.settings


def test_what_the_user_sets_goes_before_what_the_file_says(default: Path, tmp_path: Path) -> None:
    network = {"image_size": 48, "colour": "rgb", "detail": 20}
    found = plan(tmp_path, network=network, crops={"extend": 0.2}).sets[-1].spec.settings
    assert {name: found[name] for name in network} == network
    assert (found["crops"]["extend"], found["crops"]["lift"]) == (0.2, 0.0)
    papers = plan(tmp_path, crops={"framing": "given"}).sets[-1].spec.settings
    assert (papers["crops"]["extend"], papers["crops"]["lift"]) == (0.3, 0.0)


def test_each_of_these_is_in_the_key(default: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"network": {"colour": "rgb"}},
        {"network": {"detail": 24}},
        {"network": {"image_size": 48}},
        {"crops": {"framing": "given"}},
        {"crops": {"lift": 0.2}},
    ]
    keys = [plan(tmp_path, **change).sets[-1].spec.key for change in changes]
    assert len(set(keys)) == len(keys)


def test_weights_frame_aligned_faces_only() -> None:
    box = CropSettings(align="box")
    assert resolve_framing(box, FACTS) == replace(box, framing="given")
    assert resolve_framing(CropSettings(), None) == CropSettings(framing="given")


def test_a_network_that_ships_without_weights_asks_for_them(default: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="ir50 needs weights: pass --weights ir50=FILE"):
        plan(tmp_path, ["ir50", "resnet29"])
    result = avfuse(
        "extract", "m.csv", "--cache", tmp_path, "--sets", "ir50", "--weights", "ir50=default"
    )
    assert result.exit_code == 2


@pytest.mark.slow
def test_networks_with_other_framings_get_crops_of_their_own(
    default: Path, corpus: Path, clip: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"clip,path\nc,{clip}\n")
    basic = ("--views", "basic", "--jobs", "0")
    both = avfuse(
        *("extract", manifest, "--cache", tmp_path / "c", "--sets", "resnet29,vggface", *basic),
        *("--weights", "vggface=random"),
    )
    assert both.exit_code == 0, both.output
    assert both.stderr.count("the default weights that come with avfuse") == 1
    alone = avfuse(
        *("extract", manifest, "--cache", tmp_path / "d", "--sets", "resnet29", *basic),
        *("--weights", "resnet29=default"),
    )
    assert alone.exit_code == 0, alone.output
    stored = [find_set(tmp_path / name, "resnet29") for name in "cd"]
    assert stored[0].spec.key == stored[1].spec.key
    first, second = (one.read("c").arrays["basic"] for one in stored)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    assert stored[0].provenance["weights"] == "default"
    assert "75.00 %" in stored[0].provenance["accuracy_of_default"]
    random = find_set(tmp_path / "c", "vggface").spec
    assert random.untrained
    assert random.settings["crops"]["extend"] == 0.3
    other = avfuse(
        *("extract", manifest, "--cache", tmp_path / "e", "--sets", "resnet29,vggface", *basic),
        *("--weights", "vggface=random", "--set", "crops.framing=given"),
    )
    assert other.exit_code == 0, other.output
    third = find_set(tmp_path / "e", "resnet29").read("c").arrays["basic"]
    assert np.abs(first - third).max() > 1e-3 * np.abs(first).max()
    beside, among = (find_set(tmp_path / name, "vggface") for name in "ce")
    assert beside.spec.key == among.spec.key  # whose crops are the papers' either way
    values = [one.read("c").arrays["basic"] for one in (beside, among)]
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)


def test_a_run_finds_the_default_again_wherever_avfuse_is_installed_and_no_other(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = {
        made.spec.key: Recorded(made.spec, {"weights": str(made.choice or "")})
        for made in plan(tmp_path, crops={"size": 64}).sets
    }
    key = list(recorded)[-1]
    moved = default.rename(tmp_path / "elsewhere.safetensors")
    monkeypatch.setitem(default_network.DEFAULT_FILES, "resnet29", moved)
    (again,) = replay_plans(recorded, [key], {}, cache=tmp_path / "c")
    assert again.sets[-1].spec.key == key
    ship_small_default(monkeypatch, moved, seed=4)
    with pytest.raises(PlanError, match=r"resnet29 .* can't be made again: weights: "):
        replay_plans(recorded, [key], {}, cache=tmp_path / "c")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("gone", "default.safetensors; install avfuse again"),
        ("cut", "is not a valid safetensors file"),
        ("nan", "conv1.weight holds nan, inf"),
        ("wide", r"does not fit ResNet29[\s\S]*conv1.weight: \[5, 3, 7, 7\], not \[4, 3, 7, 7\]"),
        ("text", "is no weight file"),
    ],
)
def test_a_default_file_that_is_no_good_is_refused_naming_it(
    damage: str, message: str, default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "gone":
        default.unlink()
    elif damage == "cut":
        default.write_bytes(default.read_bytes()[:-100])
    elif damage == "text":
        default.write_text("not weights")
    else:
        bad = torch.full((4, 3, 7, 7), torch.nan) if damage == "nan" else torch.zeros(5, 3, 7, 7)
        ship_small_default(monkeypatch, default, conv1__weight=bad)
    with pytest.raises(WeightsError, match=message):
        plan(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"")
    result = avfuse("predict", tmp_path / "v.mp4")
    assert result.exit_code == 2
    assert "default.safetensors" in result.stderr
