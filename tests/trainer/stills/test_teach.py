"""Targets with teachers, norms that settle, and logits without the pull of frequent classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from extractors.weights.files import WeightsError
from extractors.weights.load import save_weights
from tests.trainer.stills_helper import FACTS, TINY, make_stills
from trainer.stills.classifier import FaceClassifier, log_prior, normalise, predict_stills
from trainer.stills.finetune import finetune
from trainer.stills.prepare import RANDOM, resolve, training_identity
from trainer.stills.settle import settle_norms
from trainer.stills.teach import teach
from trainer.stills.weights_file import save_classifier

TRAIN = make_stills(19, 0)


@pytest.fixture
def teachers(narrow: str, tmp_path: Path) -> list[Path]:
    facts = replace(FACTS, classes=TRAIN.classes)
    return [
        save_classifier(
            FaceClassifier(narrow, len(TRAIN.classes), seed=seed).eval(),
            tmp_path / f"{seed}.safetensors",
            facts,
        )
        for seed in (3, 4)
    ]


def test_teachers_share_a_target_in_equal_parts(narrow: str, teachers: list[Path]) -> None:
    said = [
        predict_stills(
            FaceClassifier(narrow, len(TRAIN.classes), seed=seed).eval(), TRAIN, 17, grey=True
        )
        for seed in (3, 4)
    ]
    found = teach(TRAIN, teachers, replace(TINY, distill=0.25)).targets
    known = TRAIN.targets.sum(axis=1) > 0
    expected = 0.75 * TRAIN.targets + 0.125 * (said[0] + said[1])
    np.testing.assert_allclose(found[known], expected[known], atol=1e-6)
    assert not found[~known].any()


def test_without_teachers_the_images_are_the_same() -> None:
    assert teach(TRAIN, [], TINY) is TRAIN


def test_another_share_of_the_teachers_is_another_training(teachers: list[Path]) -> None:
    identities = {
        training_identity(*resolve(teach(TRAIN, teachers, settings), settings), RANDOM)
        for settings in (replace(TINY, distill=share) for share in (0.25, 0.5))
    }
    assert len(identities) == 2


def test_a_teacher_with_other_classes_is_refused_by_name(narrow: str, tmp_path: Path) -> None:
    path = save_classifier(FaceClassifier(narrow, 3).eval(), tmp_path / "other.safetensors", FACTS)
    with pytest.raises(WeightsError, match=r"other\.safetensors has the classes a, b, c; the im"):
        teach(TRAIN, [path], TINY)


def test_majorities_take_no_teachers(teachers: list[Path]) -> None:
    with pytest.raises(ValueError, match="teachers need target=votes"):
        teach(TRAIN, teachers, replace(TINY, target="majority"))


def test_norms_settle_without_a_change_of_what_the_network_says(narrow: str) -> None:
    classifier = FaceClassifier(narrow, len(TRAIN.classes), seed=1)
    with torch.no_grad():
        for name, value in classifier.state_dict().items():
            if name.endswith(("running_mean", "running_var")):
                value.add_(0.7)
    before = predict_stills(classifier.eval(), TRAIN, 17, grey=True)
    settle_norms(classifier, TRAIN, replace(TINY, start_size=17))
    np.testing.assert_allclose(predict_stills(classifier, TRAIN, 17, grey=True), before, atol=1e-5)
    # In training, by the statistics of a batch of all images, the first norm does the same now.
    pixels = functional.interpolate(
        torch.from_numpy(TRAIN.images).unsqueeze(1).float(), (17, 17), mode="bilinear",
        antialias=True,
    )  # fmt: skip
    first = classifier.network.conv1(normalise(classifier, pixels))
    norm = classifier.network.bn1
    by_statistics = norm.eval()(first)
    torch.testing.assert_close(norm.train()(first), by_statistics, rtol=0.02, atol=0.02)


def test_settling_takes_part_only_where_training_starts_from_weights(
    narrow: str, tmp_path: Path
) -> None:
    path = tmp_path / "start.safetensors"
    save_weights(FaceClassifier(narrow, len(TRAIN.classes), seed=5).network, path, {})
    settings = replace(TINY, epochs=1, learning_rate=1e-9)
    valid = make_stills(7, 1)
    plain, settled = (
        finetune(TRAIN, valid, replace(settings, settle_norms=settle), weights=path)
        for settle in (False, True)
    )
    states = [trained.classifier.state_dict() for trained in (plain, settled)]
    assert not torch.equal(states[0]["network.bn1.weight"], states[1]["network.bn1.weight"])
    random = finetune(TRAIN, valid, replace(settings, settle_norms=True))
    assert torch.allclose(random.classifier.state_dict()["network.bn1.weight"], torch.ones(3))


def test_the_prior_is_of_the_training_targets() -> None:
    expected = np.log(TRAIN.targets.sum(axis=0) / TRAIN.targets.sum())
    found = log_prior(TRAIN).numpy()
    met = np.isfinite(expected)
    np.testing.assert_allclose(found[met], expected[met], rtol=1e-4)


@pytest.mark.slow
def test_adjusted_logits_favour_rare_classes_more(narrow: str) -> None:
    settings = replace(TINY, epochs=6, learning_rate=0.02, ema=0.5)
    rare = int(TRAIN.targets.sum(axis=0).argmin())
    shares = []
    for power in (0.0, 1.0):
        trained = finetune(TRAIN, TRAIN, replace(settings, logit_adjustment=power))
        found = predict_stills(trained.classifier, TRAIN, 17, grey=True)
        shares.append(float(found[:, rare].mean()))
    assert shares[1] > 1.5 * shares[0]
