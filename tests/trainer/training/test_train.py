"""Training: something is learnt, the same seed gives the same bits, a killed one continues."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer.training.train
from cache.settings import settings_from
from tests.trainer.corpus_helper import ragged, small_settings, toy_corpus
from trainer.data.batches import plan_batches
from trainer.data.corpus import UNLABELLED, Corpus, CorpusError
from trainer.settings import TrainSettings
from trainer.training.predict import predict_head
from trainer.training.train import TrainingError, choose_epochs, train_head
from trainer.training.trained import (
    EpochRecord,
    TrainedHead,
    load_checkpoint,
    save_checkpoint,
)

TRAIN, TEST = np.arange(20), np.arange(20, 30)


def same_bits(a: TrainedHead, b: TrainedHead) -> bool:
    return all(torch.equal(a.state[name], b.state[name]) for name in a.state)


def accuracy(head: TrainedHead, corpus: Corpus, clips: np.ndarray) -> float:
    predicted = predict_head(head, corpus, clips).probabilities.argmax(1)
    return float((predicted == corpus.labels[clips]).mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fbp", "concat", "late", "video", "audio"])
@pytest.mark.parametrize("attention", ["mean", "self", "relation", "transformer"])
def test_a_toy_problem_is_learnt_by_every_fusion_with_every_attention(
    kind: str, attention: str
) -> None:
    corpus = toy_corpus(60)
    settings = small_settings(
        fusion={"kind": kind},
        video={"attention": attention},
        audio={"attention": attention},
        optim={"epochs": 12},
    )
    head = train_head(corpus, np.arange(40), settings)
    assert head.history[-1].loss < head.history[0].loss
    assert accuracy(head, corpus, np.arange(40, 60)) > 0.6  # chance is 1/3


@pytest.mark.slow
def test_a_joint_encoder_learns_from_spectrograms() -> None:
    corpus = toy_corpus(12)
    sound = ragged([80] * 12, 20, seed=1)
    for i, label in enumerate(corpus.labels):
        sound.of(i)[:, 6 * label : 6 * label + 6] += 2.0  # another band for each class
    corpus = replace(corpus, sequences={"audio": sound})
    settings = small_settings(
        fusion={"kind": "audio"},
        audio={"encoder": "alexnet"},
        optim={"epochs": 4, "batch_size": 4, "learning_rate": 1e-3},
    )
    head = train_head(corpus, np.arange(12), settings)
    assert head.history[-1].train_accuracy > 0.9


def test_clips_that_lack_modalities_are_trained_on_and_predicted() -> None:
    corpus = toy_corpus(missing=True)
    head = train_head(corpus, TRAIN, small_settings(video={"embedding_dim": 3}))
    predictions = predict_head(head, corpus, np.arange(4))
    assert np.isfinite(predictions.logits).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    corpus, settings = toy_corpus(), small_settings()
    first = train_head(corpus, TRAIN, settings, seed=5)
    assert same_bits(first, train_head(corpus, TRAIN, settings, seed=5))
    assert same_bits(first, train_head(corpus, TRAIN, replace(settings, seed=5)))
    assert not same_bits(first, train_head(corpus, TRAIN, settings, seed=6))
    assert first.seed == 5


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    train_head(toy_corpus(), TRAIN, small_settings())
    assert torch.equal(torch.rand(2), want)


@pytest.mark.slow
def test_other_clips_of_the_corpus_never_change_a_head() -> None:
    corpus, settings = toy_corpus(), small_settings()
    before = train_head(corpus, TRAIN, settings)
    for part in corpus.sequences.values():
        part.values[part.rows(TEST)] = 1e3
    corpus.labels[TEST] = 0
    assert same_bits(before, train_head(corpus, TRAIN, settings))


@pytest.mark.slow
def test_validation_clips_are_reported_on_and_never_change_a_head() -> None:
    corpus, settings = toy_corpus(), small_settings()
    plain = train_head(corpus, TRAIN, settings)
    watched = train_head(corpus, TRAIN, settings, validation_clips=TEST)
    assert same_bits(plain, watched)
    assert plain.history[-1].validation_accuracy is None
    assert watched.history[-1].validation_accuracy == accuracy(watched, corpus, TEST)
    probabilities = predict_head(watched, corpus, TEST).probabilities
    loss = -np.log(probabilities[np.arange(len(TEST)), corpus.labels[TEST]]).mean()
    assert watched.history[-1].validation_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_history_has_a_record_per_epoch_that_is_also_handed_out() -> None:
    seen: list[EpochRecord] = []
    head = train_head(toy_corpus(), TRAIN, small_settings(), on_epoch=seen.append)
    assert head.history == tuple(seen)
    assert [record.epoch for record in seen] == [1, 2, 3, 4]
    assert all(record.seconds > 0 and 0 <= record.train_accuracy <= 1 for record in seen)
    rates = [record.learning_rate for record in seen]
    assert 0.02 > rates[0] > rates[1] > rates[2] > rates[3] > 0


@pytest.mark.parametrize(("stack", "module"), [("off", "plain"), ("on", "stack")])
def test_every_epoch_deals_the_clips_anew(
    monkeypatch: pytest.MonkeyPatch, stack: str, module: str
) -> None:
    dealt = []

    def watched(*arguments: Any, **options: Any) -> list[np.ndarray]:
        dealt.append(plan_batches(*arguments, **options))
        return dealt[-1]

    monkeypatch.setattr(f"trainer.training.{module}.plan_batches", watched)
    train_head(toy_corpus(), TRAIN, small_settings(optim={"stack": stack}))
    assert len({str(batches) for batches in dealt}) == 4


@pytest.mark.slow
def test_stopping_early_goes_the_same_way_and_stops() -> None:
    corpus, settings = toy_corpus(), small_settings()
    whole = train_head(corpus, TRAIN, settings)
    part = train_head(corpus, TRAIN, settings, epochs=2)
    assert [r.loss for r in part.history] == [r.loss for r in whole.history[:2]]


@pytest.mark.slow
def test_the_epoch_is_chosen_by_accuracy_then_loss_on_the_clips_held_out() -> None:
    corpus, settings = toy_corpus(), small_settings()
    watched = train_head(corpus, TRAIN, settings, validation_clips=TEST)
    best = max(watched.history, key=lambda r: (r.validation_accuracy, -r.validation_loss))
    assert choose_epochs(corpus, TRAIN, TEST, settings) == best.epoch


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_every_optimiser_and_class_weight_trains(optimiser: str, weight: str) -> None:
    settings = small_settings(
        optim={
            "optimiser": optimiser,
            "class_weight": weight,
            "grad_clip": 0.0,
            "schedule": "constant",
        }
    )
    history = train_head(toy_corpus(), TRAIN, settings).history
    assert history[-1].loss < history[0].loss


# ---- a killed training -----------------------------------------------------------------------


class KilledError(Exception):
    pass


def stop_after(epoch: int) -> Any:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise KilledError

    return on_epoch


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_interrupted_training_continues_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    monkeypatch.setattr(trainer.training.train, "PROGRESS_SECONDS", 0.0)
    corpus, settings = toy_corpus(), small_settings(optim={"optimiser": optimiser})
    whole = train_head(corpus, TRAIN, settings, validation_clips=TEST)
    progress = tmp_path / "progress.safetensors"
    options: dict[str, Any] = {"validation_clips": TEST, "progress": progress}
    with pytest.raises(KilledError):
        train_head(corpus, TRAIN, settings, on_epoch=stop_after(2), **options)
    seen: list[EpochRecord] = []
    rest = train_head(corpus, TRAIN, settings, on_epoch=seen.append, **options)
    assert [record.epoch for record in seen] == [3, 4]
    assert same_bits(rest, whole)
    assert [r.validation_loss for r in rest.history] == [r.validation_loss for r in whole.history]
    again = train_head(corpus, TRAIN, settings, **options)  # nothing is left to do
    assert same_bits(again, whole)


@pytest.mark.slow
def test_the_progress_of_another_training_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.training.train, "PROGRESS_SECONDS", 0.0)
    corpus, settings = toy_corpus(), small_settings()
    kept = tmp_path / "kept.safetensors"
    train_head(corpus, TRAIN, settings, progress=kept)
    arguments = {"corpus": corpus, "train_clips": TRAIN, "settings": settings}
    for number, other in enumerate(
        (
            {"seed": 1},
            {"train_clips": TRAIN[1:]},
            {"validation_clips": TEST},
            {"settings": small_settings(fusion={"rank": 3})},
            {"epochs": 2},
            {"corpus": replace(corpus, checksums={"ir50/basic": ("f" * 64,) * 30})},
            {"corpus": replace(corpus, set_keys={"ir50": "c" * 64})},
            {"corpus": replace(corpus, labels=(corpus.labels + 1) % 3)},
        )
    ):
        progress = tmp_path / f"{number}.safetensors"
        progress.write_bytes(kept.read_bytes())
        seen: list[EpochRecord] = []
        head = train_head(**{**arguments, **other}, progress=progress, on_epoch=seen.append)
        assert [record.epoch for record in seen] == list(range(1, other.get("epochs", 4) + 1))
        assert same_bits(head, train_head(**{**arguments, **other}))


@pytest.mark.slow
def test_damaged_progress_is_not_continued(tmp_path: Path) -> None:
    progress = tmp_path / "progress.safetensors"
    progress.write_bytes(b"\x10" * 100)
    corpus, settings = toy_corpus(), small_settings()
    whole = train_head(corpus, TRAIN, settings)
    assert same_bits(train_head(corpus, TRAIN, settings, progress=progress), whole)


def _train_and_die(progress: Path) -> None:
    torch.set_num_threads(1)
    trainer.training.train.PROGRESS_SECONDS = 0.0
    train_head(
        toy_corpus(),
        TRAIN,
        small_settings(),
        progress=progress,
        on_epoch=lambda record: os._exit(9) if record.epoch == 3 else None,
    )


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_epoch(tmp_path: Path) -> None:
    progress = tmp_path / "progress.safetensors"
    process = multiprocessing.get_context("spawn").Process(target=_train_and_die, args=(progress,))
    process.start()
    process.join(120)
    assert process.exitcode == 9
    seen: list[EpochRecord] = []
    rest = train_head(
        toy_corpus(), TRAIN, small_settings(), progress=progress, on_epoch=seen.append
    )
    assert [record.epoch for record in seen] == [4]
    whole = train_head(toy_corpus(), TRAIN, small_settings())
    for name, value in whole.state.items():  # the process may have had other threads
        torch.testing.assert_close(rest.state[name], value)


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_loss_that_is_no_longer_finite_names_its_epoch(rate: float) -> None:
    settings = small_settings(
        optim={"learning_rate": rate, "optimiser": "sgd", "grad_clip": 0.0, "warmup": 0.0}
    )
    with pytest.raises(TrainingError, match=r"became (nan|inf) in epoch [12] of 4; lower optim"):
        train_head(toy_corpus(), TRAIN, settings)


def test_no_training_clip_is_refused() -> None:
    with pytest.raises(CorpusError, match="training needs at least one clip"):
        train_head(toy_corpus(), [], small_settings())


@pytest.mark.parametrize("role", ["training", "validation"])
def test_a_clip_without_a_label_is_refused_by_name(role: str) -> None:
    corpus = toy_corpus()
    bad = 3 if role == "training" else 25
    corpus.labels[bad] = UNLABELLED
    with pytest.raises(CorpusError, match=f"1 {role} clip without a label, clip{bad:02} first"):
        train_head(corpus, TRAIN, small_settings(), validation_clips=TEST)


def test_a_modality_that_no_training_clip_has_is_refused() -> None:
    with pytest.raises(CorpusError, match="none of the 1 training clips has video"):
        train_head(toy_corpus(missing=True), [1], small_settings())


def test_choosing_epochs_without_held_out_clips_is_refused() -> None:
    with pytest.raises(CorpusError, match="needs at least one held-out clip"):
        choose_epochs(toy_corpus(), TRAIN, [], small_settings())


@pytest.mark.slow
def test_a_presets_prior_for_other_classes_is_refused() -> None:
    settings = settings_from(TrainSettings, {"prior": "afew-test", "audio": {"encoder": "none"}})
    with pytest.raises(ValueError, match="prior=afew-test is for the classes"):
        train_head(toy_corpus(), TRAIN, settings)


# float32 in another order of summation, over a few updates of Adam, which doubles small shares.
ON_A_GPU = {"rtol": 1e-3, "atol": 1e-3}
# A GPU draws its own noise: without any, it learns what the processor learns.
NO_NOISE: dict[str, Any] = {
    "video": {"embedding_dropout": 0.0},
    "audio": {"embedding_dropout": 0.0},
    "fusion": {"dropout": 0.0, "classifier_dropout": 0.0},
}


def spectrogram_corpus() -> Corpus:
    corpus = toy_corpus(12)
    sound = ragged([80] * 12, 20, seed=1)
    for i, label in enumerate(corpus.labels):
        sound.of(i)[:, 6 * label : 6 * label + 6] += 2.0
    return replace(corpus, sequences={**corpus.sequences, "audio": sound})


@pytest.mark.parametrize("stack", ["off", "on"])
def test_a_head_trained_on_a_gpu_is_that_of_the_processor_and_predicts_there(
    stack: str, tmp_path: Path, gpu: str
) -> None:
    corpus = toy_corpus(missing=True)
    settings = small_settings(**NO_NOISE)
    settings = replace(settings, optim=replace(settings.optim, stack=stack, epochs=2))
    expected = train_head(corpus, TRAIN, settings, validation_clips=TEST)
    head = train_head(corpus, TRAIN, settings, validation_clips=TEST, device=gpu)
    for name, value in expected.state.items():
        torch.testing.assert_close(head.state[name], value, **ON_A_GPU)
    assert all(value.device.type == "cpu" for value in head.state.values())
    read = load_checkpoint(save_checkpoint(head, tmp_path / "head.safetensors"))
    there, here = (predict_head(read, corpus, TEST, attention=True, device=d) for d in (gpu, "cpu"))
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=1e-5)
    for name, attention in here.attention.items():
        for ours, theirs in zip(there.attention[name], attention, strict=True):
            np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["alexnet", "cnn"])
def test_an_encoder_is_trained_on_a_gpu_as_on_the_processor(encoder: str, gpu: str) -> None:
    corpus = spectrogram_corpus()
    settings = small_settings(
        **{**NO_NOISE, "audio": {"encoder": encoder, "embedding_dropout": 0.0}},
        optim={"epochs": 1, "batch_size": 4, "learning_rate": 1e-4},
    )
    expected = train_head(corpus, np.arange(12), settings)
    head = train_head(corpus, np.arange(12), settings, device=gpu)
    assert head.history[0].loss == pytest.approx(expected.history[0].loss, rel=1e-3)
    for name, value in expected.state.items():
        torch.testing.assert_close(head.state[name], value, **ON_A_GPU)


def test_every_augmentation_runs_on_a_gpu(gpu: str) -> None:
    settings = small_settings(
        audio={"encoder": "cnn"},
        augment={
            "mixup": 0.3, "video_noise": 0.1, "audio_noise": 0.1, "drop_modality": 0.2,
            "speed": 0.1, "gain": 0.1, "time_masks": 1, "band_masks": 1, "band_shift": 1,
        },
        optim={"epochs": 1, "batch_size": 4},
    )  # fmt: skip
    head = train_head(spectrogram_corpus(), np.arange(12), settings, device=gpu)
    assert np.isfinite(head.history[0].loss)


@pytest.mark.parametrize("stack", ["off", "on"])
def test_an_unfinished_training_goes_on_on_a_gpu(stack: str, tmp_path: Path, gpu: str) -> None:
    corpus, settings = toy_corpus(), small_settings()
    settings = replace(settings, optim=replace(settings.optim, stack=stack))
    progress = tmp_path / "progress.safetensors"
    whole = train_head(corpus, TRAIN, settings, device=gpu)

    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.training.train, "PROGRESS_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train_head(corpus, TRAIN, settings, device=gpu, progress=progress, on_epoch=stop)
    seen: list[EpochRecord] = []
    head = train_head(corpus, TRAIN, settings, device=gpu, progress=progress, on_epoch=seen.append)
    assert [record.epoch for record in seen] == [3, 4]
    for name, value in whole.state.items():
        torch.testing.assert_close(head.state[name], value, **ON_A_GPU)


@pytest.mark.parametrize("kind", ["network", "linear"])
def test_prior_class_weights_and_normalisation_count_training_clips_alone(kind: str) -> None:
    """Clips 0 to 19 are 7, 7 and 6 of the classes; all 30 would be 10 each."""
    corpus = toy_corpus()
    train = np.array([0, 1, 2, 3, 4, 6, 7, 9])  # 4 angry, 3 happy, 1 sad
    chosen = small_settings(
        prior="train",
        optim={"epochs": 1},
        **(
            {}
            if kind == "network"
            else {
                "head": {"kind": kind},
                "fusion": {"kind": "concat"},
                "video": {"attention": "mean"},
                "audio": {"attention": "mean"},
            }
        ),
    )
    head = train_head(corpus, train, chosen)
    np.testing.assert_allclose(head.prior, [4 / 8, 3 / 8, 1 / 8])
    own = np.concatenate([corpus.sequences["video"].of(i) for i in train])
    np.testing.assert_allclose(head.normalisation["video"].mean, own.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("stack", ["auto", "off"])
def test_labels_of_other_clips_change_no_bit_of_a_head(stack: str) -> None:
    """Neither class weights nor a prior count them."""
    corpus = toy_corpus()
    other = corpus.labels.copy()
    other[TEST] = 2
    chosen = small_settings(
        prior="train", optim={"epochs": 2, "class_weight": "balanced", "stack": stack}
    )
    heads = [
        train_head(some, TRAIN[1:], chosen) for some in (corpus, replace(corpus, labels=other))
    ]
    assert same_bits(*heads)
    np.testing.assert_array_equal(heads[0].prior, heads[1].prior)


def test_epochs_are_chosen_by_the_clips_held_out() -> None:
    """Their labels are turned round: the better the head learns, the worse it does on them."""
    corpus = toy_corpus()
    labels = corpus.labels.copy()
    labels[TEST] = (labels[TEST] + 1) % 3
    chosen = small_settings(optim={"epochs": 7})
    head = train_head(corpus, TRAIN, chosen)
    last = choose_epochs(corpus, TRAIN, TEST, chosen)
    first = choose_epochs(replace(corpus, labels=labels), TRAIN, TEST, chosen)
    assert head.history[last - 1].train_accuracy > head.history[first - 1].train_accuracy
    assert first < last
