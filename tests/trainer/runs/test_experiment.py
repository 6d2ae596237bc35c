"""A whole run from a manifest and a cache: who is trained on, who is tested, what is written."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cache.manifest.manifest import Manifest
from tests.trainer.experiment_helper import CLASSES, SMALL, make_manifest, train
from trainer.data.folds import SplitError
from trainer.runs import head_trainer
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import RunError, read_members, read_run
from trainer.runs.history import read_history
from trainer.runs.predictions import format_predictions, mean_predictions
from trainer.runs.report import evaluate_run
from trainer.settings import load_settings
from trainer.training.train import TrainingError
from trainer.training.trained import load_checkpoint

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.mark.slow
def test_a_head_learns_what_its_training_clips_show(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    run = train(manifest, cache, tmp_path / "run", overrides=["optim.epochs=11"])
    assert run.metrics["all"]["ensemble"]["accuracy"] == 1.0
    assert run.metrics["all"]["ensemble"]["n"] == 24
    assert run.metrics["both"]["ensemble"]["n"] == 24
    assert run.classes == CLASSES
    assert run.info["speaker_independent"] is True
    by_speaker = run.metrics["all"]["ensemble"]["by_speaker"]
    assert {name: one["n"] for name, one in by_speaker["per_speaker"].items()} == {
        "s0": 6, "s1": 6, "s2": 6, "s3": 6,
    }  # fmt: skip
    assert by_speaker["interval"] == [1.0, 1.0]
    assert not run.info["untrained"]


@pytest.mark.slow
def test_every_clip_is_tested_once_by_heads_that_never_saw_its_speaker(
    manifest: Manifest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    chosen: list[tuple[set[str], set[str]]] = []
    real_train, real_choose = head_trainer.train_head, head_trainer.choose_epochs

    def speakers(corpus: Any, rows: Any) -> set[str]:
        return {manifest.by_id[corpus.clip_ids[i]].speaker or "" for i in rows}

    def spy_train(corpus: Any, rows: Any, *args: Any, **options: Any) -> Any:
        assert "validation_clips" not in options
        seen.append((speakers(corpus, rows), {corpus.clip_ids[i] for i in rows}))
        return real_train(corpus, rows, *args, **options)

    def spy_choose(corpus: Any, rows: Any, held: Any, *args: Any, **options: Any) -> Any:
        chosen.append((speakers(corpus, rows), speakers(corpus, held)))
        return real_choose(corpus, rows, held, *args, **options)

    monkeypatch.setattr(head_trainer, "train_head", spy_train)
    monkeypatch.setattr(head_trainer, "choose_epochs", spy_choose)
    run = train(
        manifest,
        cache,
        tmp_path / "run",
        Protocol(folds="speaker:2", num_seeds=2),
        ["selection=inner:0.5"],
    )
    table = run.predictions
    assert table.clips == tuple(sorted(manifest.by_id))
    tested = {0: {"s0", "s1"}, 1: {"s2", "s3"}}
    for clip, fold in zip(table.clips, table.folds, strict=True):
        assert manifest.by_id[clip].speaker in tested[fold or 0]
    # Fold by fold, seed by seed: all clips of the other speakers, and nobody else.
    everyone = {"s0", "s1", "s2", "s3"}
    assert [part for part, _ in seen] == [everyone - tested[f] for f in (0, 0, 1, 1)]
    assert [len(ids) for _, ids in seen] == [12] * 4
    # The clips that chose the epoch are other speakers of the training clips.
    for (inner, held), (trained, _) in zip(chosen, seen, strict=True):
        assert inner | held == trained
        assert not inner & held
    stages = {row.stage for row in read_history(run.path / "history.csv")}
    assert stages == {"choose", "train"}
    assert "chosen inside the training clips (inner:0.5)" in run.metrics["title"]


def test_a_run_folder_holds_everything_that_was_promised(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:2", num_seeds=2))
    assert sorted(p.name for p in run.path.iterdir()) == [
        "checkpoints",
        "config.toml",
        "confusion.png",
        "curves.png",
        "entries.csv",
        "history.csv",
        "members",
        "metrics.json",
        "predictions.csv",
        "run.json",
    ]
    heads = [item["file"] for item in run.info["checkpoints"]]
    assert heads == [f"checkpoints/fold-{f}-seed-{s}.safetensors" for f in (0, 1) for s in (0, 1)]
    head = load_checkpoint(run.path / heads[3])
    assert (head.seed, head.classes) == (1, CLASSES)
    assert run.info["manifest"]["sha256"] == manifest.digest()
    assert [item["name"] for item in run.info["sets"]] == ["resnet18", "spectrogram"]
    assert run.info["seeds"] == [0, 1]
    assert run.info["selection"] == "fixed"
    assert run.info["threads"] == 1
    assert [fold["test_speakers"] for fold in run.info["plan"]["folds"]] == [
        ["s0", "s1"],
        ["s2", "s3"],
    ]
    again = load_settings(str(run.path / "config.toml"))
    assert again == load_settings("icmi19", SMALL)
    assert len(read_history(run.path / "history.csv")) == 4 * 3
    with (run.path / "entries.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == sorted(manifest.by_id)
    assert all(len(row["resnet18/basic"]) == 64 for row in rows)


def test_the_ensemble_is_the_mean_of_the_seeds_to_the_last_digit(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:2", num_seeds=3))
    members = read_members(run)
    assert list(members) == ["seed-0", "seed-1", "seed-2"]
    text = format_predictions(mean_predictions(list(members.values())))
    assert text == (run.path / "predictions.csv").read_text()
    assert evaluate_run(run) == run.metrics
    assert run.metrics["all"]["over_members"]["accuracy"]["count"] == 3


def test_the_same_seeds_give_the_same_bytes_and_others_do_not(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    one = train(manifest, cache, tmp_path / "one").path / "predictions.csv"
    two = train(manifest, cache, tmp_path / "two").path / "predictions.csv"
    other = train(manifest, cache, tmp_path / "other", overrides=["seed=7"]).path
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != (other / "predictions.csv").read_bytes()
    assert read_run(other).info["seeds"] == [7]


def test_the_splits_of_a_manifest_are_one_fold(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(allow_shared_speakers=True)
    run = train(manifest, cache, tmp_path / "run", protocol)
    assert set(run.predictions.splits) == {"test"}
    assert set(run.predictions.folds) == {None}
    assert len(run.predictions.clips) == 8
    assert run.info["speaker_independent"] is False
    assert run.info["shared_speakers"] == ["s2"]
    assert run.metrics["warnings"][0].startswith("not speaker-independent")
    with pytest.raises(SplitError, match="1 speakers are in both training and test clips: s2"):
        train(manifest, cache, tmp_path / "refused", Protocol())
    assert not (tmp_path / "refused").exists()


def test_more_seeds_than_are_trained_as_one_are_trained_in_groups(
    manifest: Manifest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_trainer, "MOST_TOGETHER", 2)
    protocol = Protocol(folds="speaker:2", num_seeds=3)
    run = train(manifest, cache, tmp_path / "run", protocol, ["optim.epochs=1"])
    groups = [head.get("stacked_seeds") for head in run.info["checkpoints"]]
    assert groups == [[0, 1], [0, 1], None] * 2
    assert not list((run.path / "checkpoints").glob("*.progress"))


@pytest.mark.slow
def test_seeds_trained_as_one_predict_what_they_predict_one_after_another(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    one = train(manifest, cache, tmp_path / "on", protocol, ["optim.stack=on"])
    other = train(manifest, cache, tmp_path / "off", protocol, ["optim.stack=off"])
    for name in ("seed-0", "seed-1"):
        ours, theirs = read_members(one)[name], read_members(other)[name]
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)


@pytest.mark.slow
def test_folds_by_clip_follow_their_own_seed_and_threads_are_given_back(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    settings = load_settings("icmi19", [*SMALL, "optim.epochs=1"])
    folds = []
    for seed in (0, 1):
        protocol = Protocol(folds="clip:3", split_seed=seed)
        path = tmp_path / f"run{seed}"
        run_experiment(manifest, cache, settings, path, protocol, threads=before + 1)
        run = read_run(path)
        assert run.info["threads"] == before + 1
        folds.append(run.predictions.folds)
    assert folds[0] != folds[1]
    assert torch.get_num_threads() == before


def test_a_loss_that_is_no_longer_finite_fails_the_run(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="the loss became"):
        train(
            manifest,
            cache,
            tmp_path / "run",
            overrides=["optim.learning_rate=1e30", "optim.grad_clip=0.0"],
        )
    with pytest.raises(RunError, match=r"state is 'failed' \(TrainingError: the loss became"):
        read_run(tmp_path / "run")


@pytest.mark.slow
def test_an_audio_encoder_is_trained_jointly_and_short_sound_is_recorded(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    few = make_manifest(tmp_path, list(manifest.clips[::2]))
    overrides = ["audio.encoder=alexnet", "optim.epochs=1", "fusion.kind=audio"]
    run = train(few, cache, tmp_path / "run", overrides=overrides)
    assert np.isfinite(run.predictions.probabilities).all()
    assert run.predictions.modalities == ("audio",) * 12
    assert run.metrics["both"] is None
    assert run.info["lengthened"] == []
