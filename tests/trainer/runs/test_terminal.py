"""The report as text."""

from __future__ import annotations

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.predictions import mean_predictions
from trainer.runs.report import MissingClip, make_report
from trainer.runs.terminal import format_interval, format_percent, format_report

A = predictions_of("ahsah", "ahsha", folds=(0, 0, 0, 1, 1))
B = predictions_of("ahsah", "aasss", folds=(0, 0, 0, 1, 1), sure=0.9)
POOLED = mean_predictions([A, B])


def test_a_report_reads_as_a_table() -> None:
    report = make_report(
        POOLED, {"seed-0": A, "seed-1": B}, title="icmi19", warnings=["mind the gap"]
    )
    lines = format_report(report, name="out/run").splitlines()
    assert lines[0] == "out/run: icmi19"
    assert lines[1].split() == ["n", "accuracy", "95", "%", "interval", "UAR", "macro", "F1"]
    assert lines[2] == "all clips (audio+video 5)"
    # Wilson for 2 of 5: (0.4 + z^2/10 -+ z sqrt(0.4 * 0.6 / 5 + z^2/100)) / (1 + z^2/5)
    # recalls 1/2, 0/2, 1/1; F1 of angry 2*1/(2+1+1), sad 2*1/(2+0+2)
    assert " ".join(lines[3].split()) == ("ensemble of 2 seeds 5 40.0 % [11.8, 76.9] 50.0 % 33.3 %")
    assert " ".join(lines[4].split()).startswith("mean of 2 seeds 50.0 ± 14.1 %")
    assert " ".join(lines[5].split()).startswith("mean of 2 folds 33.3 ± 47.1 %")
    assert lines[6] == "clips with both modalities: all of them, the same figures"
    assert lines[7] == (
        "95 % interval [11.8, 76.9]: Wilson's, which takes clips as independent, and clips of one "
        "speaker are not (the predictions name no speaker)"
    )
    assert lines[8].startswith("expected calibration error ")
    assert lines[9] == "recall: angry 50.0 %, happy 0.0 %, sad 100.0 %"
    assert lines[-1] == "warning: mind the gap"


def test_an_interval_by_speaker_stands_in_the_table_and_wilsons_beside_it() -> None:
    # x has both clips right, y neither: drawn again, the accuracy is 0, 1/2 or 1.
    table = predictions_of("ahah", "ahha", speakers="xxyy")
    lines = format_report(make_report(table, {"seed-0": table}), name="r").splitlines()
    assert " ".join(lines[3].split()).startswith("one head 4 50.0 % [0.0, 100.0]")
    assert (
        "95 % interval by speaker [0.0, 100.0] (2 speakers, cluster bootstrap; so few speakers "
        "make it too narrow); Wilson's, which takes clips as independent, [15.0, 85.0]"
    ) in lines
    # 0.7 sure of each, and half are right
    assert "expected calibration error 20.0 % (10 bins)" in lines


def test_a_report_of_an_older_run_is_still_printed() -> None:
    report = make_report(POOLED, {"seed-0": A, "seed-1": B})
    for part in ("all", "both"):
        for name in ("by_speaker", "not_by_speaker", "calibration"):
            del report[part]["ensemble"][name]
    text = format_report(report, name="r")
    assert "95 % interval [11.8, 76.9]: Wilson's" in text
    assert "(this run doesn't name the speakers)" in text
    assert "calibration" not in text


def test_missing_clips_and_classes_are_said() -> None:
    table = predictions_of("ah", "ah", modalities=("audio", "audio+video"))
    missing = [MissingClip("c9", "sad", None, "failed: no sound")]
    text = format_report(make_report(table, {"seed-0": table}, missing=missing), name="r")
    assert "1 clip to report on without features: c9 (failed: no sound)" in text
    assert "counted as wrong, accuracy is 66.7 % [20.8, 93.9] of 3" in text
    assert "left out of UAR and macro F1, as no clip has them: sad" in text
    assert "clips with both modalities\n" in text
    assert "one head" in text


def test_clips_of_one_modality_are_said() -> None:
    table = predictions_of("ah", "ah", modalities=("audio", "audio"))
    text = format_report(make_report(table, {"seed-0": table}), name="r")
    assert "clips with both modalities: none (audio only)" in text


def test_without_clips_there_are_dashes_and_no_zeros() -> None:
    empty = POOLED.select(lambda _: False)
    text = format_report(make_report(empty, {"a": empty, "b": empty}), name="r")
    assert "clips with both modalities: none (no clip at all)" in text
    assert "0.0 %" not in text


def test_shares_are_percent() -> None:
    assert format_percent(0.12345) == "12.3 %"
    assert format_percent(None) == "-"
    assert format_interval([0.1, 0.25]) == "[10.0, 25.0]"
    assert format_interval(None) == "-"
