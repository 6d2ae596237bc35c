"""Checkpoints: what comes back is what was saved, and nothing else is accepted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from cache.codec import fields_to_json
from tests.trainer.corpus_helper import small_settings, toy_corpus
from trainer.training.predict import predict_head
from trainer.training.train import train_head
from trainer.training.trained import CheckpointError, TrainedHead, load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def head() -> TrainedHead:
    settings = small_settings(prior="sqrt-train", optim={"epochs": 1})
    return train_head(toy_corpus(), range(20), settings, seed=3, validation_clips=[21])


def test_a_checkpoint_comes_back_as_it_was_saved(head: TrainedHead, tmp_path: Path) -> None:
    back = load_checkpoint(save_checkpoint(head, tmp_path / "head.safetensors"))
    for name in ("settings", "classes", "shapes", "seed", "features", "set_keys", "history"):
        assert getattr(back, name) == getattr(head, name)
    np.testing.assert_array_equal(back.prior, head.prior)
    corpus = toy_corpus()
    np.testing.assert_array_equal(
        predict_head(back, corpus, [25]).logits, predict_head(head, corpus, [25]).logits
    )


def test_a_checkpoint_says_what_it_is_in_json_and_is_never_pickled(
    head: TrainedHead, tmp_path: Path
) -> None:
    path = save_checkpoint(replace(head, untrained=True), tmp_path / "head.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["avfuse"])
        names = set(file.keys())
    assert facts["classes"] == ["angry", "happy", "sad"]
    assert facts["untrained"] is True
    assert facts["settings"]["fusion"]["kind"] == "fbp"
    assert facts["set_keys"] == {"ir50": "a" * 64, "lips": "b" * 64}
    assert {"normalisation.video.mean", "normalisation.audio.deviation"} <= names
    assert "head.classifiers.fused.weight" in names
    assert load_checkpoint(path).untrained


def test_building_a_heads_module_leaves_random_numbers_alone(head: TrainedHead) -> None:
    torch.manual_seed(1)
    want = torch.rand(1)
    torch.manual_seed(1)
    assert not head.module().training
    assert torch.equal(torch.rand(1), want)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 64])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"head.safetensors (is not a checkpoint|has format)"):
        load_checkpoint(path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    facts = json.dumps({"format": "avfuse head 0"})
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, {"avfuse": facts})
    with pytest.raises(CheckpointError, match="'avfuse head 0', expected 'avfuse head 1'; train"):
        load_checkpoint(path)


@pytest.mark.parametrize("change", ["missing", "extra", "misshapen"])
def test_parameters_other_than_the_heads_are_refused_by_name(
    head: TrainedHead, tmp_path: Path, change: str
) -> None:
    state = dict(head.state)
    name = "classifiers.fused.bias"
    if change == "missing":
        del state[name]
    elif change == "extra":
        name = "classifiers.fused.beard"
        state[name] = torch.zeros(1)
    else:
        state[name] = torch.zeros(17)
    path = save_checkpoint(replace(head, state=state), tmp_path / "head.safetensors")
    with pytest.raises(CheckpointError, match=f"(?s)damaged checkpoint.*{name}"):
        load_checkpoint(path)


def damage(path: Path, tensors: dict[str, torch.Tensor], **facts: object) -> Path:
    """Write tensors and facts over those of a checkpoint."""
    there = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()["avfuse"])
    metadata = {"avfuse": json.dumps({**known, **facts})}
    path.write_bytes(safetensors.torch.save({**there, **tensors}, metadata))
    return path


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        ({"normalisation.video.mean": torch.full((5,), torch.nan)}, {}, "video.mean holds nan"),
        ({"normalisation.video.mean": torch.zeros(1)}, {}, r"video is not of steps \(5,\)"),
        ({"normalisation.video.deviation": torch.zeros(5)}, {}, "deviation of video is not above"),
        ({"head.classifiers.fused.bias": torch.full((3,), torch.inf)}, {}, "bias holds nan or inf"),
        ({}, {"prior": [1.0]}, r"prior \[1.0\] of 3 classes"),
        ({}, {"prior": [1.0, -1.0, 1.0]}, "prior .* of 3 classes"),
        ({"sentence.0": torch.zeros(2, 28)}, {"sentences": ["dogs"]}, "belong to audio.align"),
        ({"sentence.0": torch.zeros(3001, 28)}, {"sentences": ["dogs"]}, "1 to 3000, 28"),
        ({}, {"sentences": ["dogs"] * 101}, "101 sentences, expected 1 to 100"),
        ({}, {"sentences": "dogs"}, "sentences is 'dogs'"),
    ],
)
def test_numbers_that_no_training_yields_are_refused(
    head: TrainedHead,
    tmp_path: Path,
    tensors: dict[str, torch.Tensor],
    facts: dict[str, object],
    message: str,
) -> None:
    path = damage(save_checkpoint(head, tmp_path / "head.safetensors"), tensors, **facts)
    with pytest.raises(CheckpointError, match=f"damaged checkpoint: .*{message}"):
        load_checkpoint(path)


def test_sizes_that_the_parameters_don_t_have_take_no_memory(
    head: TrainedHead, tmp_path: Path
) -> None:
    settings = fields_to_json(head.settings)
    settings["fusion"]["out_dim"] = 2**40  # terabytes
    path = damage(save_checkpoint(head, tmp_path / "head.safetensors"), {}, settings=settings)
    with pytest.raises(CheckpointError, match=r"(?s)size mismatch for fusion\.audio_factors"):
        load_checkpoint(path)


def test_normalisations_other_than_the_settings_ask_for_are_refused(
    head: TrainedHead, tmp_path: Path
) -> None:
    fewer = {"audio": head.normalisation["audio"]}
    path = save_checkpoint(replace(head, normalisation=fewer), tmp_path / "head.safetensors")
    with pytest.raises(CheckpointError, match=r"of \['audio'\], expected \['audio', 'video'\]"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(head: TrainedHead, tmp_path: Path) -> None:
    path = save_checkpoint(head, tmp_path / "head.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors")
