"""The optimiser's groups, its learning rate, and its state as tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.training.optim import (
    learning_rate_at,
    load_optimiser_tensors,
    make_optimiser,
    optimiser_tensors,
    set_learning_rate,
)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_matrices_decay_and_biases_do_not(name: str) -> None:
    module = nn.Linear(3, 2)
    optimiser = make_optimiser(module, name, learning_rate=1e-3, weight_decay=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [p.detach().clone() for p in module.parameters()]
    optimiser.step()
    assert (module.weight.abs() < before[0].abs()).all()
    assert torch.equal(module.bias, before[1])


def test_the_learning_rate_rises_linearly_then_falls_as_a_cosine_to_zero() -> None:
    rates = [learning_rate_at(i, 10, highest=0.3, warmup=0.2) for i in range(11)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[6] == pytest.approx(0.15)  # half-way between update 2 and update 10
    assert rates[10] == pytest.approx(0.0)


def test_a_constant_schedule_stays_after_the_warm_up() -> None:
    rates = [
        learning_rate_at(i, 10, highest=0.3, warmup=0.2, schedule="constant") for i in (2, 5, 9)
    ]
    assert rates == [0.3, 0.3, 0.3]


def test_one_update_without_warm_up_has_the_whole_learning_rate() -> None:
    assert learning_rate_at(0, 1, highest=0.3, warmup=0.0) == 0.3


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_optimiser_put_back_goes_on_like_the_one_before(name: str) -> None:
    def update(module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        module(torch.ones(1, 3)).square().sum().backward()
        optimiser.step()

    module, other = nn.Linear(3, 2), nn.Linear(3, 2)
    optimiser, second = (
        make_optimiser(each, name, learning_rate=1e-3, weight_decay=1e-2)
        for each in (module, other)
    )
    for _ in range(3):
        update(module, optimiser)
    other.load_state_dict(module.state_dict())
    load_optimiser_tensors(other, second, optimiser_tensors(module, optimiser))
    for each in (optimiser, second):
        set_learning_rate(each, 0.01)
    update(module, optimiser)
    update(other, second)
    assert torch.equal(module.weight, other.weight)
    assert torch.equal(module.bias, other.bias)
