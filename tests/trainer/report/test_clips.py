"""Clips of a page: which are shown, in what room, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.manifest.clip import Clip
from tests.trainer.report import report_helper
from tests.trainer.report.report_helper import Drawn, draw, make_run
from trainer.explain.panel import embed_json
from trainer.report import clips
from trainer.report.clips import MOST_DETAILED, gather_clips
from trainer.report.page import format_report
from trainer.runs.folder import RunError


@pytest.fixture(autouse=True)
def explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "explain_run", report_helper.explain)


@pytest.mark.slow
def test_a_page_of_400_clips_with_pictures_stays_below_5_megabytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 400)
    page = format_report([run], draw=draw, projection="none")
    assert len(page.encode()) < 5_000_000
    data = gather_clips([run], ["run"], draw=draw).data
    assert len(data["explanations"][0]) == 400
    assert len(data["pictures"]) == sum("<" not in clip for clip in run.predictions.clips)


@pytest.mark.slow
def test_ten_thousand_clips_need_less_than_a_hundred_bytes_each(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 10_000, with_manifest=False)
    found = gather_clips([run], ["run"])
    assert len(found.data["explanations"][0]) == MOST_DETAILED
    assert found.notes == [
        "Curves and pictures are of 400 of 10000 clips: mistakes first, the surest before others. "
        "avfuse explain shows any clip."
    ]
    found.data["explanations"] = []
    assert len(embed_json(found.data)) < 100 * 10_000


def test_mistakes_come_first_and_the_surest_of_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 30)
    asked: list[str] = []

    def note(some: Sequence[Clip]) -> Mapping[str, Drawn]:
        asked.extend(clip.id for clip in some)
        return draw(some)

    gather_clips([run], ["run"], draw=note)
    table = run.predictions
    row = {clip: i for i, clip in enumerate(table.clips)}
    wrong = [table.labels[row[clip]] != table.predictions[row[clip]] for clip in asked]
    assert 0 < sum(wrong) < len(wrong)
    assert wrong == sorted(wrong, reverse=True)
    sure = [float(table.probabilities[row[clip]].max()) for clip in asked]
    count = sum(wrong)
    assert sure[:count] == sorted(sure[:count], reverse=True)
    assert sure[count:] == sorted(sure[count:])


def test_clips_that_runs_predict_differently_come_before_all(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, 30, seed=i) for i, name in enumerate("ab")]
    asked: list[str] = []

    def note(some: Sequence[Clip]) -> Mapping[str, Drawn]:
        asked.extend(clip.id for clip in some)
        return {}

    gather_clips(runs, ["a", "b"], draw=note)
    first, second = (
        dict(zip(run.predictions.clips, run.predictions.predictions, strict=True)) for run in runs
    )
    same = [first[clip] == second[clip] for clip in asked]
    assert 0 < sum(same) < len(same)
    assert same == sorted(same)


def test_what_has_no_room_is_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 10)
    one = len(embed_json(report_helper.explain(run, ["clip-00000"])["clip-00000"].to_json(200)))
    found = gather_clips([run], ["run"], draw=draw, budget=3 * one)
    assert 1 <= len(found.data["explanations"][0]) < 10
    assert found.notes[0].startswith("Curves are of ")
    assert found.notes[1].startswith("Pictures are of 0 clips, mistakes first")


def test_a_clip_without_frames_says_why(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 5)

    def gone(some: Sequence[Clip]) -> Mapping[str, Drawn]:
        return {clip.id: Drawn(b"", (), None, why=f"{clip.path.name} is gone") for clip in some}

    found = gather_clips([run], ["run"], draw=gone)
    assert found.data["pictures"][0] == {"why": "0.mp4 is gone"}
    assert found.notes == ["No frames of clips: 0.mp4 is gone."]


@pytest.mark.parametrize(
    ("info", "said"),
    [({}, "the run names no manifest"), ({"manifest": {"path": "/no/such.csv"}}, "/no/such.csv")],
)
def test_a_manifest_that_is_gone_is_named(tmp_path: Path, info: dict[str, Any], said: str) -> None:
    run = make_run(tmp_path, "run", 5)
    found = gather_clips([replace(run, info=info)], ["run"], draw=draw)
    assert found.data["pictures"] == {}
    assert len(found.notes) == 1
    assert said in found.notes[0]


def test_curves_that_cannot_be_made_cost_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RunError("the cache is gone")

    monkeypatch.setattr(clips, "explain_run", fail)
    found = gather_clips([make_run(tmp_path, "run", 4)], ["run"], draw=draw)
    assert len(found.data["pictures"]) == 4
    assert found.notes == ["No curves of attention and probabilities over time: the cache is gone."]


def test_a_speaker_whom_one_run_names_is_known(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", 4)
    older = replace(run, predictions=replace(run.predictions, speakers=(None,) * 4))
    data = gather_clips([older, run], ["older", "run"]).data
    assert [data["speakers"][i] for i in data["speaker"]] == list(run.predictions.speakers)
