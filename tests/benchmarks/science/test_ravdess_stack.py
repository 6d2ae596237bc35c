"""Nothing of RAVDESS's tested clips decides how they are classified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.science.ravdess_aligned import Array, Takes, classified, headed, per_speaker
from benchmarks.science.ravdess_stack import NUM_FOLDS, all_pairs, fit_weights, pool, stack

NUM_CLASSES, CLIPS_IN_FOLD = 3, 12
HEADS = {
    "head": {
        "video": {"attention": "mean", "normalise": "none"},
        "audio": {"attention": "mean", "normalise": "none", "encoder": "none"},
        "fusion": {"kind": "concat"},
        "optim": {"epochs": 1},
    }
}


def make_takes() -> Takes:
    """Random takes of six folds, with two sentences and three classes."""
    rng = np.random.default_rng(0)
    count = NUM_FOLDS * CLIPS_IN_FOLD
    lengths = rng.integers(31, 47, count)
    return Takes(
        clips=tuple(f"take-{i:02d}" for i in range(count)),
        labels=np.arange(count) % NUM_CLASSES,
        speakers=np.arange(count) // 6,
        folds=np.arange(count) // CLIPS_IN_FOLD,
        sentences=np.arange(count) // 3 % 2,
        voice=rng.normal(size=(count, 5)),
        face=rng.normal(size=(count, 35)),
        contours=[rng.normal(size=(2 * n, 26)).astype(np.float32) for n in lengths],
        steps=[rng.normal(size=(n, 11)).astype(np.float32) for n in lengths],
    )


def forget(takes: Takes, held: tuple[int, ...]) -> Takes:
    """The same takes with other labels and sentences in some folds."""
    tested = np.isin(takes.folds, held)
    return replace(
        takes,
        labels=np.where(tested, (takes.labels + 1) % NUM_CLASSES, takes.labels),
        sentences=np.where(tested, 1 - takes.sentences, takes.sentences),
    )


@pytest.mark.slow
@pytest.mark.parametrize("held", [(2,), (1, 4)])
def test_labels_and_sentences_of_the_held_out_clips_change_nothing(
    held: tuple[int, ...], tmp_path: Path
) -> None:
    takes = make_takes()
    for name, some in (("known", takes), ("forgotten", forget(takes, held))):
        classified(some, held, tmp_path / name)
        headed(some, held, tmp_path / name, HEADS, 0)
    for file in sorted((tmp_path / "known").iterdir()):
        with np.load(file) as known, np.load(tmp_path / "forgotten" / file.name) as forgotten:
            for name in known.files:
                assert known[name].tolist() == forgotten[name].tolist(), (file.name, name)
                if not file.name.startswith("sound"):
                    assert known[name].shape == (CLIPS_IN_FOLD * len(held), NUM_CLASSES)


def test_what_was_computed_is_read_again(tmp_path: Path) -> None:
    takes = make_takes()
    first = classified(takes, (3,), tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = classified(takes, (3,), tmp_path)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def random_members(
    takes: Takes,
) -> tuple[dict[int, dict[str, Array]], dict[object, dict[str, Array]]]:
    rng = np.random.default_rng(1)

    def some(held: tuple[int, ...]) -> dict[str, Array]:
        labels = takes.labels[np.isin(takes.folds, held)]
        knowing = np.log(np.full((len(labels), NUM_CLASSES), 0.2))
        knowing[np.arange(len(labels)), labels] = np.log(0.6)
        return {"noise": rng.normal(size=knowing.shape), "knowing": knowing}

    outer = {fold: some((fold,)) for fold in range(NUM_FOLDS)}
    return outer, {pair: some(pair) for pair in all_pairs()}


def test_the_weights_of_a_fold_come_from_the_other_folds_labels() -> None:
    takes = make_takes()
    outer, pairs = random_members(takes)
    fused, weights = stack(takes, ["noise", "knowing"], outer, pairs)
    changed, others = stack(forget(takes, (2,)), ["noise", "knowing"], outer, pairs)
    own = takes.folds == 2
    assert fused[own].tolist() == changed[own].tolist()
    assert weights[2].tolist() == others[2].tolist()
    assert not np.array_equal(weights[3], others[3])


def test_a_member_that_knows_outweighs_one_that_guesses() -> None:
    takes = make_takes()
    outer, pairs = random_members(takes)
    fused, weights = stack(takes, ["noise", "knowing"], outer, pairs)
    assert all(w[1] > 5 * w[0] for w in weights)
    assert (fused.argmax(axis=1) == takes.labels).mean() > 0.95


def test_weights_are_never_negative() -> None:
    labels = np.arange(30) % NUM_CLASSES
    wrong = np.zeros((30, NUM_CLASSES))
    wrong[np.arange(30), labels] = -3.0
    assert fit_weights([wrong, -wrong], labels)[0] == 0.0


def test_a_product_adds_logarithms() -> None:
    takes = make_takes()
    outer, _ = random_members(takes)
    fused = pool(takes, outer, ["noise", "knowing"])
    product = np.exp(outer[4]["noise"] + outer[4]["knowing"])
    expected = product / product.sum(axis=1, keepdims=True)
    assert np.exp(fused[takes.folds == 4]) == pytest.approx(expected)


def test_each_speakers_numbers_get_mean_0_and_deviation_1() -> None:
    values = np.array([[1.0], [3.0], [10.0], [30.0]])
    found = per_speaker(values, np.array([7, 7, 5, 5]))
    assert found.ravel().tolist() == pytest.approx([-1.0, 1.0, -1.0, 1.0])
