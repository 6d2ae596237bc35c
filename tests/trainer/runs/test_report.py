"""The report: all clips, those with both modalities, members, folds, and missing clips."""

from __future__ import annotations

import json

import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.metrics import wilson_interval
from trainer.runs.predictions import mean_predictions
from trainer.runs.report import MissingClip, make_report

FOLDS = (0, 0, 0, 1, 1)
MODALITIES = ("audio+video", "audio+video", "audio", "audio+video", "video")
A = predictions_of("ahsah", "ahsha", folds=FOLDS, modalities=MODALITIES)  # 3 of 5
B = predictions_of("ahsah", "aasss", folds=FOLDS, modalities=MODALITIES, sure=0.9)  # 2 of 5
POOLED = mean_predictions([A, B])  # B is surer: its predictions, 2 of 5


def test_figures_are_given_over_all_clips_and_over_those_with_both_modalities() -> None:
    report = make_report(POOLED, {"seed-0": A, "seed-1": B})
    assert report["all"]["ensemble"]["n"] == 5
    assert report["all"]["ensemble"]["accuracy"] == 2 / 5
    # clips 0, 1 and 3 have both: B is right on clip 0 only
    assert report["both"]["ensemble"]["n"] == 3
    assert report["both"]["ensemble"]["accuracy"] == pytest.approx(1 / 3)
    assert report["both"]["members"]["seed-0"]["accuracy"] == pytest.approx(2 / 3)
    assert report["clips"] == {"audio": 1, "audio+video": 3, "video": 1}


def test_members_and_folds_have_their_spread() -> None:
    figures = make_report(POOLED, {"seed-0": A, "seed-1": B})["all"]
    assert figures["over_members"]["accuracy"]["values"] == [3 / 5, 2 / 5]
    assert figures["over_members"]["accuracy"]["mean"] == pytest.approx(1 / 2)
    assert figures["over_members"]["accuracy"]["deviation"] == pytest.approx(0.02**0.5)
    # fold 0 is clips 0 to 2, of which the ensemble has 0 and 2; fold 1 has none right
    assert figures["folds"]["0"]["accuracy"] == pytest.approx(2 / 3)
    assert figures["over_folds"]["accuracy"]["values"] == pytest.approx([2 / 3, 0])


def test_clips_without_features_are_named_and_counted_as_wrong() -> None:
    missing = [MissingClip("c97", "sad", 0, "failed: no face"), MissingClip("c98", "sad", 1, "x")]
    report = make_report(POOLED, {"seed-0": POOLED}, missing=missing)
    assert report["all"]["ensemble"]["n"] == 5
    assert report["missing"]["count"] == 2
    assert report["missing"]["clips"][0] == {
        "clip": "c97",
        "label": "sad",
        "fold": 0,
        "reason": "failed: no face",
    }
    assert report["missing"]["n"] == 7
    assert report["missing"]["accuracy_as_wrong"] == 2 / 7
    assert report["missing"]["interval_as_wrong"] == list(wilson_interval(2, 7) or ())


def test_clips_with_one_modality_only_have_no_figures_for_both() -> None:
    table = predictions_of("ah", "ah", modalities=("audio", "audio"))
    assert make_report(table, {"seed-0": table})["both"] is None


def test_a_report_without_a_clip_is_undefined_and_still_json() -> None:
    empty = POOLED.select(lambda _: False)
    report = make_report(empty, {"seed-0": empty}, warnings=["w"])
    assert report["all"]["ensemble"]["accuracy"] is None
    assert report["missing"]["accuracy_as_wrong"] is None
    assert report["warnings"] == ["w"]
    json.dumps(report, allow_nan=False)
