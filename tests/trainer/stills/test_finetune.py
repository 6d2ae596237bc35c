from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from extractors.weights.files import WeightsError
from extractors.weights.load import save_weights
from tests.trainer.stills_helper import TINY, make_stills
from trainer.stills import finetune as module
from trainer.stills.classifier import FaceClassifier, predict_stills, score_stills
from trainer.stills.finetune import DivergedError, Finetuned, Stopped, finetune
from trainer.stills.images.stills import Stills
from trainer.stills.prepare import RANDOM, resolve, training_identity
from trainer.stills.settings import FinetuneSettings
from trainer.training.identity import OtherTrainingError
from trainer.training.state import StateError, read_progress

TRAIN, VALID = make_stills(19, 0), make_stills(7, 1)
UPDATES = 3 * (19 // 5)


def state_of(trained: Finetuned) -> dict[str, torch.Tensor]:
    return dict(trained.classifier.state_dict())


def progress_of(path: Path, settings: FinetuneSettings) -> dict[str, Any]:
    return read_progress(path, training_identity(*resolve(TRAIN, settings), RANDOM))


def assert_same(a: Finetuned, b: Finetuned) -> None:
    assert a.history == b.history
    for name, value in state_of(a).items():
        assert torch.equal(value, state_of(b)[name]), name


def after(updates: int) -> Callable[[], bool]:
    """Say stop after so many questions."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) == updates


@pytest.mark.slow
def test_training_learns_what_the_grey_level_tells(narrow: str) -> None:
    settings = replace(TINY, epochs=12, learning_rate=0.05, ema=0.5)
    trained = finetune(TRAIN, VALID, settings)
    probabilities = predict_stills(trained.classifier, TRAIN, 17, grey=True)
    assert score_stills(probabilities, TRAIN.labels).accuracy > 0.6
    assert trained.history[-1].valid_loss < trained.history[0].valid_loss
    assert [row.image_size for row in trained.history] == [11] * 6 + [17] * 6
    assert not trained.classifier.training


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 5, 8])
def test_a_stopped_training_goes_on_to_the_same_bits(
    stop: int, narrow: str, tmp_path: Path
) -> None:
    settings = replace(TINY, augment=replace(TINY.augment, mixup=0.3))
    whole = finetune(TRAIN, VALID, settings)
    progress = tmp_path / "progress.safetensors"
    with pytest.raises(Stopped, match=f"stopped after update {stop} of {UPDATES}"):
        finetune(TRAIN, VALID, settings, progress=progress, stopped=after(stop))
    assert progress_of(progress, settings)["update"] == stop
    assert_same(finetune(TRAIN, VALID, settings, progress=progress), whole)


@pytest.mark.slow
def test_the_scale_of_half_precision_goes_on_too(narrow: str, tmp_path: Path) -> None:
    settings = replace(TINY, precision="float16", epochs=2)
    whole = finetune(TRAIN, VALID, settings)
    progress = tmp_path / "progress.safetensors"
    with pytest.raises(Stopped):
        finetune(TRAIN, VALID, settings, progress=progress, stopped=after(3))
    assert progress_of(progress, settings)["scaler"]["scale"] > 0
    assert_same(finetune(TRAIN, VALID, settings, progress=progress), whole)


@pytest.mark.slow
def test_a_training_stopped_after_every_update_ends_in_the_same_bits(
    narrow: str, tmp_path: Path
) -> None:
    progress = tmp_path / "progress.safetensors"
    for _ in range(UPDATES - 1):
        with pytest.raises(Stopped):
            finetune(TRAIN, VALID, TINY, progress=progress, stopped=lambda: True)
    resumed = finetune(TRAIN, VALID, TINY, progress=progress, stopped=lambda: True)
    assert_same(resumed, finetune(TRAIN, VALID, TINY))


@pytest.mark.slow
def test_a_finished_state_trains_no_more(narrow: str, tmp_path: Path) -> None:
    progress = tmp_path / "progress.safetensors"
    first = finetune(TRAIN, VALID, TINY, progress=progress)
    heard: list[int] = []
    again = finetune(TRAIN, VALID, TINY, progress=progress, on_update=lambda n, *_: heard.append(n))
    assert heard == []
    assert_same(again, first)


@pytest.mark.slow
def test_saving_more_often_changes_nothing(
    narrow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY_SECONDS", 0.0)
    saved = finetune(TRAIN, VALID, TINY, progress=tmp_path / "progress.safetensors")
    assert_same(saved, finetune(TRAIN, VALID, TINY))


@pytest.mark.slow
def test_the_callers_random_numbers_neither_matter_nor_change(narrow: str) -> None:
    torch.manual_seed(1)
    first = finetune(TRAIN, VALID, TINY)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert_same(finetune(TRAIN, VALID, TINY), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_another_network(narrow: str) -> None:
    one, other = finetune(TRAIN, VALID, TINY), finetune(TRAIN, VALID, replace(TINY, seed=1))
    assert one.history != other.history


@pytest.mark.slow
def test_validation_images_change_nothing_but_their_figures(narrow: str) -> None:
    one, other = finetune(TRAIN, VALID, TINY), finetune(TRAIN, make_stills(5, 2), TINY)
    for name, value in state_of(one).items():
        assert torch.equal(value, state_of(other)[name])


def test_images_without_a_target_are_left_out(narrow: str) -> None:
    targets = TRAIN.targets.copy()
    targets[[3, 8]] = 0
    some = Stills(TRAIN.images, targets, TRAIN.labels, TRAIN.classes, TRAIN.names)
    kept = TRAIN.select(np.array([i for i in range(19) if i not in (3, 8)]))
    assert_same(finetune(some, VALID, TINY), finetune(kept, VALID, TINY))


def test_it_starts_from_the_weights_that_are_given(narrow: str, tmp_path: Path) -> None:
    start = FaceClassifier(narrow, 5, seed=9).network
    save_weights(start, tmp_path / "start.safetensors", {})
    still = replace(TINY, epochs=1, learning_rate=1e-12, ema=0.0, weight_decay=0.0)
    trained = finetune(TRAIN, VALID, still, weights=tmp_path / "start.safetensors")
    torch.testing.assert_close(
        trained.classifier.network.conv1.weight, start.conv1.weight, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 4},
        {"learning_rate": 0.2},
        {"grey": False},
        {"augment": replace(TINY.augment, erase=0.5)},
    ],
)
def test_the_state_of_another_training_is_refused(
    change: dict[str, object], narrow: str, tmp_path: Path
) -> None:
    progress = tmp_path / "progress.safetensors"
    with pytest.raises(Stopped):
        finetune(TRAIN, VALID, TINY, progress=progress, stopped=lambda: True)
    with pytest.raises(OtherTrainingError, match="unfinished training with other settings"):
        finetune(TRAIN, VALID, replace(TINY, **change), progress=progress)


def test_one_changed_pixel_or_target_makes_another_training(narrow: str) -> None:
    learned, settings = resolve(TRAIN, TINY)
    identity = training_identity(learned, settings, RANDOM)
    images, targets = TRAIN.images.copy(), TRAIN.targets.copy()
    images[18, 12, 12] ^= 1
    targets[0] = [0.5, 0.5, 0]
    for changed in (
        Stills(images, TRAIN.targets, TRAIN.labels, TRAIN.classes, TRAIN.names),
        Stills(TRAIN.images, targets, TRAIN.labels, TRAIN.classes, TRAIN.names),
        Stills(TRAIN.images, TRAIN.targets, TRAIN.labels, ("a", "b", "c"), TRAIN.names),
    ):
        assert training_identity(changed, settings, RANDOM) != identity
    assert training_identity(learned, settings, "other weights") != identity
    # Names are for messages.
    renamed = Stills(TRAIN.images, TRAIN.targets, TRAIN.labels, TRAIN.classes, ("x",) * 19)
    assert training_identity(renamed, settings, RANDOM) == identity


def test_sizes_left_to_the_network_are_the_same_training_as_sizes_written_out(narrow: str) -> None:
    left, written = (
        resolve(TRAIN, replace(TINY, image_size=size, start_size=size))[1] for size in (0, 17)
    )
    assert left == written


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_state_is_refused(damage: str, narrow: str, tmp_path: Path) -> None:
    progress = tmp_path / "progress.safetensors"
    with pytest.raises(Stopped):
        finetune(TRAIN, VALID, TINY, progress=progress, stopped=lambda: True)
    content = progress.read_bytes()
    progress.write_bytes(content[: len(content) // 2] if damage == "cut" else b"garbage" * 9)
    with pytest.raises(StateError, match=r"is damaged .* delete it to start the training anew"):
        finetune(TRAIN, VALID, TINY, progress=progress)
    with pytest.raises(StateError, match="is damaged"):
        progress_of(progress, TINY)


def test_a_file_that_is_no_state_says_so(tmp_path: Path, narrow: str) -> None:
    save_weights(FaceClassifier(narrow, 2).network, tmp_path / "weights.safetensors", {})
    with pytest.raises(StateError, match="is not the state of a training"):
        progress_of(tmp_path / "weights.safetensors", TINY)


def test_a_state_that_cannot_be_written_is_an_error(narrow: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        finetune(TRAIN, VALID, TINY, progress=tmp_path / "nowhere" / "progress.safetensors")


def test_a_diverging_loss_stops_with_advice(narrow: str) -> None:
    wild = replace(TINY, learning_rate=1e30, warmup=0.0)
    with pytest.raises(DivergedError, match=r"loss of update \d+ is not finite; lower learning_r"):
        finetune(TRAIN, VALID, wild)


def test_parameters_that_are_not_finite_at_the_end_are_named(
    narrow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "finite", lambda values: values.ndim != 4)
    with pytest.raises(
        DivergedError, match=r"parameters, such as network\.conv1\.weight, are not f"
    ):
        finetune(TRAIN, VALID, replace(TINY, epochs=1))


def test_nothing_to_train_on_is_refused(narrow: str) -> None:
    nothing = Stills(
        TRAIN.images, np.zeros((19, 3), np.float32), np.full(19, -1), TRAIN.classes, TRAIN.names
    )
    for target in ("votes", "majority"):
        with pytest.raises(ValueError, match=f"no training image has .* kind {target}"):
            finetune(nothing, VALID, replace(TINY, target=target))


def test_parts_with_other_classes_are_refused(narrow: str) -> None:
    other = Stills(VALID.images, VALID.targets, VALID.labels, ("a", "b", "c"), VALID.names)
    with pytest.raises(ValueError, match=r"training has the classes .*happy.*, validation .*'a'"):
        finetune(TRAIN, other, TINY)


def test_an_unknown_network_and_a_size_that_it_cannot_take_are_refused() -> None:
    with pytest.raises(ValueError, match="no network is called 'resnet19'; there are ir50"):
        finetune(TRAIN, VALID, FinetuneSettings(network="resnet19"))
    with pytest.raises(ValueError, match=r"ir50 takes images of 112 pixels .* 96"):
        resolve(TRAIN, FinetuneSettings(network="ir50", image_size=96))
    with pytest.raises(ValueError, match="got image_size 112, start_size 56"):
        resolve(TRAIN, FinetuneSettings(network="ir50", start_size=56))


def test_weights_of_another_network_are_refused(narrow: str, tmp_path: Path) -> None:
    wide = torch.nn.Linear(3, 2)
    save_weights(wide, tmp_path / "other.safetensors", {})
    with pytest.raises(WeightsError, match="does not fit"):
        finetune(TRAIN, VALID, TINY, weights=tmp_path / "other.safetensors")


def test_half_precision_trains_and_keeps_its_parameters_in_float32(narrow: str) -> None:
    losses: dict[str, list[float]] = {"bfloat16": [], "float32": []}
    for precision, heard in losses.items():
        settings = replace(TINY, precision=precision, epochs=1, start_size=17)
        add = heard.append
        trained = finetune(TRAIN, VALID, settings, on_update=lambda *row, add=add: add(row[2]))
        assert {value.dtype for value in trained.classifier.parameters()} == {torch.float32}
    assert losses["bfloat16"][0] == pytest.approx(losses["float32"][0], rel=0.1)
    assert losses["bfloat16"] != losses["float32"]


def test_the_classifier_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="no network is called 'x'"):
        FaceClassifier("x", 3)
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        FaceClassifier("resnet18", 1)


def test_a_score_without_labels_is_zero_and_a_flip_is_averaged(narrow: str) -> None:
    assert score_stills(np.ones((2, 3)), np.full(2, -1)).num_images == 0
    classifier = FaceClassifier(narrow, 3, seed=2).eval()
    mirrored = Stills(
        np.ascontiguousarray(VALID.images[:, :, ::-1]), VALID.targets, VALID.labels,
        VALID.classes, VALID.names,
    )  # fmt: skip
    plain, other = (
        predict_stills(classifier, part, 17, grey=True, flip=False) for part in (VALID, mirrored)
    )
    both = predict_stills(classifier, VALID, 17, grey=True, flip=True)
    np.testing.assert_allclose(both, (plain + other) / 2, rtol=0, atol=1e-6)
    assert np.abs(plain - other).max() > 1e-5
    none = VALID.select(np.zeros(0, np.int64))
    assert predict_stills(classifier, none, 17, grey=True).shape == (0, 3)


@pytest.mark.slow
def test_a_gpu_learns_from_stills_what_the_processor_learns(narrow: str, gpu: str) -> None:
    settings = replace(TINY, epochs=1, batch_size=19, dropout=0.0, ema=0.0, learning_rate=1e-3)
    expected, found = (finetune(TRAIN, VALID, settings, device=d) for d in ("cpu", gpu))
    assert found.history[0].loss == pytest.approx(expected.history[0].loss, rel=1e-4)
    assert found.history[0].valid_loss == pytest.approx(expected.history[0].valid_loss, rel=1e-3)
    for name, value in state_of(expected).items():
        torch.testing.assert_close(state_of(found)[name].cpu(), value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_on_a_gpu_is_stopped_goes_on_and_learns(
    precision: Literal["float32", "bfloat16", "float16"], narrow: str, tmp_path: Path, gpu: str
) -> None:
    # Of one size: bfloat16 takes none as small as the first.
    settings = replace(TINY, start_size=17, epochs=12, learning_rate=0.05, ema=0.5)
    settings = replace(settings, precision=precision)
    progress = tmp_path / "progress.safetensors"
    with pytest.raises(Stopped):  # in the second epoch
        finetune(TRAIN, VALID, settings, progress=progress, device=gpu, stopped=after(5))
    trained = finetune(TRAIN, VALID, settings, progress=progress, device=gpu)
    assert [row.epoch for row in trained.history] == list(range(1, 13))
    assert trained.history[-1].valid_loss < trained.history[0].valid_loss
    if precision == "float32":
        whole = finetune(TRAIN, VALID, settings, device=gpu)
        for ours, theirs in zip(trained.history[:2], whole.history[:2], strict=True):
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-2)


def test_fine_tuning_on_a_processor_leaves_the_gpus_generators_alone(
    narrow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked: list[Any] = []
    fork = torch.random.fork_rng

    def note(devices: Any = None) -> Any:
        forked.append(devices)
        return fork(devices=devices)

    monkeypatch.setattr(torch.random, "fork_rng", note)
    finetune(TRAIN, VALID, replace(TINY, epochs=1))
    # None would mean every GPU there is, each woken up for it.
    assert forked
    assert all(devices == [] for devices in forked)
