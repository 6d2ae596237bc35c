"""Predictions of training clips, by heads that saw neither them nor the clips that are tested."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cache.manifest.manifest import Manifest
from pipeline.cli import main
from tests.stopping import stop_when
from tests.trainer.experiment_helper import SMALL, make_clips, make_manifest, train
from tests.trainer.runs.test_experiment_resumed import Interrupted
from trainer.data.folds import SplitError
from trainer.data.splits import Fold, plan_folds
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import Run, RunError, read_nested, read_run
from trainer.runs.nested import BY_CLIP_WARNING, is_by_clip, plan_inner
from trainer.runs.terminal import format_report
from trainer.settings import load_settings

pytestmark = pytest.mark.usefixtures("no_pictures")

SETS = ("video.set=resnet18", "audio.set=spectrogram")
FOUR = Protocol(folds="speaker:4", nested=True)


def fit(
    manifest: Manifest, cache: Path, run: Path, protocol: Protocol = FOUR, kind: str = "svm"
) -> Run:
    """Fit heads at once to statistics of the small corpus."""
    settings = load_settings("svm", [*SETS, f"head.kind={kind}"])
    run_experiment(manifest, cache, settings, run, protocol, preset="svm", threads=1)
    return read_run(run)


@pytest.fixture(scope="module")
def svm(manifest: Manifest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with nested predictions; tests only read it."""
    return fit(manifest, cache, tmp_path_factory.mktemp("nested") / "svm")


def ids(fold: Fold) -> tuple[set[str], set[str]]:
    return {clip.id for clip in fold.train}, {clip.id for clip in fold.test}


def test_every_pair_of_folds_is_held_out_together_and_speaks_for_either(tmp_path: Path) -> None:
    folds = plan_folds(make_clips(tmp_path), folds="speaker:4").folds
    inner = plan_inner(folds)
    assert [one.fold.inner for one in inner] == ["0-1", "0-2", "0-3", "1-2", "1-3", "2-3"]
    assert not is_by_clip(folds)
    for one in inner:
        train, test = ids(one.fold)
        assert not train & test
        assert len(train) == len(test) == 12
        for outer, spoken in one.speaks.items():
            assert not train & ids(folds[outer])[1]  # the heads saw no clip that is tested there
            assert spoken <= ids(folds[outer])[0] & test
    for place, fold in enumerate(folds):  # each training clip is spoken for once
        named = [clip for one in inner for clip in one.speaks.get(place, ())]
        assert sorted(named) == sorted(ids(fold)[0])


def test_the_training_clips_of_a_split_are_divided_by_their_speakers(tmp_path: Path) -> None:
    (fold,) = plan_folds(make_clips(tmp_path), allow_shared_speakers=True).folds
    inner = plan_inner([fold])
    assert len(inner) == 3  # speakers s0, s1 and part of s2
    for one in inner:
        speakers = [{clip.speaker for clip in part} for part in (one.fold.train, one.fold.test)]
        assert not speakers[0] & speakers[1]
        assert one.speaks == {0: frozenset(ids(one.fold)[1])}


def test_without_speakers_the_inner_folds_are_by_clip_and_that_is_said(tmp_path: Path) -> None:
    clips = [replace(clip, speaker=None) for clip in make_clips(tmp_path)]
    folds = plan_folds(clips).folds
    assert is_by_clip(folds)
    assert len(plan_inner(folds)) == 5


def test_inner_folds_that_leave_one_class_are_refused_before_training(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, num_clips=8, classes=("angry", "happy"))
    clips = [replace(clip, label="angry" if i < 4 else "happy") for i, clip in enumerate(clips)]
    folds = plan_folds(clips, folds="speaker:4").folds
    with pytest.raises(
        SplitError, match="inner fold 0-1 leaves only the label 'happy' to train on"
    ):
        plan_inner(folds)


