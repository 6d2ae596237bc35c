"""What a run says of itself: clips without features, random weights, and whatever flatters it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.manifest.manifest import Clip, Manifest
from cache.sets.feature_set import FeatureSet
from tests.trainer.experiment_helper import SPEAKERS, make_cache, make_clips, make_manifest, train
from tests.trainer.persons_helper import write_seen
from trainer.data.corpus import CorpusError
from trainer.data.folds import SplitError
from trainer.runs.answer import format_answer
from trainer.runs.experiment import AFEW_WARNING, TRANSDUCTIVE_WARNING, Protocol
from trainer.runs.folder import RunError
from trainer.runs.report import UNTRAINED_WARNING
from trainer.training.loss import AFEW_TEST
from trainer.training.trained import load_checkpoint

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return make_clips(tmp_path)


@pytest.fixture
def manifest(tmp_path: Path, clips: list[Clip]) -> Manifest:
    return make_manifest(tmp_path, clips)


@pytest.mark.slow
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
    assert "left out of training too: 2 clips without features" in run.metrics["warnings"]


@pytest.mark.slow
def test_with_splits_training_clips_without_features_are_named(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path / "cache", clips, failed={"c05": "no face", "c23": "dark"})
    run = train(manifest, cache, tmp_path / "run", Protocol(allow_shared_speakers=True))
    assert run.metrics["warnings"][-1] == (
        "left out: 1 training clip without features: c05 (failed (decode): no face)"
    )
    assert [clip["clip"] for clip in run.metrics["missing"]["clips"]] == ["c23"]


@pytest.mark.slow
def test_a_fold_without_any_test_clip_left_trains_no_head(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    gone = tuple(clip.id for clip in clips if clip.speaker == "s0")
    cache = make_cache(tmp_path / "cache", clips, never=gone)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:all"))
    assert [item["fold"] for item in run.info["checkpoints"]] == [1, 2, 3]
    assert run.metrics["missing"]["count"] == len(gone)


@pytest.mark.slow
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


@pytest.mark.slow
def test_copies_by_content_are_refused_before_a_head_is_trained_or_said_everywhere(
    manifest: Manifest, clips: list[Clip], tmp_path: Path
) -> None:
    # c00 and c13 are of speakers in different folds: their names and paths differ, not their bytes.
    cache = make_cache(tmp_path / "cache", clips, same_file={"c13": "c00"})
    with pytest.raises(SplitError, match=r"2 test clips .*: c00 \(of c13\), c13 \(of c00\)"):
        train(manifest, cache, tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.json"))
    run = train(manifest, cache, tmp_path / "run", replace(SPEAKERS, allow_copies=True))
    assert run.info["copies"] == {"c00": "c13", "c13": "c00"}
    assert run.info["without_content"] == 0
    assert any(text.startswith("leak: 2 test clips") for text in run.metrics["warnings"])
    assert "2 clips reported on have the content of a training clip" in " ".join(
        format_answer(run, {}).split()
    )


@pytest.mark.slow
def test_an_encoder_that_may_have_seen_the_tested_clips_is_warned_about(
    manifest: Manifest, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def provenance(of: FeatureSet) -> dict[str, Any]:
        other = {"fold": "fold 7", "test_clips": "f" * 64}
        return {"trained_on": other} if of.spec.name == "spectrogram" else {}

    monkeypatch.setattr(FeatureSet, "provenance", property(provenance))
    cache = make_cache(tmp_path / "cache", clips)
    run = train(manifest, cache, tmp_path / "run", overrides=["optim.epochs=1"])
    (text,) = [text for text in run.metrics["warnings"] if "may leak" in text]
    assert "behind spectrogram was trained apart and tested on fold 7" in text
    assert "the test clips of fold 0, fold 1" in text


@pytest.mark.slow
def test_a_leaking_prior_is_warned_about(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, classes=tuple(AFEW_TEST))
    cache = make_cache(tmp_path / "cache", clips)
    overrides = ["prior=afew-test", "optim.epochs=1"]
    manifest = make_manifest(tmp_path, clips)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="clip:2"), overrides)
    assert AFEW_WARNING in run.metrics["warnings"]


@pytest.mark.slow
def test_a_normalisation_per_speaker_is_named_transductive_in_the_report(tmp_path: Path) -> None:
    clips = make_clips(tmp_path)
    cache = make_cache(tmp_path / "cache", clips)
    overrides = ["video.normalise=per-speaker", "optim.epochs=1"]
    manifest = make_manifest(tmp_path, clips)
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="speaker:2"), overrides)
    assert TRANSDUCTIVE_WARNING.format(modality="video") in run.metrics["warnings"]


@pytest.mark.slow
def test_a_run_by_persons_says_what_its_folds_rest_on(clips: list[Clip], tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache", clips)
    write_seen(cache, {clip.id: {str(clip.speaker): 1.0} for clip in clips})
    unnamed = make_manifest(tmp_path, [replace(clip, speaker=None) for clip in clips])
    run = train(unnamed, cache, tmp_path / "run")
    assert run.info["speaker_independent"] == "by faces"
    assert run.info["speakers_by_faces"]["proposed"] == 24
    assert [fold["test_speakers"] for fold in run.info["plan"]["folds"]] == [
        ["s0", "s1"],
        ["s2", "s3"],
    ]
    assert "24 of 24 clips with a speaker, median confidence 0.50" in run.metrics["warnings"][0]
    # Groups of persons stand in for speakers, in the interval too.
    assert run.predictions.speakers == tuple(clip.speaker for clip in clips)
    assert run.metrics["all"]["ensemble"]["by_speaker"]["speakers"] == 4
    by_name = train(make_manifest(tmp_path, clips), cache, tmp_path / "by-name")
    assert run.predictions.clips == by_name.predictions.clips
    assert (run.predictions.probabilities == by_name.predictions.probabilities).all()
    # A person who turns out to be another makes another run.
    write_seen(cache, {clip.id: {"s0": 1.0} if clip.id < "c03" else {"s9": 1.0} for clip in clips})
    with pytest.raises(RunError, match="another"):
        train(unnamed, cache, tmp_path / "run")


@pytest.mark.slow
def test_normalising_per_speaker_takes_no_face_for_a_speaker(
    clips: list[Clip], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path / "cache", clips)
    write_seen(cache, {clip.id: {str(clip.speaker): 1.0} for clip in clips})
    unnamed = make_manifest(tmp_path, [replace(clip, speaker=None) for clip in clips])
    with pytest.raises(CorpusError, match="needs the speaker of every clip"):
        train(unnamed, cache, tmp_path / "run", overrides=["audio.normalise=per-speaker"])
