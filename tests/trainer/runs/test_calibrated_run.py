"""Runs whose probabilities are calibrated inside their training clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.manifest import Clip
from tests.trainer.experiment_helper import SPEAKERS, make_cache, make_clips, make_manifest, train
from trainer.runs.answer import format_answer
from trainer.runs.experiment import CALIBRATION_WARNING, Protocol
from trainer.runs.folder import Run
from trainer.runs.report import evaluate_run
from trainer.runs.terminal import format_report
from trainer.training.temperature import temper
from trainer.training.trained import load_checkpoint

pytestmark = [pytest.mark.usefixtures("no_pictures"), pytest.mark.slow]
CALIBRATED = "calibrate=temperature"
KINDS = {
    "network": ("optim.epochs=1",),
    "linear": (
        "head.kind=linear", "fusion.kind=concat", "video.attention=mean", "audio.attention=mean",
    ),
}  # fmt: skip


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    clips = make_clips(tmp_path)
    make_cache(tmp_path / "cache", clips)
    return clips


def temperatures(run: Run) -> dict[int | None, float]:
    return {row["fold"]: row["temperature"] for row in run.info["checkpoints"]}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_change_by_the_folds_temperature_and_answers_stay(
    kind: str, clips: list[Clip], tmp_path: Path
) -> None:
    manifest, cache = make_manifest(tmp_path, clips), tmp_path / "cache"
    plain = train(manifest, cache, tmp_path / "plain", overrides=KINDS[kind])
    run = train(manifest, cache, tmp_path / "run", overrides=[*KINDS[kind], CALIBRATED])
    found = temperatures(run)
    assert len(found) == 2
    assert all(value != 1.0 for value in found.values())
    each = np.array([[found[fold]] for fold in run.predictions.folds])
    np.testing.assert_allclose(
        run.predictions.probabilities, temper(plain.predictions.probabilities, each), atol=1e-12
    )
    assert run.predictions.predictions == plain.predictions.predictions
    before = plain.metrics["all"]["ensemble"]["calibration"]["ece"]
    assert run.metrics["uncalibrated"]["ece"] == pytest.approx(before, abs=1e-9)
    assert [row["temperature"] for row in run.metrics["temperatures"]] == list(found.values())
    assert evaluate_run(run) == run.metrics
    for text in (format_report(run.metrics, name="run"), format_answer(run, {}, width=10_000)):
        assert f"expected calibration error without it {100 * before:.1f} %" in text
    for row in run.info["checkpoints"]:
        assert load_checkpoint(run.path / row["file"]).temperature == found[row["fold"]]
    assert "temperatures" not in plain.metrics
    assert CALIBRATION_WARNING not in run.metrics["warnings"]


def test_labels_of_tested_clips_change_no_temperature(clips: list[Clip], tmp_path: Path) -> None:
    """Fold 0 tests s0 and s1: with some labels of theirs turned it is trained and fitted alike."""
    turned = {"angry": "happy", "happy": "sad", "sad": "angry"}
    other = [
        replace(clip, label=turned[clip.label or ""]) if number in (0, 1, 5, 8, 10) else clip
        for number, clip in enumerate(clips)
    ]
    runs = [
        train(
            make_manifest(tmp_path, some),
            tmp_path / "cache",
            tmp_path / name,
            overrides=["optim.epochs=9", CALIBRATED],
        )
        for name, some in (("as-they-are", clips), ("turned", other))
    ]
    first, second = map(temperatures, runs)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_temperature_that_is_not_fitted_by_speaker_is_said(
    clips: list[Clip], tmp_path: Path
) -> None:
    unnamed = make_manifest(tmp_path, [replace(clip, speaker=None) for clip in clips])
    overrides = ["optim.epochs=1", CALIBRATED]
    run = train(unnamed, tmp_path / "cache", tmp_path / "run", Protocol(folds="clip:2"), overrides)
    assert CALIBRATION_WARNING in run.metrics["warnings"]


def test_a_run_that_goes_on_keeps_its_temperature_and_seeds_share_it(
    clips: list[Clip], tmp_path: Path
) -> None:
    manifest, cache = make_manifest(tmp_path, clips), tmp_path / "cache"
    overrides = ["optim.epochs=1", CALIBRATED]
    two = replace(SPEAKERS, num_seeds=2)
    run = train(manifest, cache, tmp_path / "run", two, overrides)
    by_fold = {(row["fold"], row["temperature"]) for row in run.info["checkpoints"]}
    assert (len(by_fold), len(run.info["checkpoints"])) == (2, 4)
    before = (run.path / "predictions.csv").read_bytes()
    (run.path / run.info["checkpoints"][3]["file"]).unlink()
    text = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(text.replace('"state": "finished"', '"state": "failed"'))
    again = train(manifest, cache, tmp_path / "run", two, overrides)
    assert (again.path / "predictions.csv").read_bytes() == before
    assert temperatures(again) == temperatures(run)