@pytest.mark.slow
def test_a_nested_run_says_what_it_did_and_its_predictions_are_those_without(
    svm: Run, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    plain = fit(manifest, cache, tmp_path / "plain", Protocol(folds="speaker:4"))
    with pytest.raises(RunError, match="repeat the command that trained it with --nested"):
        read_nested(plain.path)
    run = svm
    assert run.info["nested"] == {"heads": 6, "by_clip": False}
    for name in ("predictions.csv", "metrics.json"):
        assert (run.path / name).read_bytes() == (plain.path / name).read_bytes()
    assert not (run.path / "nested").exists()
    nested = read_nested(run.path)
    assert list(nested) == [0, 1, 2, 3]
    for fold, part in nested.items():
        tested = {
            c
            for c, f in zip(run.predictions.clips, run.predictions.folds, strict=True)
            if f == fold
        }
        assert {*part.clips} == {*run.predictions.clips} - tested
    # More is asked of a finished run: its heads are kept.
    listener = Interrupted(epochs=-1)
    settings = load_settings("svm", SETS)
    run_experiment(
        manifest, cache, settings, plain.path, FOUR, preset="svm", threads=1, listener=listener
    )
    assert [resumed for _, resumed in listener.heads] == [True] * 4 + [False] * 6
    assert (plain.path / "nested.csv").read_bytes() == (run.path / "nested.csv").read_bytes()


@pytest.mark.slow
def test_labels_of_tested_clips_change_no_nested_prediction_of_their_fold(
    svm: Run, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    others = {"angry": "sad", "sad": "happy", "happy": "angry"}
    clips = [
        replace(clip, label=others[clip.label or ""]) if clip.speaker == "s2" else clip
        for clip in manifest.clips
    ]
    (tmp_path / "other").mkdir()
    changed = fit(make_manifest(tmp_path / "other", clips), cache, tmp_path / "changed")
    one, other = read_nested(svm.path)[2], read_nested(changed.path)[2]
    assert (one.labels, one.clips) == (other.labels, other.clips)
    assert (one.probabilities == other.probabilities).all()
    assert (
        read_nested(svm.path)[1].probabilities != read_nested(changed.path)[1].probabilities
    ).any()


@pytest.mark.slow
def test_clips_of_a_class_that_heads_never_saw_are_left_out(
    cache: Path, manifest: Manifest, tmp_path: Path
) -> None:
    clips = [
        replace(clip, label="happy")
        if clip.label == "sad" and clip.speaker in ("s2", "s3")
        else clip
        for clip in manifest.clips
    ]
    (tmp_path / "other").mkdir()
    run = fit(make_manifest(tmp_path / "other", clips), cache, tmp_path / "run")
    nested = read_nested(run.path)
    # Only s0 and s1 are sad, and heads without both speak for s1 in fold 0 and for s0 in fold 1.
    sad = {clip.id for clip in clips if clip.label == "sad"}
    speakers = {clip.id: clip.speaker for clip in clips}
    for fold, left in ((0, set()), (1, set()), (2, {"s0", "s1"}), (3, {"s0", "s1"})):
        assert {speakers[clip] for clip in sad & {*nested[fold].clips}} == left


@pytest.mark.slow
def test_an_interrupted_nested_run_is_resumed_with_the_same_result(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(folds="speaker:4", nested=True, num_seeds=2)
    settings = ["optim.epochs=2"]
    whole = train(manifest, cache, tmp_path / "whole", protocol, settings)
    path = tmp_path / "run"
    # Two epochs of two seeds in four folds are 16: in the third inner fold.
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, path, protocol, settings, listener=Interrupted(epochs=16 + 9))
    assert len(list((path / "nested").glob("*.safetensors"))) == 4
    listener = Interrupted(epochs=-1)
    train(manifest, cache, path, protocol, settings, listener=listener)
    assert [resumed for _, resumed in listener.heads] == [True] * 12 + [False] * 8
    for name in ("predictions.csv", "nested.csv", "metrics.json"):
        assert (path / name).read_bytes() == (whole.path / name).read_bytes()
    assert len((path / "history.csv").read_text().splitlines()) == 1 + 16
    assert len(read_run(path).info["checkpoints"]) == 8


@pytest.mark.slow
def test_a_stack_of_runs_says_its_weights_and_that_no_tested_clip_took_part(
    svm: Run, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    paths = [svm.path, fit(manifest, cache, tmp_path / "linear", kind="linear").path]
    report = ensemble_runs(paths, tmp_path / "stack", method="stack")
    run = read_run(tmp_path / "stack")
    assert [part["fold"] for part in run.info["stack"]] == [0, 1, 2, 3]
    assert run.info["method"] == "stack"
    assert report["stack"] == run.info["stack"]
    assert {*report["stack"][0]["weights"]} == {"1-svm", "2-linear"}
    text = format_report(report, name="stack")
    assert "fitted for each fold on its training clips alone" in text
    assert "fold 3: 1-svm 0." in text
    with pytest.raises(RunError, match="a stack finds its weights itself"):
        ensemble_runs(paths, tmp_path / "no", weights=[1, 2], method="stack")


@pytest.mark.slow
def test_seeds_that_change_nothing_are_dropped_with_a_sentence(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    run = fit(manifest, cache, tmp_path / "run", Protocol(folds="speaker:2", num_seeds=4))
    assert run.info["seeds"] == [0]
    assert run.metrics["warnings"][0] == "head.kind=svm depends on no seed: one head a fold"


@pytest.mark.slow
def test_inner_folds_by_clip_are_warned_of_in_the_report(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    clips = [replace(clip, speaker=None) for clip in manifest.clips]
    (tmp_path / "other").mkdir()
    protocol = Protocol(nested=True)
    run = fit(make_manifest(tmp_path / "other", clips), cache, tmp_path / "run", protocol)
    assert BY_CLIP_WARNING in run.metrics["warnings"]
    assert list(read_nested(run.path)) == [None]


@pytest.mark.slow
def test_a_nested_run_that_was_killed_goes_on_to_the_same_bytes(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    changes = [part for key in (*SMALL, "optim.epochs=100") for part in ("--set", key)]

    def command(run: str) -> list[str]:
        place = ["--cache", str(cache), "--run", str(tmp_path / run), "--threads", "1"]
        return ["train", str(manifest.path), *place, "--folds", "speaker:3", "--nested", *changes]

    heads = tmp_path / "killed" / "nested"
    stop_when(lambda: any(heads.glob("*.safetensors")), signal.SIGKILL, command("killed"))
    assert not (tmp_path / "killed" / "nested.csv").exists()
    for run in ("killed", "whole"):
        result = CliRunner().invoke(main, command(run))
        assert result.exit_code == 0, result.output
    for name in ("predictions.csv", "nested.csv", "metrics.json"):
        files = [(tmp_path / run / name).read_bytes() for run in ("killed", "whole")]
        assert files[0] == files[1]
