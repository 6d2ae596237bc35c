from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.stills_helper import TINY, make_images, make_stills
from trainer.stills.augment import draw_batch, epoch_order
from trainer.stills.classifier import (
    FaceClassifier,
    balance,
    finetune_optimiser,
    soft_cross_entropy,
)
from trainer.stills.finetune import TrainingState
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings
from trainer.training.optim import learning_rate_at


def stills_of(counts: dict[str, int]) -> Stills:
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Stills(
        make_images(len(labels)),
        np.eye(len(counts), dtype=np.float32)[labels],
        labels.astype(np.int64),
        tuple(counts),
        tuple(f"{number}" for number in range(len(labels))),
    )


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    rates = [learning_rate_at(update, 16, highest=0.8, warmup=0.25) for update in range(16)]
    # Four updates of warm-up reach 4/5 of the highest, the fifth the highest.
    assert rates[:5] == pytest.approx([0.16, 0.32, 0.48, 0.64, 0.8])
    # Half way down the cosine, at 4 + 6 of 12, it is half of the highest.
    assert rates[10] == pytest.approx(0.4)
    assert rates[15] == pytest.approx(0.4 * (1 + math.cos(math.pi * 11 / 12)))
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_without_warmup_the_first_rate_is_the_highest() -> None:
    assert learning_rate_at(0, 7, highest=0.3, warmup=0.0) == 0.3


@pytest.mark.parametrize(
    ("kind", "expected"),
    # 16 and 4 images. Of -1/2: 1/4 and 1/2, over the images' mean (16/4 + 4/2) / 20 = 0.3.
    # Of -1: 1/16 and 1/4, over (1 + 1) / 20 = 0.1.
    [("none", [1.0, 1.0]), ("sqrt", [0.25 / 0.3, 0.5 / 0.3]), ("full", [0.625, 2.5])],
)
def test_class_weights_have_mean_1_over_the_images(kind: str, expected: list[float]) -> None:
    stills = stills_of({"often": 16, "seldom": 4})
    weights = balance(stills, replace(FinetuneSettings(), balance=kind))
    assert weights.tolist() == pytest.approx(expected)
    assert float((weights * torch.tensor([16.0, 4.0])).sum()) == pytest.approx(20)


def test_a_class_that_nobody_shows_has_a_finite_weight() -> None:
    stills = stills_of({"often": 5, "never": 0})
    weights = balance(stills, FinetuneSettings(balance="full"))
    assert weights.isfinite().all()
    assert float(weights[0]) == pytest.approx(1)


def test_the_loss_is_the_targets_share_of_each_log_probability() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    targets = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]])
    ones = torch.ones(3)
    first = -(0.75 * math.log(0.5) + 0.25 * math.log(0.3))
    second = -math.log(0.8)
    assert float(soft_cross_entropy(logits, targets, ones)) == pytest.approx((first + second) / 2)
    weighed = soft_cross_entropy(logits, targets, torch.tensor([2.0, 0.0, 1.0]))
    expected = (-2 * 0.75 * math.log(0.5) + second) / 2
    assert float(weighed) == pytest.approx(expected)


def test_kernels_decay_and_biases_and_norms_do_not(narrow: str) -> None:
    classifier = FaceClassifier(narrow, 3)
    optimiser = finetune_optimiser(classifier, FinetuneSettings(weight_decay=0.01))
    decay, plain = optimiser.param_groups
    assert (decay["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    assert all(p.ndim in (2, 4) for p in decay["params"])
    assert all(p.ndim == 1 for p in plain["params"])
    assert len(decay["params"]) + len(plain["params"]) == len(list(classifier.parameters()))
    assert optimiser.defaults["nesterov"]
    assert not finetune_optimiser(classifier, FinetuneSettings(momentum=0)).defaults["nesterov"]


def test_the_mean_of_parameters_follows_its_decay_and_sooner_at_first() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    state = TrainingState(module, ema=0.5)
    expected = 0.0
    for update, value in enumerate([8.0, 16.0, 4.0], start=1):
        with torch.no_grad():
            module.weight.fill_(value)
        state.update = update
        state.average()
        decay = min(0.5, update / (10 + update))
        expected = decay * expected + (1 - decay) * value
        assert float(state.mean["weight"]) == pytest.approx(expected)
    state.update = 100
    state.average()
    assert float(state.mean["weight"]) == pytest.approx(0.5 * expected + 0.5 * 4)


def test_without_averaging_the_mean_is_the_last() -> None:
    module = torch.nn.Linear(2, 3)
    state = TrainingState(module, ema=0)
    with torch.no_grad():
        module.weight.fill_(7.0)
    state.update = 50
    state.average()
    assert bool((state.mean["weight"] == 7).all())


def test_the_mean_stands_in_for_a_while_and_then_for_good() -> None:
    module = torch.nn.Linear(2, 3)
    state = TrainingState(module, ema=0.9)
    before = module.weight.detach().clone()
    state.mean["weight"] = torch.full((3, 2), 5.0)
    with state.averaged():
        assert bool((module.weight == 5).all())
    assert torch.equal(module.weight, before)
    state.keep_average()
    assert bool((module.weight == 5).all())


def test_sizes_grow_in_equal_steps_over_equal_parts_of_the_training() -> None:
    settings = FinetuneSettings(image_size=96, start_size=48, growth_steps=4, epochs=8)
    assert [settings.size_at(epoch) for epoch in range(8)] == [48, 48, 64, 64, 80, 80, 96, 96]
    fixed = FinetuneSettings(image_size=96, epochs=3)
    assert {fixed.size_at(epoch) for epoch in range(3)} == {96}
    single = FinetuneSettings(image_size=96, start_size=48, growth_steps=1)
    assert single.size_at(0) == 96


def test_every_epoch_shows_every_image_once_in_another_order() -> None:
    first, second = epoch_order(31, 5, 0), epoch_order(31, 5, 1)
    assert sorted(first) == sorted(second) == list(range(31))
    assert first.tolist() != second.tolist()
    assert first.tolist() == epoch_order(31, 5, 0).tolist()
    assert first.tolist() != epoch_order(31, 6, 0).tolist()


def test_a_batch_depends_on_the_seed_and_the_update_alone() -> None:
    stills, chosen = make_stills(), np.array([4, 2, 9])
    images, targets = draw_batch(stills, chosen, TINY, 0, 3)
    again, _ = draw_batch(stills, chosen, TINY, 0, 3)
    other, _ = draw_batch(stills, chosen, TINY, 0, 4)
    assert torch.equal(images, again)
    assert not torch.equal(images, other)
    assert images.shape == (3, 1, 11, 11)
    assert targets.tolist() == stills.targets[chosen].tolist()


def test_targets_are_smoothed_and_taken_from_the_label_where_asked() -> None:
    stills, chosen = make_stills(), np.array([1])
    smooth = replace(TINY, label_smoothing=0.3)
    _, targets = draw_batch(stills, chosen, smooth, 0, 0)
    torch.testing.assert_close(targets, torch.tensor([[0.1, 0.8, 0.1]]))
    voted = Stills(
        stills.images, np.full((19, 3), 1 / 3, np.float32), stills.labels, stills.classes,
        stills.names,
    )  # fmt: skip
    _, targets = draw_batch(voted, chosen, replace(TINY, target="majority"), 0, 0)
    assert targets.tolist() == [[0, 1, 0]]
    mixed = replace(TINY, augment=replace(TINY.augment, mixup=0.4))
    _, targets = draw_batch(stills, np.arange(5), mixed, 0, 0)
    assert bool(((targets > 0.01) & (targets < 0.99)).any())
