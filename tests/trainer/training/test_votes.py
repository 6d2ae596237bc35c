"""Heads trained on votes: the loss by hand, a stack as one alone, figures of the labels."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache.codec import fields_to_json
from cache.manifest.manifest import Manifest
from cache.settings import read_toml
from tests.trainer.corpus_helper import CLASSES, small_settings, toy_corpus
from tests.trainer.experiment_helper import make_manifest, train
from trainer.commands.compare import compare
from trainer.data.corpus import Corpus
from trainer.data.votes import VotesError
from trainer.heads.head import HeadOutput
from trainer.report.page import format_report as format_page
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.folder import CONFIG, RunError
from trainer.runs.report import evaluate_run
from trainer.runs.terminal import format_report
from trainer.settings import OptimSettings, TrainSettings, settings_from_dict
from trainer.training.loss import head_loss
from trainer.training.predict import predict_head
from trainer.training.train import train_head, training_identity
from trainer.training.trained import TrainedHead, load_checkpoint

TRAIN = np.arange(20)


def voted(corpus: Corpus, votes: np.ndarray) -> Corpus:
    return replace(corpus, votes=votes.astype(np.float32))


def one_hot(corpus: Corpus) -> np.ndarray:
    return np.eye(len(CLASSES))[corpus.labels]


def trained(corpus: Corpus, targets: str = "votes", **optim: Any) -> TrainedHead:
    return train_head(corpus, TRAIN, small_settings(optim={"targets": targets, **optim}))


def test_the_loss_of_votes_is_the_cross_entropy_with_their_shares() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])  # probabilities 1/4 3/4, 1/2 1/2
    shares = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    weights = torch.tensor([2.0, 0.5])
    losses = [2.0 * 0.2 * math.log(4) + 0.5 * 0.8 * math.log(4 / 3), 2.0 * math.log(2)]
    weighs = [2.0 * 0.2 + 0.5 * 0.8, 2.0]
    loss = head_loss(HeadOutput(logits, {}, {}), shares, weights, 0.0)
    assert float(loss) == pytest.approx(sum(losses) / sum(weighs))


@pytest.mark.parametrize("stack", ["on", "off"])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_votes_of_one_class_train_as_the_label_does(stack: str, weight: str) -> None:
    corpus = toy_corpus()
    by_label = trained(corpus, "label", stack=stack, class_weight=weight)
    by_votes = trained(voted(corpus, one_hot(corpus)), stack=stack, class_weight=weight)
    for name, value in by_label.state.items():
        torch.testing.assert_close(by_votes.state[name], value, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_a_head_learns_from_votes_in_a_stack_what_it_learns_alone(weight: str) -> None:
    generator = np.random.default_rng(5)
    corpus = toy_corpus(missing=True)
    corpus = voted(corpus, generator.dirichlet(np.ones(len(CLASSES)), len(corpus)))
    stacked, alone = (trained(corpus, stack=stack, class_weight=weight) for stack in ("on", "off"))
    for name, value in alone.state.items():
        torch.testing.assert_close(stacked.state[name], value, rtol=1e-4, atol=2e-5)
    assert stacked.history[-1].loss == pytest.approx(alone.history[-1].loss, rel=1e-5)
    assert stacked.history[-1].train_accuracy == alone.history[-1].train_accuracy


@pytest.mark.parametrize("stack", ["on", "off"])
def test_heads_follow_the_votes_and_not_the_labels(stack: str) -> None:
    corpus = toy_corpus()
    next_class = np.roll(one_hot(corpus), 1, axis=1)
    head = trained(voted(corpus, next_class), stack=stack, epochs=12)
    predicted = predict_head(head, corpus, np.arange(20, 30)).probabilities.argmax(axis=1)
    hits = predicted == (corpus.labels[20:] + 1) % len(CLASSES)
    assert hits.mean() > 0.6  # chance is 1/3


def test_mixed_clips_are_trained_on_the_votes_of_both() -> None:
    corpus = toy_corpus()
    following = (corpus.labels + 1) % len(CLASSES)
    settings = [
        small_settings(optim={"targets": targets}, augment={"mixup": 0.4})
        for targets in ("votes", "label")
    ]
    votes = voted(corpus, np.eye(len(CLASSES))[following])
    by_votes = train_head(votes, TRAIN, settings[0])
    by_label = train_head(replace(corpus, labels=following), TRAIN, settings[1])
    for name, value in by_label.state.items():
        torch.testing.assert_close(by_votes.state[name], value, rtol=1e-4, atol=2e-5)


def test_other_votes_are_another_training() -> None:
    corpus = toy_corpus()
    pairs = [(small_settings(optim={"targets": "votes"}), 0)]
    votes = [one_hot(corpus), np.roll(one_hot(corpus), 1, axis=1)]
    identities = {
        training_identity(one, (TRAIN, TRAIN[:0]), pairs, 1, kind="plain")
        for one in (voted(corpus, votes[0]), voted(corpus, votes[1]), corpus)
    }
    assert len(identities) == 3


def test_a_training_clip_without_votes_is_refused() -> None:
    corpus = toy_corpus()
    votes = one_hot(corpus)
    votes[29] = 0.0  # not a training clip
    trained(voted(corpus, votes))
    votes[3] = 0.0
    with pytest.raises(VotesError, match=r"1 of 20 training clips have no votes.*, clip03 first"):
        trained(voted(corpus, votes))
    with pytest.raises(VotesError, match="20 of 20 training clips"):
        trained(corpus)


def test_the_default_is_not_written_so_that_older_runs_stay_the_same() -> None:
    assert "targets" not in fields_to_json(TrainSettings())["optim"]
    votes = TrainSettings(optim=OptimSettings(targets="votes"))
    assert fields_to_json(votes)["optim"]["targets"] == "votes"
    for settings in (TrainSettings(), votes):
        assert settings_from_dict(fields_to_json(settings)) == settings


def with_votes(manifest: Manifest, target: str | None) -> Manifest:
    clips = [
        replace(clip, label_target=target, votes=((clip.label or "", 3.0), ("sad", 1.0)))
        if clip.label != "sad"
        else replace(clip, label_target=target, votes=(("sad", 2.0),))
        for clip in manifest.clips
    ]
    return make_manifest(manifest.path.parent, clips)


@pytest.mark.slow
def test_target_and_votes_reach_run_and_reports(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    crowd = with_votes(manifest, "crowd")
    run = train(crowd, cache, tmp_path / "crowd", overrides=["optim.targets=votes"])
    assert (run.info["label_target"], run.info["targets"]) == ("crowd", "votes")
    assert read_toml(run.path / CONFIG)["optim"]["targets"] == "votes"
    checkpoint = next((run.path / "checkpoints").glob("*.safetensors"))
    assert load_checkpoint(checkpoint).settings.optim.targets == "votes"
    words = "what the crowd saw and heard, heads trained on the votes"
    assert f"\nlabels: {words}\n" in format_report(evaluate_run(run), name="r")
    assert f". Labels: {words}</p>" in format_page([run], projection="none")
    plain = train(crowd, cache, tmp_path / "plain")
    assert "\nlabels: what the crowd saw and heard\n" in format_report(plain.metrics, name="r")
    assert plain.info["identity"] != run.info["identity"]
    nobody = train(with_votes(manifest, None), cache, tmp_path / "nobody")
    assert "labels:" not in format_report(nobody.metrics, name="r")
    both = ensemble_runs([run.path, plain.path], tmp_path / "both")
    assert both["label_target"] == "crowd"
    # Older runs don't say it; that their labels are the same is checked clip by clip.
    older = ensemble_runs([nobody.path, plain.path], tmp_path / "older")
    assert older["label_target"] == "crowd"
    acted = train(with_votes(manifest, "acted"), cache, tmp_path / "acted")
    message = f"'acted' in {acted.path} and 'crowd' in {run.path}; train all runs on"
    with pytest.raises(RunError, match=re.escape(message)):
        ensemble_runs([run.path, nobody.path, acted.path], tmp_path / "other")
    runs = [str(run.path), str(acted.path)]
    result = CliRunner().invoke(compare, runs)
    assert (result.exit_code, message in " ".join(result.output.split())) == (2, True)
    assert CliRunner().invoke(compare, [runs[0], str(nobody.path)]).exit_code == 0


@pytest.mark.slow
def test_votes_that_are_missing_or_of_no_class_are_refused_before_anything_is_written(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(VotesError, match="12 of 12 training clips have no votes"):
        train(manifest, cache, tmp_path / "run", overrides=["optim.targets=votes"])
    crowd = with_votes(manifest, "crowd")
    first = replace(crowd.clips[0], votes=(("calm", 1.0),))
    odd = make_manifest(crowd.path.parent, [first, *crowd.clips[1:]])
    with pytest.raises(VotesError, match="has votes for 'calm'"):
        train(odd, cache, tmp_path / "run", overrides=["optim.targets=votes"])
    assert not (tmp_path / "run").exists()
