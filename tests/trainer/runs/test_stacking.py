"""Weights of ensembles that training clips choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.predictions_helper import CLASSES, predictions_of
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    format_parts,
    mean_predictions,
    read_parts,
)
from trainer.runs.stacking import SMOOTHING, fit_weights, stack

LABELS = "ahsahs"
FOLDS = (0, 0, 0, 1, 1, 1)


def nested_of(table: Predictions) -> dict[int | None, Predictions]:
    """The clips of each fold's other fold, as if other heads had said the same of them."""
    parts: dict[int | None, Predictions] = {}
    for fold in (0, 1):
        own = table.select(lambda i, fold=fold: table.folds[i] != fold)  # type: ignore[misc]
        parts[fold] = replace(own, folds=(fold,) * len(own.clips))
    return parts


def test_a_product_is_the_geometric_mean_made_to_sum_to_one() -> None:
    a = predictions_of("a", "a", sure=0.8)  # .8 .1 .1
    b = predictions_of("a", "h", sure=0.5)  # .25 .5 .25
    found = mean_predictions([a, b], product=True).probabilities[0]
    roots = np.sqrt([0.8 * 0.25, 0.1 * 0.5, 0.1 * 0.25])
    np.testing.assert_allclose(found, roots / roots.sum())
    weighted = mean_predictions([a, b], [3, 1], product=True).probabilities[0]
    roots = np.array([0.8**3 * 0.25, 0.1**3 * 0.5, 0.1**3 * 0.25]) ** 0.25
    np.testing.assert_allclose(weighted, roots / roots.sum())


def test_no_member_of_a_product_rules_a_class_out_alone() -> None:
    never = predictions_of("a", "h", sure=1.0)
    sure = replace(never, probabilities=np.array([[1.0, 0.0, 0.0]]))
    found = mean_predictions([never, sure], product=True).probabilities[0]
    np.testing.assert_allclose(found[:2], 0.5, atol=1e-5)


def test_equal_members_share_their_weight_and_a_useless_one_gets_less() -> None:
    labels = np.array([CLASSES.index("angry"), 1, 2] * 20)
    good = np.full((60, 3), np.log(0.15))
    good[np.arange(60), labels] = np.log(0.7)
    noise = np.log(np.random.default_rng(3).dirichlet([2.0] * 3, 60))
    twins = fit_weights([good, good], labels)
    assert twins[0] == pytest.approx(twins[1])
    fair = fit_weights([good, noise], labels)
    assert fair[0] > 0.5 > fair[1] >= 0


def test_fitted_weights_are_where_the_loss_is_flat() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 41)
    members = [rng.normal(size=(41, 3)) + 2 * np.eye(3)[labels] * scale for scale in (1.0, 0.6)]

    def loss(weights: np.ndarray) -> float:
        scores = weights[0] * members[0] + weights[1] * members[1]
        total = 0.0
        for row, label in enumerate(labels):
            total -= scores[row, label] - np.log(np.exp(scores[row]).sum())
        return float(total / 41 + SMOOTHING * ((weights - 0.5) ** 2).sum())

    best = fit_weights(members, labels)
    assert (best > 0).all()
    for step in ([0.02, 0.0], [-0.02, 0.0], [0.0, 0.02], [0.0, -0.02]):
        assert loss(best + step) > loss(best)


def test_the_labels_of_tested_clips_choose_no_weight() -> None:
    a = predictions_of(LABELS, "ahsaaa", folds=FOLDS)
    b = predictions_of(LABELS, "hhsahh", folds=FOLDS, sure=0.9)
    nested = [nested_of(a), nested_of(b)]
    _, weights = stack([a, b], nested, ["a", "b"])
    assert list(weights) == [0, 1]
    assert weights[0][0] != pytest.approx(weights[1][0])  # other clips choose them
    turned = tuple(reversed(a.labels))
    others = [replace(table, labels=turned) for table in (a, b)]
    _, same = stack(others, nested, ["a", "b"])
    for fold in (0, 1):
        np.testing.assert_array_equal(weights[fold], same[fold])
    wrong = [dict(part) for part in nested]
    for part, table in zip(wrong, (a, b), strict=True):  # fold 0 tests the first three clips
        part[0] = replace(table, folds=(0,) * len(table.clips))
    with pytest.raises(PredictionsError, match="c00 is a test clip of fold 0 and among the clips"):
        stack([a, b], wrong, ["a", "b"])


def test_each_fold_is_fused_by_its_own_weights() -> None:
    a = predictions_of(LABELS, "ahsaaa", folds=FOLDS)
    b = predictions_of(LABELS, "hhsahh", folds=FOLDS, sure=0.9)
    fused, weights = stack([a, b], [nested_of(a), nested_of(b)], ["a", "b"])
    for row, fold in enumerate(FOLDS):
        own = a.probabilities[row] ** weights[fold][0] * b.probabilities[row] ** weights[fold][1]
        np.testing.assert_allclose(fused.probabilities[row], own / own.sum())
    assert fused.folds == FOLDS


def test_runs_of_other_folds_or_training_clips_are_refused() -> None:
    a = predictions_of(LABELS, "ahsaaa", folds=FOLDS)
    b = predictions_of(LABELS, "hhsahh", folds=(0, 1) * 3)
    with pytest.raises(PredictionsError, match="b is divided into other folds than a"):
        stack([a, b], [nested_of(a), nested_of(b)], ["a", "b"])
    few = nested_of(a)
    few[1] = few[1].select(lambda i: i > 0)
    with pytest.raises(PredictionsError, match="a, training clips of fold 1 has 3 clips and c"):
        stack([a, a], [nested_of(a), few], ["a", "c"])


def test_tables_that_share_clips_are_read_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "nested.csv"
    one = predictions_of("ah", "as", folds=(0, 0), speakers=("x", None))
    other = predictions_of("as", "as", folds=(2, 2), speakers=("x", "y"))
    path.write_text(format_parts([one, other]))
    back = read_parts(path)
    assert list(back) == [0, 2]
    for part, there in zip((one, other), back.values(), strict=True):
        assert (part.clips, part.labels, part.speakers) == (
            there.clips,
            there.labels,
            there.speakers,
        )
        np.testing.assert_array_equal(part.probabilities, there.probabilities)
    path.write_text(path.read_text().replace("angry,angry", "angry,happy", 1))
    with pytest.raises(PredictionsError, match=r"nested\.csv, line 2: expected a label"):
        read_parts(path)
    path.write_text("clip,label\n")
    with pytest.raises(PredictionsError, match="is not a table of predictions"):
        read_parts(path)
