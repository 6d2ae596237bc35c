"""Alignment of takes along a template of the sentence."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.alignment import LOOSE_ENDS, align, make_template

SIZE, DIM = 23, 5


def walk(seed: int) -> np.ndarray:
    """A template whose steps are all different."""
    steps = np.random.default_rng(seed).normal(size=(SIZE, DIM))
    return (4 * steps).astype(np.float32)


def test_a_take_finds_the_places_of_the_template_that_it_was_made_of() -> None:
    template = walk(0)
    places = np.repeat(np.arange(SIZE), [1, 2, 3] * 7 + [2, 1])
    quick = np.arange(0, SIZE, 2)  # leaps over every other step
    found = align(template, [template[places], template[quick]])
    assert found.places[0].tolist() == places.tolist()
    assert found.places[1].tolist() == quick.tolist()
    assert found.costs[0] == pytest.approx(0.0, abs=0.01)
    # Eleven leaps over one step each, at a cost of 1, over twelve steps.
    assert found.costs[1] == pytest.approx(11 / 12, abs=0.01)


def test_places_never_go_back_and_begin_and_end_near_the_templates_ends() -> None:
    rng = np.random.default_rng(1)
    takes = [rng.normal(size=(length, DIM)).astype(np.float32) for length in (11, 31, 47)]
    for own, take in zip(align(walk(2), takes).places, takes, strict=True):
        assert len(own) == len(take)
        assert (np.diff(own) >= 0).all()
        assert own[0] < LOOSE_ENDS
        assert own[-1] >= SIZE - LOOSE_ENDS


def test_a_take_is_aligned_alike_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(3)
    takes = [rng.normal(size=(length, DIM)).astype(np.float32) for length in (13, 37)]
    together = align(walk(4), takes)
    for number, take in enumerate(takes):
        alone = align(walk(4), [take])
        assert alone.places[0].tolist() == together.places[number].tolist()
        assert alone.costs[0] == pytest.approx(together.costs[number])


def test_a_take_costs_least_along_the_template_of_its_own_sentence() -> None:
    rng = np.random.default_rng(5)
    templates = []
    for seed in (6, 7):
        said = walk(seed)
        takes = [
            np.repeat(said, rng.integers(1, 4, SIZE), axis=0)
            + 0.5 * rng.normal(size=(1, DIM)).astype(np.float32)
            for _ in range(7)
        ]
        templates.append(make_template(takes))
    for seed, own in ((6, 0), (7, 1)):
        costs = [
            align(template, [np.repeat(walk(seed), 2, axis=0)]).costs[0] for template in templates
        ]
        assert int(np.argmin(costs)) == own
        assert costs[own] < 0.5 * costs[1 - own]


def test_takes_that_fill_the_memory_are_aligned_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(8)
    takes = [rng.normal(size=(length, DIM)).astype(np.float32) for length in (13, 37, 5)]
    together = align(walk(9), takes)
    monkeypatch.setattr("trainer.data.alignment.MOST_CELLS", 2 * 37 * SIZE)
    apart = align(walk(9), takes)
    assert [row.tolist() for row in apart.places] == [row.tolist() for row in together.places]
    assert apart.costs == pytest.approx(together.costs)


def test_a_single_step_lies_along_a_template_of_a_single_step() -> None:
    found = align(walk(10)[:1], [walk(10)[:1], walk(11)[:2]])
    assert [row.tolist() for row in found.places] == [[0], [0, 0]]
    assert found.costs[0] == pytest.approx(0.0, abs=1e-3)
    assert align(walk(10), []).costs.shape == (0,)
