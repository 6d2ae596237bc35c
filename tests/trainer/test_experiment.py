"""A whole run from a manifest and a cache: who is trained on, who is tested, what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cache.manifest import Clip, Manifest, read_manifest
from tests.trainer.experiment_helper import (
    CLASSES,
    SMALL,
    make_cache,
    make_clips,
    make_manifest,
)
from trainer import head_trainer
from trainer.experiment import AFEW_WARNING, TRANSDUCTIVE_WARNING, Protocol, run_experiment
from trainer.folds import SplitError
from trainer.head_trainer import Watch
from trainer.history import read_history
from trainer.predictions import mean_predictions
from trainer.predictions_csv import format_predictions
from trainer.prior import AFEW_TEST
from trainer.results import UNTRAINED_WARNING, evaluate_run
from trainer.runs import Run, RunError, read_members, read_run
from trainer.settings import load_settings
from trainer.train import TrainingError
from trainer.trained import load_checkpoint

pytestmark = pytest.mark.usefixtures("no_pictures")

SPEAKERS = Protocol(folds="speaker:2")


# One corpus for all tests that only read it: writing one takes longer than training on it.
@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    clips = make_clips(folder)
    make_manifest(folder, clips)
    make_cache(folder / "cache", clips)
    return folder


@pytest.fixture(scope="module")
def manifest(corpus: Path) -> Manifest:
    return read_manifest(corpus / "manifest.csv", check_files=False)


@pytest.fixture(scope="module")
def clips(manifest: Manifest) -> list[Clip]:
    return list(manifest.clips)


@pytest.fixture(scope="module")
def cache(corpus: Path) -> Path:
    return corpus / "cache"


def train(
    manifest: Manifest,
    cache: Path,
    run: Path,
    protocol: Protocol = SPEAKERS,
    overrides: Sequence[str] = (),
    **options: Any,
) -> Run:
    settings = load_settings("icmi19", [*SMALL, *overrides])
    report = run_experiment(
        manifest, cache, settings, run, protocol, preset="icmi19", threads=1, **options
    )
    read = read_run(run)
    assert read.metrics == json.loads(json.dumps(report))
    return read


def test_a_head_learns_what_its_training_clips_show(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    run = train(manifest, cache, tmp_path / "run", overrides=["optim.epochs=11"])
    assert run.metrics["all"]["ensemble"]["accuracy"] == 1.0
    assert run.metrics["all"]["ensemble"]["n"] == 24
    assert run.metrics["both"]["ensemble"]["n"] == 24
    assert run.classes == CLASSES
    assert run.info["speaker_independent"] is True
    assert not run.info["untrained"]


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


def test_clips_without_features_are_named_and_counted(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    cache = make_cache(
        tmp_path / "cache", clips, failed={"c05": "no face"}, never=("c20",), silent=("c01",)
    )
    run = train(manifest, cache, tmp_path / "run")
    assert len(run.predictions.clips) == 22
    assert run.metrics["missing"]["count"] == 2
    assert run.metrics["missing"]["clips"][0] == {
        "clip": "c05",
        "label": "sad",
        "fold": 0,
        "reason": "failed (decode): no face",
    }
    assert run.metrics["missing"]["n"] == 24
    assert run.metrics["clips"] == {"audio+video": 21, "video": 1}
    assert run.metrics["both"]["ensemble"]["n"] == 21
    assert list(run.info["without_features"]) == ["c05", "c20"]
    assert run.info["partial"] == {"c01": "audio: no audio stream"}
    assert "2 clips without features are left out of training too" in run.metrics["warnings"]


def test_with_splits_training_clips_without_features_are_named(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path / "cache", clips, failed={"c05": "no face", "c23": "dark"})
    run = train(manifest, cache, tmp_path / "run", Protocol(allow_shared_speakers=True))
    assert run.metrics["warnings"][-1] == (
        "1 training clips without features are left out: c05 (failed (decode): no face)"
    )
    assert [clip["clip"] for clip in run.metrics["missing"]["clips"]] == ["c23"]


def test_a_fold_without_any_test_clip_left_trains_no_head(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    gone = tuple(clip.clip for clip in clips if clip.speaker == "s0")
    cache = make_cache(tmp_path / "cache", clips, never=gone)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:all"))
    assert [item["fold"] for item in run.info["checkpoints"]] == [1, 2, 3]
    assert run.metrics["missing"]["count"] == len(gone)


def test_untrained_features_mark_the_run_its_predictions_and_its_report(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path / "cache", clips, untrained=True)
    run = train(manifest, cache, tmp_path / "run")
    assert run.info["untrained"]
    assert run.predictions.untrained
    assert "true" in (run.path / "predictions.csv").read_text().splitlines()[1]
    assert run.metrics["warnings"][0] == UNTRAINED_WARNING
    assert load_checkpoint(run.path / run.info["checkpoints"][0]["file"]).untrained


def test_a_leaking_prior_is_warned_about(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, classes=tuple(AFEW_TEST))
    cache = make_cache(tmp_path / "cache", clips)
    overrides = ["prior=afew-test", "optim.epochs=1"]
    manifest = make_manifest(tmp_path, clips)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="clip:2"), overrides)
    assert AFEW_WARNING in run.metrics["warnings"]


def test_a_normalisation_per_speaker_is_named_transductive_in_the_report(tmp_path: Path) -> None:
    clips = make_clips(tmp_path)
    cache = make_cache(tmp_path / "cache", clips)
    overrides = ["video.normalise=per-speaker", "optim.epochs=1"]
    manifest = make_manifest(tmp_path, clips)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:2"), overrides)
    assert TRANSDUCTIVE_WARNING.format(modality="video") in run.metrics["warnings"]


class Interrupted(Watch):
    """Stops the run after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs
        self.heads: list[tuple[str, bool]] = []

    def epoch(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def head(self, head: str, _: object, *, resumed: bool) -> None:
        self.heads.append((head, resumed))


@pytest.mark.parametrize(
    # One after another: in the second head. As one: in the second fold, of three epochs a head.
    ("stack", "epochs", "kept"),
    [("off", 5, (True, False, False, False)), ("on", 9, (True, True, False, False))],
)
def test_an_interrupted_run_is_resumed_with_the_same_result(
    manifest: Manifest,
    cache: Path,
    tmp_path: Path,
    stack: str,
    epochs: int,
    kept: tuple[bool, ...],
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    stacked = [f"optim.stack={stack}"]
    whole = train(manifest, cache, tmp_path / "whole", protocol, stacked)
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, path, protocol, stacked, watch=Interrupted(epochs=epochs))
    with pytest.raises(RunError, match=r"not finished: its state is 'failed' \(KeyboardInterrupt"):
        read_run(path)
    with pytest.raises(RunError, match="or --resume to go on with it"):
        train(manifest, cache, path, protocol, stacked)
    with pytest.raises(RunError, match="unfinished run with other settings"):
        train(manifest, cache, path, protocol, ["optim.epochs=5"], resume=True)
    other = Protocol(folds="speaker:2", num_seeds=3)
    with pytest.raises(RunError, match="unfinished run with other settings, clips, entries, seeds"):
        train(manifest, cache, path, other, stacked, resume=True)
    watch = Interrupted(epochs=-1)
    resumed = train(manifest, cache, path, protocol, stacked, resume=True, watch=watch)
    names = ("fold-0-seed-0", "fold-0-seed-1", "fold-1-seed-0", "fold-1-seed-1")
    assert watch.heads == list(zip(names, kept, strict=True))
    together = {"off": None, "on": [0, 1]}[stack]
    assert [head.get("stacked_seeds") for head in resumed.info["checkpoints"]] == [together] * 4
    for name in ("predictions.csv", "members/seed-1.csv", "metrics.json"):
        assert (path / name).read_bytes() == (whole.path / name).read_bytes()
    assert len(read_history(path / "history.csv")) == len(read_history(whole.path / "history.csv"))
    assert resumed.info["state"] == "finished"


def test_a_head_interrupted_between_epochs_goes_on_from_there(
    manifest: Manifest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.train.PROGRESS_SECONDS", 0.0)
    whole = train(manifest, cache, tmp_path / "whole")
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, path, watch=Interrupted(epochs=2))
    assert [p.name for p in (path / "checkpoints").iterdir()] == ["fold-0-seed-0.progress"]
    watch = Interrupted(epochs=-1)
    train(manifest, cache, path, resume=True, watch=watch)
    assert watch.left == -1 - (1 + 3)  # one epoch of the first head was left, three of the second
    assert (path / "predictions.csv").read_bytes() == (whole.path / "predictions.csv").read_bytes()
    assert [row.record.epoch for row in read_history(path / "history.csv")] == [1, 2, 3] * 2
    assert not list((path / "checkpoints").glob("*.progress"))


def test_a_head_whose_checkpoint_was_lost_is_trained_again_with_one_history(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, tmp_path / "run", watch=Interrupted(epochs=4))
    (tmp_path / "run" / "checkpoints" / "fold-0-seed-0.safetensors").unlink()
    run = train(manifest, cache, tmp_path / "run", resume=True)
    rows = read_history(run.path / "history.csv")
    assert [(row.fold, row.record.epoch) for row in rows] == [
        (fold, epoch) for fold in (0, 1) for epoch in (1, 2, 3)
    ]


def test_a_lost_head_of_a_stack_is_trained_again_with_the_others_and_is_the_same(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    whole = train(manifest, cache, tmp_path / "whole", protocol)
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, tmp_path / "run", protocol, watch=Interrupted(epochs=7))
    (tmp_path / "run" / "checkpoints" / "fold-0-seed-1.safetensors").unlink()
    watch = Interrupted(epochs=-1)
    run = train(manifest, cache, tmp_path / "run", protocol, resume=True, watch=watch)
    assert [resumed for _, resumed in watch.heads] == [True, False, False, False]
    for name in ("predictions.csv", "members/seed-1.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert len(read_history(run.path / "history.csv")) == 12


def test_more_seeds_than_are_trained_as_one_are_trained_in_groups(
    manifest: Manifest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_trainer, "MOST_TOGETHER", 2)
    protocol = Protocol(folds="speaker:2", num_seeds=3)
    run = train(manifest, cache, tmp_path / "run", protocol, ["optim.epochs=1"])
    groups = [head.get("stacked_seeds") for head in run.info["checkpoints"]]
    assert groups == [[0, 1], [0, 1], None] * 2
    assert not list((run.path / "checkpoints").glob("*.progress"))


def test_seeds_trained_as_one_predict_what_they_predict_one_after_another(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    one = train(manifest, cache, tmp_path / "on", protocol, ["optim.stack=on"])
    other = train(manifest, cache, tmp_path / "off", protocol, ["optim.stack=off"])
    for name in ("seed-0", "seed-1"):
        ours, theirs = read_members(one)[name], read_members(other)[name]
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)


def test_a_folder_that_is_taken_is_refused_before_any_work(
    manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds files and no run"):
        train(manifest, tmp_path / "no cache", tmp_path)


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


def test_a_finished_run_is_replaced_only_when_asked(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    train(manifest, cache, tmp_path / "run")
    with pytest.raises(RunError, match=r"holds a run \(finished\); pass --overwrite"):
        train(manifest, cache, tmp_path / "run")
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="clip:3"), overwrite=True)
    assert run.info["plan"]["kind"] == "clip"
    assert run.metrics["warnings"][0].startswith("not speaker-independent")


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


def test_an_audio_encoder_is_trained_jointly_and_short_sound_is_recorded(
    clips: list[Clip], cache: Path, tmp_path: Path
) -> None:
    few = make_manifest(tmp_path, clips[::2])
    overrides = ["audio.encoder=alexnet", "optim.epochs=1", "fusion.kind=audio"]
    run = train(few, cache, tmp_path / "run", overrides=overrides)
    assert np.isfinite(run.predictions.probabilities).all()
    assert run.predictions.modalities == ("audio",) * 12
    assert run.metrics["both"] is None
    assert run.info["lengthened"] == []
