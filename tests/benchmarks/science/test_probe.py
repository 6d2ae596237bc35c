from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.science.icmi19_table1 import PUBLISHED, format_rows, row_of
from benchmarks.science.icmi19_table1 import main as table1
from benchmarks.science.probe import main as probe
from benchmarks.science.probe_layers import STAGES, embed_layers, plot_plane, probe_layer, project
from extractors.networks import NETWORKS
from extractors.resnet18 import ResNet18
from extractors.weights.facts import WeightFacts
from tests.trainer.stills_helper import TINY, make_ferplus, make_stills
from trainer.runs.folder import RunError
from trainer.stills.augment import to_float
from trainer.stills.classifier import FaceClassifier, normalise
from trainer.stills.images.parts import StillParts
from trainer.stills.run import run_finetuning
from trainer.stills.weights_file import save_classifier

PARTS = {name: make_stills(count, seed) for seed, (name, count) in enumerate(
    {"train": 31, "valid": 13, "test": 17}.items()
)}  # fmt: skip


def embeddings_of(deviation: float, dim: int = 5) -> dict[str, np.ndarray]:
    """Embeddings that tell the class, as clearly as the noise lets them."""
    result = {}
    for seed, (name, part) in enumerate(PARTS.items()):
        noise = np.random.default_rng(seed).normal(size=(len(part), dim)) * deviation
        result[name] = (np.eye(dim)[part.labels] + noise).astype(np.float32)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("network", STAGES)
def test_the_stages_are_modules_of_their_networks(network: str) -> None:
    with torch.device("meta"):
        module = NETWORKS[network].build()
    for name in STAGES[network]:
        module.get_submodule(name)


def test_layers_are_what_the_network_says_by_itself(narrow: str) -> None:
    classifier = FaceClassifier(narrow, 3, seed=1).eval()
    found = embed_layers(classifier, PARTS["test"], 13, grey=True)
    images = normalise(classifier, to_float(torch.from_numpy(PARTS["test"].images), grey=True))
    with torch.inference_mode():
        expected = classifier.network(images.expand(-1, 3, -1, -1)).numpy()
    assert isinstance(classifier.network, ResNet18)
    np.testing.assert_allclose(found["embedding"], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found["pooled"], found["embedding"])


@pytest.mark.slow
def test_earlier_stages_are_pooled_too() -> None:
    classifier = FaceClassifier("resnet18", 3).eval()
    few = PARTS["test"].select(np.arange(2))
    found = embed_layers(classifier, few, 13, grey=False)
    assert {name: values.shape for name, values in found.items()} == {
        "layer1": (2, 64), "layer2": (2, 128), "layer3": (2, 256),
        "pooled": (2, 512), "embedding": (2, 512),
    }  # fmt: skip
    assert not classifier.network.layer1._forward_hooks


@pytest.mark.slow
def test_a_probe_finds_what_is_there_and_nothing_in_noise() -> None:
    clear = probe_layer("clear", embeddings_of(0.05), PARTS)
    assert (clear.layer, clear.dim) == ("clear", 5)
    assert clear.test["accuracy"] == clear.valid_accuracy == 1
    assert clear.test["n"] == 17
    noise = probe_layer("noise", embeddings_of(1000.0), PARTS)
    assert noise.test["accuracy"] < 0.8


def test_of_equally_good_strengths_the_weakest_fit_is_kept() -> None:
    assert probe_layer("clear", embeddings_of(0.05), PARTS, choices=(0.3, 3.0)).strength == 0.3


@pytest.mark.slow
def test_a_plane_keeps_classes_apart_and_becomes_a_small_picture() -> None:
    found, labels = embeddings_of(0.05)["train"], PARTS["train"].labels
    for how in ("pca", "tsne"):
        places = project(found, how)
        assert places.shape == (31, 2)
        middles = np.stack([places[labels == label].mean(0) for label in range(3)])
        nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(1)
        assert (nearest == labels).mean() > 0.9
    picture = plot_plane(places, labels, ("a", "b", "c"), "test")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000
    with pytest.raises(ValueError, match="how must be pca or tsne, got 'umap'"):
        project(found, "umap")


@pytest.mark.slow
def test_the_probe_command_writes_a_table_and_a_picture(narrow: str, tmp_path: Path) -> None:
    make_ferplus(tmp_path / "data", train=23, valid=17, test=19)
    facts = WeightFacts(narrow, tuple(str(n) for n in range(8)), 13, grey=True)
    weights = save_classifier(FaceClassifier(narrow, 8), tmp_path / "weights.safetensors", facts)
    output, picture = tmp_path / "probe.json", tmp_path / "plane.png"
    arguments = [weights, tmp_path / "data", "-o", output, "--picture", picture, "--how", "pca"]
    result = CliRunner().invoke(probe, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    written = json.loads(output.read_text())
    assert [row["layer"] for row in written["probes"]] == ["pooled", "embedding"]
    assert written["counts"] == {"train": 23, "valid": 17, "test": 19}
    assert written["probes"][0]["test"]["n"] == 19
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| embedding | 24 |" in result.stdout


@pytest.mark.slow
def test_table_1_stands_beside_our_runs(
    narrow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PUBLISHED["resnet18"]["FER+"] == 88.65
    assert PUBLISHED["ir50"]["AffectNet"] == 53.925
    monkeypatch.setitem(PUBLISHED, "narrow", {"FER+": 50.0, "RAF-DB": 60.0, "AffectNet": 70.0})
    monkeypatch.setattr("trainer.stills.run.draw_confusion", lambda _: b"a picture")
    monkeypatch.setattr("trainer.stills.run.draw_curves", lambda *_, **__: b"a picture")
    parts = StillParts("ferplus", *(PARTS[name] for name in ("train", "valid", "test")))
    settings = TINY.__class__(network=narrow, image_size=11, grey=True, epochs=1)
    report = run_finetuning(parts, settings, tmp_path / "run")
    row = row_of(tmp_path / "run")
    assert (row["network"], row["corpus"], row["published"]) == ("narrow", "FER+", 50.0)
    assert row["accuracy"] == report["test"]["accuracy"]
    text = format_rows([row])
    assert "| narrow | FER+ | 50.0 % | " in text
    assert "| ir50 | FER+ | 89.257 % | - | - | - |" in text
    output = tmp_path / "table.json"
    result = CliRunner().invoke(table1, [str(tmp_path / "run"), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert json.loads(output.read_text())["rows"] == [row]
    none = StillParts("ferplus", parts.train, parts.valid, parts.test.select(np.zeros(0, int)))
    run_finetuning(none, settings, tmp_path / "untested")
    with pytest.raises(RunError, match="untested is no fine-tuning with test images"):
        row_of(tmp_path / "untested")
