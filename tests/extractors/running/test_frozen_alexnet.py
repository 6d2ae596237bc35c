"""The encoder of a head, frozen: the same grids as inside the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from extractors import alexnet
from extractors.alexnet import BEFORE, LAYERS, REACH, STRIDE, grid_steps, min_steps
from extractors.running.frozen_alexnet import load_frozen_alexnet
from extractors.weights.files import WeightsError
from trainer.data.normalisation import Normalisation
from trainer.heads.encoders import AlexNetEncoder, grid_times
from trainer.heads.head import make_head
from trainer.settings import TrainSettings, load_settings
from trainer.training.trained import TrainedHead, save_checkpoint

GENERATOR = np.random.default_rng(3)
SHAPES = {"spectrogram": (37,), "logmel": (17, 3)}


def head_of(features: str = "spectrogram", **audio: Any) -> TrainedHead:
    """An audio head with random parameters."""
    settings: TrainSettings = load_settings("icmi19", ["fusion.kind=audio"])
    settings = replace(settings, audio=replace(settings.audio, set=features, **audio))
    shapes = {"audio": SHAPES[features] if settings.audio.encoder == "alexnet" else (5,)}
    torch.manual_seed(7)
    module = make_head(settings, shapes, 3)
    normalisation = Normalisation(
        GENERATOR.normal(size=shapes["audio"]).astype(np.float32),
        GENERATOR.uniform(1, 2, size=shapes["audio"]).astype(np.float32),
    )
    return TrainedHead(
        settings=settings,
        classes=("a", "b", "c"),
        shapes=shapes,
        state=module.state_dict(),
        normalisation={"audio": normalisation} if settings.audio.normalise == "standard" else {},
        prior=np.ones(3),
        seed=11,
        features={"audio": features},
        set_keys={features: "f" * 64},
        untrained=True,
    )


def sound_of(features: str, steps: int) -> np.ndarray:
    return GENERATOR.normal(size=(steps, *SHAPES[features])).astype(np.float32)


def frozen_grid(path: Path, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    module = load_frozen_alexnet(path).module
    blocks = list(module.blocks(np.arange(len(sound)) / 100, sound))
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


def test_the_reach_of_a_grid_step_follows_from_the_layers() -> None:
    stride = reach = 1
    before = 0
    for layer in LAYERS:
        reach += (layer.kernel - 1) * stride
        before += layer.padding * stride
        stride *= layer.stride
    assert (stride, reach, before) == (STRIDE, REACH, BEFORE)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["spectrogram", "logmel"])
@pytest.mark.parametrize("normalise", ["standard", "none"])
@pytest.mark.parametrize("steps", [min_steps() - 20, min_steps(), 331])
def test_a_grid_is_what_the_head_itself_computes(
    tmp_path: Path, features: str, normalise: str, steps: int
) -> None:
    head = head_of(features, normalise=normalise)
    path = save_checkpoint(head, tmp_path / "c.safetensors")
    sound = sound_of(features, steps)
    encoder = head.module().branches["audio"].encoder
    assert isinstance(encoder, AlexNetEncoder)
    seen = head.normalisation["audio"].apply(sound) if head.normalisation else sound
    with torch.no_grad():
        expected = encoder(torch.from_numpy(seen)[None], torch.ones(1, steps, dtype=torch.bool))
    times, grid = frozen_grid(path, sound)
    assert grid.shape == (grid_steps(max(steps, min_steps())), *grid.shape[1:])
    flat = torch.from_numpy(grid).flatten(0, 1)
    torch.testing.assert_close(flat, expected.features[0], rtol=1e-5, atol=1e-5)
    in_head = grid_times(np.arange(steps) / 100, grid.shape[1])
    assert np.allclose(np.repeat(times, grid.shape[1]), in_head)


@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_a_long_clip_in_blocks_is_the_clip_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    path = save_checkpoint(head_of(), tmp_path / "c.safetensors")
    sound = sound_of("spectrogram", 32 * 11 + 13)
    times, whole = frozen_grid(path, sound)
    monkeypatch.setattr(alexnet, "BLOCK", block)
    again, parts = frozen_grid(path, sound)
    assert np.array_equal(times, again)
    assert np.allclose(whole, parts, rtol=1e-5, atol=1e-5)
    assert (np.diff(times) > 0).all()


class Disk:
    """Features of which every slice that is read is noted."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape
        self.read: list[slice] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.read.append(rows)
        return self.values[rows]


