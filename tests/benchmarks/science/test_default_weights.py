"""The tool that makes the shipped weights: from a training's state, and from what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from benchmarks.science.default_network import (
    CLIPS,
    Asked,
    figures,
    header_metrics,
    measure_ferplus,
)
from benchmarks.science.default_weights import fit_temperature, main, state_metrics
from extractors.running.face_network import load_face_network
from extractors.running.still_classifier import load_still_classifier
from extractors.weights.class_names import SEVEN
from extractors.weights.files import read_weight_file
from tests.extractors.small import use_small_networks
from trainer.runs.metrics import wilson_interval
from trainer.stills.classifier import FaceClassifier

CLASSES = 8


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    """Twelve faces a part, six of them with a majority; two of the test's stand in training too."""
    draw = np.random.default_rng(0)
    for part in ("test", "valid"):
        votes = np.zeros((12, 10), np.uint8)
        votes[np.arange(6), np.arange(6)] = 9
        votes[6:, 8] = 10  # unknown
        images = draw.integers(0, 256, (12, 48, 48), dtype=np.uint8)
        np.savez(tmp_path / f"{part}.npz", images=images, votes=votes)
        if part == "test":
            learned = np.concatenate([images[:2], 255 - images[2:]])
    np.savez(tmp_path / "train.npz", images=learned, votes=votes)
    return tmp_path


def make(source: Path, out: Path, *options: str) -> str:
    command = [str(source), "-o", str(out), *options]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_the_averaged_parameters_of_a_state_become_a_file_that_says_how_to_feed_it(
    ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_networks(monkeypatch)
    classifier = FaceClassifier("resnet18", CLASSES, seed=5)
    mean = {f"mean/{name}": value for name, value in classifier.state_dict().items()}
    other = {f"module/{name}": torch.zeros_like(value) for name, value in mean.items()}
    state = tmp_path / "progress.safetensors"
    save_file(mean | other, state, metadata={"avfuse": json.dumps({"history": []})})
    out = tmp_path / "out.safetensors"
    sizes = ("--set", "image_size=64", "--set", "grey=true", "--set", "seed=7")
    assert "MB, temperature 1.0" in make(state, out, *sizes, "--command", "the one")
    unmeasured = load_face_network("resnet18", out).weights_digest
    rows = measure_ferplus(Asked(out), ferplus, test=True)
    film = figures(["sad", "happy", "sad"], ["sad", "neutral", "neutral"], SEVEN)
    state_metrics(out, header_metrics(rows | {CLIPS: film}))
    network = load_face_network("resnet18", out)
    assert (network.settings.image_size, network.settings.colour) == (64, "grey")
    assert network.settings.detail == 48
    assert json.loads(read_weight_file(out).metadata["avfuse"])["metrics"]["new"]["num_images"] == 4
    tensors = read_weight_file(out).tensors
    assert tensors["conv1.weight"].dtype == torch.float16
    assert tensors["bn1.running_var"].dtype == torch.float32
    expected = classifier.classifier.weight.detach().half().float().numpy()
    np.testing.assert_array_equal(load_still_classifier(out).weight, expected)
    facts = network.facts
    assert facts is not None
    assert facts.framing is not None
    assert (facts.seed, facts.metrics["num_images"]) == (7, 6)
    assert np.sum(facts.metrics["confusion"]) == 6
    card = out.with_suffix(".md").read_text()
    assert network.weights_digest == unmeasured  # the tensors are as they were
    assert facts.metrics["film"] == {
        "right": 1,
        "clips": 3,
        "interval": list(wilson_interval(1, 3) or ()),
        "neutral_answered": 2,
        "neutral_labelled": 0,
    }
    assert "**1 of 3** clips" in card
    assert "@" not in card
    assert "the one" in card
    assert network.weights_digest in card
    # The tensors alone, under the names of a file, are the same network.
    bare = tmp_path / "bare.safetensors"
    save_file(classifier.file_state(classifier.state_dict()), bare)
    make(bare, tmp_path / "b.safetensors", *sizes)
    digest = load_face_network("resnet18", tmp_path / "b.safetensors").weights_digest
    assert digest == network.weights_digest
    # What the tool wrote, it reads: the same file again.
    again = tmp_path / "again.safetensors"
    make(out, again)
    assert load_face_network("resnet18", again).weights_digest == network.weights_digest


def test_the_temperature_is_the_one_by_which_sureness_and_truth_agree() -> None:
    # Of ten images eight are right, at odds of e**3; odds of 4 would be true: 3 / T = ln 4.
    logits = np.tile([3.0, 0.0], (10, 1))
    labels = np.array([0] * 8 + [1] * 2)
    temperature = fit_temperature(logits, labels, np.zeros(2))
    assert temperature == pytest.approx(3 / np.log(4), rel=1e-3)
    shifted = fit_temperature(logits, labels, np.array([0.5, 0.0]))  # 3 / T + 0.5 = ln 4
    assert shifted == pytest.approx(3 / (np.log(4) - 0.5), rel=1e-3)


@pytest.mark.slow
def test_a_bias_against_the_training_prior_is_stated_and_has_mean_0(
    ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_networks(monkeypatch)
    bare, out = tmp_path / "bare.safetensors", tmp_path / "out.safetensors"
    classifier = FaceClassifier("resnet18", CLASSES, seed=5)
    save_file(classifier.file_state(classifier.state_dict()), bare)
    options = ("--set", "image_size=64", "--ferplus", str(ferplus), "--fit")
    make(bare, out, *options, "--against-prior", "0.5")
    facts = load_still_classifier(out).facts
    # Six images, one of each of the first six classes; classes without any count as one image.
    assert facts.logit_bias == pytest.approx([0.0] * CLASSES, abs=1e-3)
    assert 0.05 <= facts.temperature <= 20
