"""Ensembles of runs, and the results that a run folder ends with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cache.settings import read_toml
from tests.trainer.predictions_helper import predictions_of
from trainer.runs.ensemble import WEIGHTS_WARNING, ensemble_runs
from trainer.runs.folder import RunError, read_members, read_run
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    format_predictions,
    mean_predictions,
)
from trainer.runs.report import UNTRAINED_WARNING, MissingClip, evaluate_run, finish_run
from trainer.runs.run_writer import RunWriter

pytestmark = pytest.mark.usefixtures("no_pictures")

LABELS = "ahsahs"
A = predictions_of(LABELS, "ahsaaa")  # 4 of 6
B = predictions_of(LABELS, "hhsahh", sure=0.9)  # 4 of 6


def make_run(
    path: Path,
    table: Predictions,
    *,
    independent: bool | str | None = True,
    warnings: Sequence[str] = (),
    missing: Sequence[MissingClip] = (),
) -> Path:
    with RunWriter(path, {"kind": "train", "speaker_independent": independent}) as writer:
        finish_run(
            writer,
            title="t",
            pooled=table,
            members={"seed-0": table},
            members_are="seeds",
            warnings=warnings,
            missing=missing,
        )
    return path


def test_an_ensemble_is_a_run_with_the_mean_of_the_probabilities(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)]
    report = ensemble_runs(paths, tmp_path / "both")
    run = read_run(tmp_path / "both")
    assert format_predictions(run.predictions) == format_predictions(mean_predictions([A, B]))
    assert run.metrics == json.loads(json.dumps(report))
    # B is surer, so the mean predicts what B predicts
    assert report["all"]["ensemble"]["correct"] == 4
    assert report["all"]["over_members"]["accuracy"]["values"] == [4 / 6, 4 / 6]
    assert report["members_are"] == "runs"
    assert list(read_members(run)) == ["1-a", "2-b"]
    assert [member["path"] for member in run.info["runs"]] == ["../a", "../b"]
    stated = read_toml(run.path / "config.toml")
    assert stated == {"ensemble": {"runs": ["../a", "../b"], "weights": [1.0, 1.0]}}
    assert (run.path / "confusion.png").exists()


def test_members_that_are_about_other_clips_than_the_run_are_damage(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)]
    ensemble_runs(paths, tmp_path / "both")
    table = tmp_path / "both" / "predictions.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    with pytest.raises(RunError, match=r"is damaged: members/1-a\.csv is about other clips than"):
        read_members(read_run(tmp_path / "both"))


def test_weights_are_used_and_warned_about(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)]
    report = ensemble_runs(paths, tmp_path / "both", weights=[1, 0])
    run = read_run(tmp_path / "both")
    assert run.predictions.predictions == A.predictions
    assert WEIGHTS_WARNING in report["warnings"]
    assert [member["weight"] for member in run.info["runs"]] == [1.0, 0.0]


def test_an_ensemble_of_ensembles_can_be_made(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)]
    ensemble_runs(paths, tmp_path / "c")
    ensemble_runs([paths[0], tmp_path / "c"], tmp_path / "d")
    assert read_run(tmp_path / "d").predictions.clips == A.clips


def test_what_is_wrong_with_one_run_is_said_of_the_ensemble(tmp_path: Path) -> None:
    untrained = predictions_of(LABELS, LABELS, untrained=True)
    missing = [MissingClip("c9", "sad", None, "failed")]
    a = make_run(tmp_path / "a", A, independent=False, warnings=["not speaker-independent"])
    b = make_run(tmp_path / "b", untrained, independent=True, missing=missing)
    report = ensemble_runs([a, b], tmp_path / "both")
    info = read_run(tmp_path / "both").info
    assert info["speaker_independent"] is False
    assert info["untrained"] is True
    assert set(report["warnings"]) == {UNTRAINED_WARNING, "not speaker-independent"}
    assert report["missing"]["count"] == 1
    c = make_run(tmp_path / "c", A, independent=None)
    ensemble_runs([b, c], tmp_path / "unknown")
    assert read_run(tmp_path / "unknown").info["speaker_independent"] is None
    d = make_run(tmp_path / "d", A, independent="by faces")
    ensemble_runs([b, d], tmp_path / "by-faces")
    assert read_run(tmp_path / "by-faces").info["speaker_independent"] == "by faces"


def test_runs_that_do_not_fit_together_are_refused_by_name(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", A)
    fewer = make_run(tmp_path / "fewer", A.select(lambda i: i > 0))
    classes = make_run(tmp_path / "classes", predictions_of("ab", "ab", classes=("angry", "bored")))
    labels = make_run(tmp_path / "labels", predictions_of("ahsahh", "ahsahh"))
    out = tmp_path / "out"
    with pytest.raises(PredictionsError, match=r"a has 6 clips and .*fewer 5, 5 of them in both"):
        ensemble_runs([a, fewer], out)
    with pytest.raises(PredictionsError, match=r"classes angry, happy, sad and .*classes angry, b"):
        ensemble_runs([a, classes], out)
    with pytest.raises(PredictionsError, match="1 clips, such as c05, have another label"):
        ensemble_runs([a, labels], out)
    with pytest.raises(PredictionsError, match="got 3 weights for 2 members"):
        ensemble_runs([a, make_run(tmp_path / "b", B)], out, weights=[1, 2, 3])
    assert not out.exists()


def test_runs_that_can_not_be_averaged_are_refused(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)
    with pytest.raises(RunError, match="at least 2 runs, got 1"):
        ensemble_runs([a], tmp_path / "out")
    with pytest.raises(RunError, match="is named twice; give it a larger share instead"):
        ensemble_runs([a, b, tmp_path / "b" / ".." / "a"], tmp_path / "out")
    with pytest.raises(RunError, match="a is one of the runs to average"):
        ensemble_runs([a, b], a, overwrite=True)
    with pytest.raises(RunError, match="is not a run folder"):
        ensemble_runs([a, tmp_path], tmp_path / "out")
    ensemble_runs([a, b], tmp_path / "out")
    with pytest.raises(RunError, match=r"out holds a run \(finished\)"):
        ensemble_runs([a, b], tmp_path / "out")
    ensemble_runs([a, b], tmp_path / "out", overwrite=True)


def test_a_run_is_evaluated_from_its_predictions_alone(tmp_path: Path) -> None:
    missing = [MissingClip("c9", "sad", None, "failed")]
    run = read_run(make_run(tmp_path / "a", A, warnings=["w"], missing=missing))
    assert evaluate_run(run) == run.metrics
    text = (run.path / "predictions.csv").read_text()
    (run.path / "predictions.csv").write_text(text.replace("c00,angry", "c00,sad"))
    changed = evaluate_run(read_run(run.path))
    assert changed["all"]["ensemble"]["correct"] == 3