@pytest.mark.parametrize("steps", [0, 47, 32 * 11 + 13])
def test_a_clip_on_the_disk_is_read_in_windows_and_gives_the_same_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    module = load_frozen_alexnet(save_checkpoint(head_of(), tmp_path / "c.safetensors")).module
    sound, times = sound_of("spectrogram", steps), np.arange(steps) / 100
    whole = np.concatenate([grid for _, grid in module.blocks(times, sound)])
    monkeypatch.setattr(alexnet, "BLOCK", 3)
    disk = Disk(sound)
    parts = np.concatenate([grid for _, grid in module.blocks(times, disk)])
    assert np.allclose(whole, parts, rtol=1e-5, atol=1e-5)
    # Two steps more than wanted, and what the last one looks at.
    assert all(rows.stop - rows.start <= (3 + 2) * STRIDE + REACH for rows in disk.read)
    assert len(disk.read) == -(-len(whole) // 3)


def test_a_clip_without_sound_has_no_step_but_the_grids_shape(tmp_path: Path) -> None:
    path = save_checkpoint(head_of(), tmp_path / "c.safetensors")
    _, grid = frozen_grid(path, sound_of("spectrogram", 331))
    times, empty = frozen_grid(path, sound_of("spectrogram", 0))
    assert times.shape == (0,)
    assert empty.shape == (0, *grid.shape[1:])


def test_the_digest_is_of_parameters_and_normalisation_alone(tmp_path: Path) -> None:
    head = head_of()
    first = load_frozen_alexnet(save_checkpoint(head, tmp_path / "a.safetensors"))
    assert (first.features, first.features_key) == ("spectrogram", "f" * 64)
    assert (first.untrained, first.classes, first.seed) == (True, ("a", "b", "c"), 11)
    other = replace(head, seed=12, classes=("x", "y", "z"))
    assert load_frozen_alexnet(save_checkpoint(other, tmp_path / "b.st")).digest == first.digest
    mean = head.normalisation["audio"].mean + 1
    moved = Normalisation(mean, head.normalisation["audio"].deviation)
    other = replace(head, normalisation={"audio": moved})
    assert load_frozen_alexnet(save_checkpoint(other, tmp_path / "c.st")).digest != first.digest


def test_features_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = save_checkpoint(head_of(), tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"shape \(71, 37\), got \(71, 41\)"):
        frozen_grid(path, np.zeros((71, 41), np.float32))


def test_a_head_without_an_encoder_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(head_of(encoder="none"), tmp_path / "c.safetensors")
    with pytest.raises(WeightsError, match=r"has no audio encoder; train one with --preset icmi19"):
        load_frozen_alexnet(path)


def _save(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> Path:
    save_file(dict(tensors), path, metadata)
    return path


def test_files_that_are_no_sound_checkpoint_are_refused(tmp_path: Path) -> None:
    path = save_checkpoint(head_of(), tmp_path / "c.safetensors")
    tensors = load_file(path)
    with pytest.raises(WeightsError, match="is not the checkpoint of a head"):
        load_frozen_alexnet(_save(tmp_path / "x", tensors, {}))
    with pytest.raises(WeightsError, match="is a damaged checkpoint: Expecting"):
        load_frozen_alexnet(_save(tmp_path / "y", tensors, {"avfuse": "{"}))
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    name = "head.branches.audio.encoder.network.convs.3.bias"
    less = {key: value for key, value in tensors.items() if key != name}
    with pytest.raises(WeightsError, match=r"damaged checkpoint(.|\n)*convs\.3\.bias"):
        load_frozen_alexnet(_save(tmp_path / "z", less, metadata))
    (tmp_path / "text").write_text("no tensors at all")
    with pytest.raises(WeightsError, match="claims a header"):
        load_frozen_alexnet(tmp_path / "text")


@pytest.mark.parametrize("features", list(SHAPES))
def test_a_gpu_encodes_what_the_processor_encodes(features: str, tmp_path: Path, gpu: str) -> None:
    path = save_checkpoint(head_of(features), tmp_path / "head.safetensors")
    sound = sound_of(features, 2 * REACH + 37)
    times = np.arange(len(sound)) / 100
    blocks = {
        device: list(load_frozen_alexnet(path, device=device).module.blocks(times, sound))
        for device in ("cpu", gpu)
    }
    for (at, grid), (_, expected) in zip(blocks[gpu], blocks["cpu"], strict=True):
        assert len(at) == len(grid)
        # In TensorFloat32 it would differ by 1e-3.
        np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
