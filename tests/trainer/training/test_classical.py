"""Heads that are no networks: their coefficients against scikit-learn, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_info, threadpool_limits

from cache.settings import SettingsError
from tests.trainer.corpus_helper import CLASSES, VIDEO_DIM, small_settings, toy_corpus
from trainer.data.batches import BatchMaker
from trainer.data.corpus import CorpusError
from trainer.data.normalisation import normalise
from trainer.export.raw import RawHead
from trainer.heads.classical import ABSENT, ClassicalHead
from trainer.runs.folder import RunError
from trainer.settings import TrainSettings, load_settings
from trainer.training import classical as fitting
from trainer.training.predict import predict_head
from trainer.training.train import train_head
from trainer.training.trained import CheckpointError, load_checkpoint, save_checkpoint

Array = NDArray[np.float64]
TRAIN = np.arange(20)
KINDS = ("discriminant", "linear", "svm")


def classical(kind: str, fusion: str = "concat", **head: Any) -> TrainSettings:
    pooling = {"attention": "mean"}
    return small_settings(
        video=pooling, audio=pooling, fusion={"kind": fusion}, head={"kind": kind, **head}
    )


def discriminant(**options: Any) -> LinearDiscriminantAnalysis:
    return LinearDiscriminantAnalysis(solver="lsqr", **options)


EXPECTED: Mapping[str, tuple[dict[str, Any], Any]] = {
    "half shrunk": ({"kind": "discriminant"}, discriminant(shrinkage=0.5)),
    "shrunk by Ledoit and Wolf": (
        {"kind": "discriminant", "shrinkage": "auto"},
        discriminant(covariance_estimator=LedoitWolf()),
    ),
    "logistic": ({"kind": "linear", "linear_c": 0.3}, LogisticRegression(C=0.3, max_iter=1000)),
    "rbf": ({"kind": "svm"}, SVC(C=10)),
    "linear svm": ({"kind": "svm", "kernel": "linear"}, SVC(C=10, kernel="linear")),
}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("num_train", [20, 9])  # more and fewer clips than numbers
def test_stored_coefficients_answer_as_scikit_learn_does(
    name: str, classes: int, num_train: int, tmp_path: Path
) -> None:
    values, model = EXPECTED[name]
    corpus = toy_corpus(num_clips=31)
    corpus = replace(corpus, labels=corpus.labels % classes, classes=CLASSES[:classes])
    train = TRAIN[:num_train]
    head = train_head(corpus, train, classical(**values))
    back = load_checkpoint(save_checkpoint(head, tmp_path / "head.safetensors"))
    module = cast("ClassicalHead", back.module())
    steps = normalise(corpus, head.normalisation, head.settings)
    batch = BatchMaker(steps, "cpu").batch(np.arange(31))
    vectors = module.vectors(**batch)[0]["fused"].numpy()
    means = np.hstack([[steps[m].of(i).mean(axis=0) for i in range(31)] for m in steps])
    np.testing.assert_allclose(vectors, means.clip(-5, 5), atol=1e-5)
    model.fit(vectors[train], corpus.labels[train])
    if values["kind"] == "svm":
        votes = 2 * model.decision_function(vectors)
        votes = votes if classes > 2 else np.stack([-votes, votes], axis=1) / 2
        expected = log_softmax(votes, axis=1)
    else:
        expected = model.predict_log_proba(vectors)
    found = module(**batch).logits.exp()
    np.testing.assert_allclose(found.numpy(), np.exp(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_seed_changes_a_head_that_is_fitted_at_once(kind: str) -> None:
    corpus = toy_corpus()
    one, other = (train_head(corpus, TRAIN, classical(kind), seed=seed) for seed in (3, 5))
    assert one.state.keys() == other.state.keys()
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", ["concat", "late", "video"])
def test_what_a_clip_lacks_counts_as_the_training_mean_or_not_at_all(
    kind: str, fusion: str
) -> None:
    corpus = toy_corpus(missing=True)  # clip 1 has no video, clip 2 no audio, clip 3 neither
    head = train_head(corpus, np.arange(4, 30), classical(kind, fusion))
    found = predict_head(head, corpus, np.arange(30)).probabilities
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    module = cast("ClassicalHead", head.module())
    if fusion == "concat":  # clip 3 is the mean of all training clips, number by number
        zeros = torch.zeros(1, module.dims["fused"], dtype=torch.float64)
        expected = module.scores["fused"](zeros).softmax(dim=1)[0]
        np.testing.assert_allclose(found[3], expected, atol=1e-9)
    if fusion == "late":  # clip 1 is what its sound alone says
        alone = train_head(corpus, np.arange(4, 30), classical(kind, "audio"))
        expected = predict_head(alone, corpus, [1]).probabilities[0]
        np.testing.assert_allclose(found[1], expected, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_without_training_clips_gets_next_to_nothing(kind: str) -> None:
    corpus = toy_corpus()
    train = TRAIN[corpus.labels[TRAIN] != 1]
    head = train_head(corpus, train, classical(kind))
    found = predict_head(head, corpus, np.arange(30))
    np.testing.assert_allclose(found.logits[:, 1], ABSENT)
    assert (found.probabilities[:, 1] < 1e-12).all()


def test_a_fit_takes_as_many_threads_as_pytorch_and_gives_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count(*_: object) -> dict[str, Array]:
        seen.append({one["num_threads"] for one in threadpool_info()})
        return {}

    seen: list[set[int]] = []
    monkeypatch.setattr(fitting, "_fit_svm", count)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with threadpool_limits(1):
        fitting.fit_coefficients(np.eye(2), np.arange(2), classical("svm"))
        count()
    assert seen == [{2}, {1}]


def test_nothing_of_other_clips_takes_part_in_a_fit() -> None:
    corpus = toy_corpus()
    labels = corpus.labels.copy()
    labels[20:] = 0
    for kind in KINDS:
        heads = [
            train_head(one, TRAIN, classical(kind))
            for one in (corpus, replace(corpus, labels=labels))
        ]
        assert all(torch.equal(heads[0].state[k], heads[1].state[k]) for k in heads[0].state)


def test_balanced_classes_and_a_prior_move_probabilities_as_in_a_network() -> None:
    corpus = toy_corpus()
    train = np.union1d(TRAIN, np.flatnonzero(corpus.labels == 0))
    for kind in KINDS:
        plain = train_head(corpus, train, classical(kind, svm_c=0.05))
        balanced = replace(
            plain.settings, optim=replace(plain.settings.optim, class_weight="balanced")
        )
        even = train_head(corpus, train, balanced)
        usual, other = (predict_head(h, corpus, np.arange(30)).probabilities for h in (plain, even))
        assert other[:, 0].mean() < usual[:, 0].mean(), kind
        head = train_head(corpus, train, replace(plain.settings, prior="train"))
        weighted = usual * np.bincount(corpus.labels[train])
        weighted /= weighted.sum(axis=1, keepdims=True)
        found = predict_head(head, corpus, np.arange(30)).probabilities
        np.testing.assert_allclose(found, weighted, atol=1e-12)


def test_sound_of_one_class_alone_can_t_be_classified_apart() -> None:
    corpus = toy_corpus()
    lengths = np.where(corpus.labels == 2, 1, 0)
    part = corpus.sequences["audio"]
    sound = part.without(lengths == 0)
    corpus = replace(corpus, sequences={**corpus.sequences, "audio": sound})
    with pytest.raises(CorpusError, match="training clips with audio all have the label 'sad'"):
        train_head(corpus, TRAIN, classical("svm", "late"))


def test_outliers_are_cut_off_where_deviations_are_known_and_video_weighs_as_asked() -> None:
    corpus = toy_corpus()
    for name in ("video", "audio"):
        corpus.sequences[name].of(29)[:, 0] = 1e6
        corpus.sequences[name].of(28)[:, 1] = -1e6

    def vectors(fusion: str = "concat", **video: Any) -> tuple[Array, Array]:
        settings = classical("linear", fusion, video_weight=3.0)
        settings = replace(settings, video=replace(settings.video, **video))
        head = train_head(corpus, TRAIN, settings)
        steps = normalise(corpus, head.normalisation, settings)
        batch = BatchMaker(steps, "cpu").batch(np.array([28, 29]))
        parts = cast("ClassicalHead", head.module()).vectors(**batch)[0]
        joined = parts["fused"] if fusion == "concat" else parts["video"]
        return joined[0].numpy(), joined[1].numpy()

    low, high = vectors()
    assert (low[1], high[0]) == (-15.0, 15.0)  # video first, times its weight
    assert (low[VIDEO_DIM + 1], high[VIDEO_DIM]) == (-5.0, 5.0)
    assert vectors("late")[1][0] == 5.0  # each modality by itself has no weight
    assert vectors(normalise="none")[1][0] == pytest.approx(3e6)


def test_a_discriminant_of_one_clip_a_class_is_refused() -> None:
    with pytest.raises(CorpusError, match="more training clips than classes, got 3 clips of 3 cl"):
        train_head(toy_corpus(), np.arange(3), classical("discriminant"))


def test_settings_that_only_a_network_has_are_refused_together() -> None:
    with pytest.raises(SettingsError, match=r"head\.kind=svm .*it needs video\.attention=mean .*"):
        load_settings("fast", ["head.kind=svm"])
    changes = [
        "head.kind=linear", "audio.encoder=cnn", "fusion.kind=fbp", "optim.targets=votes",
        "selection=inner:0.2", "augment.gain=0.5",
    ]  # fmt: skip
    with pytest.raises(SettingsError) as refused:
        load_settings("svm", changes)
    for part in (
        "audio.encoder=none", "fusion.kind=concat", "optim.targets=label", "selection=fixed",
        "no augmentation", "--preset svm",
    ):  # fmt: skip
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("head.kind=forest", "head.kind must be one of network, discriminant, linear, svm"),
        ("head.shrinkage=1.5", r"shrinkage must be auto or in \[0, 1\], got 1.5"),
        ("head.svm_c=0", "svm_c must be above 0, got 0"),
        ("head.largest=-1", "largest must be at least 0, got -1"),
    ],
)
def test_a_strength_that_means_nothing_is_refused(change: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings("svm", [change])


@pytest.mark.parametrize("damage", ["class", "missing", "shape", "type", "extra", "gamma"])
def test_damaged_coefficients_are_refused_before_anything_is_made_of_them(
    damage: str, tmp_path: Path
) -> None:
    path = save_checkpoint(train_head(toy_corpus(), TRAIN, classical("svm")), tmp_path / "h.st")
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        metadata = file.metadata()
    if damage == "class":
        tensors["head.present.fused"][0] = 7
    elif damage == "missing":
        del tensors["head.scores.fused.duals"]
    elif damage == "shape":
        tensors["head.scores.fused.duals"] = torch.zeros(2, 3, dtype=torch.float64)
    elif damage == "gamma":  # which would make far clips infinitely alike
        tensors["head.scores.fused.gamma"] = torch.tensor(-1.0, dtype=torch.float64)
    elif damage == "type":
        tensors["head.scores.fused.gamma"] = torch.zeros((), dtype=torch.float32)
    else:
        tensors["head.scores.video.gamma"] = torch.zeros((), dtype=torch.float64)
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        load_checkpoint(path)


def test_export_says_that_it_is_for_networks() -> None:
    with pytest.raises(RunError, match=r"heads with head\.kind=svm can't be exported"):
        RawHead(train_head(toy_corpus(), TRAIN, classical("svm")))
