"""The answer of a run in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.answer import format_answer
from trainer.runs.folder import Run
from trainer.runs.predictions import Predictions
from trainer.runs.report import MissingClip, make_report

FACES = {"frames": 40, "frames_with_face": 30, "clips_without_face": ["c01"]}


def run_of(table: Predictions, *, independent: bool | str | None = True, **report: Any) -> Run:
    metrics = make_report(table, {"seed-0": table}, **report)
    return Run(Path("out/run"), {"speaker_independent": independent}, metrics, table)


def answer_of(table: Predictions, *, width: int = 400, **how: Any) -> str:
    paths = {clip: Path(f"my clips/{clip}.mp4") for clip in table.clips}
    return format_answer(run_of(table, **how), paths, width=width)


def test_accuracy_stands_beside_its_interval_and_the_most_frequent_class() -> None:
    lines = answer_of(predictions_of("ahsah", "ahsha")).splitlines()
    # Wilson for 3 of 5
    assert lines[0] == (
        "Accuracy 60.0 %: 3 of 5 clips right; 95 % interval [23.1, 88.2]: Wilson's, which takes "
        "clips as independent, and clips of one speaker are not (the predictions name no speaker)."
    )
    assert lines[1] == (
        "Always answering angry, the most frequent class, would give 40.0 %; a blind guess 33.3 %."
    )


def test_where_speakers_are_known_the_interval_and_the_claim_rest_on_them() -> None:
    # Speaker x is right on both clips, y on none: drawn again, the accuracy is 0, 1/2 or 1.
    text = answer_of(predictions_of("ahah", "ahha", speakers="xxyy"))
    assert "2 of 4 clips right; 95 % interval by speaker [0.0, 100.0] (2 speakers" in text
    assert "the interval is 100 points wide." in text


def test_few_clips_are_a_demonstration_and_nothing_is_claimed_that_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = answer_of(predictions_of("ahsah", "ahsha"))
    assert "5 clips are a demonstration, not an accuracy: the interval is 65 points wide." in text
    assert "better than always answering angry is not shown" in text
    monkeypatch.setattr("trainer.runs.answer.FEW_CLIPS", 99)
    text = answer_of(predictions_of("ahs" * 33, "ahs" * 33))
    assert "demonstration" not in text
    assert "The heads do better than always answering angry." in text


def test_the_confusion_is_a_table_with_labels_as_rows() -> None:
    lines = answer_of(predictions_of("aahss", "ahhas")).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Confusion"))
    assert lines[start + 1 : start + 5] == [
        "                 1  2  3",
        " 1 angry         1  1  .",
        " 2 happy         .  1  .",
        " 3 sad           1  .  1",
    ]
    assert "Confusion" not in answer_of(predictions_of("aahss", "ahhas"), width=20)


def test_clips_that_went_wrong_have_label_answer_probability_and_file() -> None:
    lines = answer_of(predictions_of("ah", "as", sure=0.75)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("1 clip went wrong"))
    assert lines[start + 1] == "  happy -> sad 0.75  my clips/c01.mp4"
    assert "No clip went wrong." in answer_of(predictions_of("ah", "ah"))
    many = answer_of(predictions_of("a" * 23, "h" * 23))
    assert "  and 3 more; all are in out/run/predictions.csv" in many


@pytest.mark.parametrize(("independent", "said"), [(True, False), (None, True), (False, True)])
def test_one_person_on_both_sides_is_said(independent: bool | None, said: bool) -> None:
    text = answer_of(predictions_of("ah", "ah"), independent=independent)
    assert ("Clips of one person may be in both training and test" in text) is said


def test_frames_with_a_face_and_clips_left_out_are_said() -> None:
    table = predictions_of("ah", "ah")
    missing = [MissingClip("c9", "sad", 0, "it looks like text")]
    text = answer_of(table, coverage={"resnet18": FACES}, missing=missing)
    assert "A face was found in 30 of 40 frames (75.0 %)." in text
    assert "No face at all in c01" in text
    followed = answer_of(table, coverage={"resnet18": {**FACES, "frames_followed": 7}})
    assert "in 30 of 40 frames (75.0 %), in 7 of them followed from others." in followed
    assert "Left out: c9 (it looks like text)." in text
    none = {**FACES, "frames_with_face": 0}
    assert "from whole pictures, not from faces" in answer_of(table, coverage={"resnet18": none})


def test_lines_fit_a_narrow_terminal() -> None:
    text = answer_of(predictions_of("ahsah", "ahsha"), width=40)
    assert [line for line in text.splitlines() if len(line) > 40 and "mp4" not in line] == []


def test_untrained_features_are_said() -> None:
    assert "no figure here means anything" in answer_of(predictions_of("ah", "ah", untrained=True))


def test_folds_by_faces_are_told_with_their_limit() -> None:
    text = answer_of(predictions_of("ahsah", "ahsha"), independent="by faces")
    assert "divided by persons found by their faces: a person who was taken for two may be" in text
    assert "not every speaker is known" not in text
