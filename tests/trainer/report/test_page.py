"""The page of runs: true to their predictions, self-contained, and whole where things are gone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cache.manifest.clip import Clip
from cache.manifest.manifest import Manifest
from pipeline.cli import main
from tests.trainer.experiment_helper import train
from trainer.report.page import format_report, write_report
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.folder import Run, RunError, read_run


@pytest.fixture(scope="module")
def run(manifest: Manifest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(manifest, cache, tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def other(manifest: Manifest, cache: Path, run: Run) -> Run:
    return train(manifest, cache, run.path.parent / "other", overrides=["fusion.kind=video"])


def read_data(page: str) -> dict[str, object]:
    start = page.index('id="data">') + len('id="data">')
    data: dict[str, object] = json.loads(page[start : page.index("</script>", start)])
    return data


def test_figures_are_those_of_the_metrics(run: Run) -> None:
    page = format_report([run], projection="none")
    figures = run.metrics["all"]["ensemble"]
    low, high = figures["by_speaker"]["interval"]
    assert f"<strong>{100 * figures['accuracy']:.1f} %</strong> accuracy" in page
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in page
    for counts in figures["confusion"]:
        assert all(f'<span class="count">{count}<' in page for count in counts if count)


def test_a_page_needs_nothing_but_itself(run: Run) -> None:
    page = format_report([run])
    assert "default-src 'none'" in page
    assert not [
        word for word in ('src="http', 'href="http', "<link", "@import", "fetch(") if word in page
    ]
    assert page == format_report([run])


def test_every_clip_is_there_with_its_answer(run: Run) -> None:
    data = read_data(format_report([run], projection="none"))
    assert data["clips"] == list(run.predictions.clips)
    assert data["labels"] == [run.classes.index(label) for label in run.predictions.labels]
    (answers,) = data["runs"]  # type: ignore[misc]
    assert answers["predictions"] == run.predictions.probabilities.argmax(axis=1).tolist()
    assert [sum(row) for row in answers["probabilities"]] == pytest.approx([1000] * 24, abs=2)
    assert len(data["explanations"][0]) == 24  # type: ignore[index]


def test_text_of_a_run_can_inject_nothing(run: Run) -> None:
    evil = "</script><script>alert(1)</script>"
    info = {**run.info, "command": [evil], "warnings": [evil], "partial": {"c00": evil}}
    table = replace(run.predictions, speakers=(evil,) * len(run.predictions.clips))
    page = format_report([replace(run, info=info, predictions=table)], projection="none")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") == 3
    assert read_data(page)["speakers"] == [evil]


def test_an_untrained_run_says_so_first(run: Run) -> None:
    told = replace(run, info={**run.info, "warnings": ["untrained: random weights"]})
    page = format_report([told], projection="none")
    assert page.index("untrained: random weights") < page.index('id="results"')


def test_two_runs_stand_side_by_side(run: Run, other: Run) -> None:
    page = format_report([run, other], projection="none")
    assert "Difference to first in points of accuracy" in page
    data = read_data(page)
    assert [one["name"] for one in data["runs"]] == ["first", "other"]  # type: ignore[attr-defined]
    assert len(data["explanations"]) == 2  # type: ignore[arg-type]
    assert "<code>fusion.kind</code>" in page


def test_runs_that_share_no_clip_or_class_are_refused(run: Run) -> None:
    classes = tuple(f"{name}!" for name in run.classes)
    labels = tuple(f"{name}!" for name in run.predictions.labels)
    table = replace(run.predictions, classes=classes, labels=labels)
    with pytest.raises(RunError, match=r"can't stand side by side: .* has the classes"):
        format_report([run, replace(run, predictions=table)])
    table = run.predictions
    half = [
        replace(run, predictions=table.select(test))
        for test in (lambda i: i < 12, lambda i: i >= 12)
    ]
    with pytest.raises(RunError, match="no clip in common"):
        format_report(half)


def test_clips_that_one_run_lacks_are_counted(run: Run) -> None:
    table = run.predictions.select(lambda i: i > 4)
    less = replace(run, predictions=table, info={**run.info, "members": []})
    page = format_report([run, less], projection="none")
    assert "5 clips of" in page
    assert read_data(page)["runs"][1]["predictions"][:6] == [-1] * 5 + [  # type: ignore[index]
        int(run.predictions.probabilities[5].argmax())
    ]


def test_a_run_whose_cache_is_gone_says_what_the_page_lacks(run: Run, tmp_path: Path) -> None:
    page = format_report([run], cache=tmp_path / "gone")
    assert "No map: the cache" in page
    assert "No curves of attention and probabilities over time" in page
    assert read_data(page)["explanations"] == [{}]


def test_a_run_without_heads_settings_and_history_has_a_page(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "bare"
    shutil.copytree(run.path, copy)
    for name in ("config.toml", "history.csv"):
        (copy / name).unlink()
    shutil.rmtree(copy / "checkpoints")
    page = format_report([read_run(copy)])
    assert "No settings: this run was made from others" in page
    assert "No training curves" in page
    assert "No map" in page


def test_an_ensemble_names_its_runs_and_is_drawn_from_the_run_beside_it(
    run: Run, other: Run, tmp_path: Path
) -> None:
    ensemble_runs([run.path, other.path], tmp_path / "both")
    both = read_run(tmp_path / "both")
    alone = format_report([both])
    assert "this run was made from others: " in alone
    assert "made from other runs" in alone
    page = format_report([both, run])
    assert "Each point is a clip" in page
    assert [len(of_run) for of_run in read_data(page)["explanations"]] == [0, 24]  # type: ignore[attr-defined]


def test_a_stack_shows_the_weights_of_each_fold(run: Run) -> None:
    stack = [
        {"fold": 0, "weights": {"1-voice": 0.25, "2-<face>": 1.5}},
        {"fold": 1, "weights": {"1-voice": 0.0, "2-<face>": 0.75}},
    ]
    page = format_report([replace(run, info={**run.info, "stack": stack})], projection="none")
    assert "fitted for each fold on its training clips alone" in page
    assert '<th scope="col">1-voice</th><th scope="col">2-&lt;face&gt;</th>' in page
    assert ">fold 0</th><td>0.25</td><td>1.50</td>" in page
    assert ">fold 1</th><td>0.00</td><td>0.75</td>" in page
    assert "weights of the stack" not in format_report([run], projection="none")


def test_a_calibrated_run_shows_its_temperatures_beside_the_calibration(run: Run) -> None:
    heads = [{**head, "temperature": 1.25 + head["fold"]} for head in run.info["checkpoints"]]
    page = format_report([replace(run, info={**run.info, "checkpoints": heads})], projection="none")
    calibration = page[page.index('id="calibration"') : page.index('id="training"')]
    assert "temperature 1.25 to 2.25, fitted on held-out training clips" in calibration
    assert (
        "temperature"
        not in format_report([run], projection="none")
        .split('id="calibration"')[1]
        .split('id="training"')[0]
    )


def test_a_damaged_run_file_is_named(run: Run) -> None:
    damaged = replace(run, info={**run.info, "sets": [{"name": "resnet18"}]})
    with pytest.raises(RunError, match=r"first: run.json is damaged: .*key"):
        format_report([damaged], projection="none")


def test_a_damaged_history_is_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "r")
    (tmp_path / "r" / "history.csv").write_text("nonsense")
    with pytest.raises(RunError, match=r"r is damaged: .*history.csv is not a history"):
        format_report([read_run(tmp_path / "r")])


def test_pictures_are_asked_for_only_of_clips_of_the_manifest(run: Run) -> None:
    asked: list[str] = []

    def draw(clips: Sequence[Clip]) -> Mapping[str, object]:
        asked.extend(clip.id for clip in clips)
        raise ImportError("No module named 'cv2'")

    page = format_report([run], draw=draw, projection="none")  # type: ignore[arg-type]
    assert "No pictures of clips: No module named" in page
    assert set(asked) <= set(run.predictions.clips)
    wrong = {
        clip
        for clip, label, answer in zip(
            run.predictions.clips, run.predictions.labels, run.predictions.predictions, strict=True
        )
        if label != answer
    }
    assert set(asked[: len(wrong)]) == wrong or not wrong


def test_the_command_writes_the_page_of_the_call(run: Run, other: Run, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "r.html"
    words = ["report", str(run.path), str(other.path), "-o", str(out), "--no-pictures"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    write_report([run, other], tmp_path / "same.html")
    assert out.read_bytes() == (tmp_path / "same.html").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{run}", "-o", "{out}"], "pass --overwrite"),
        (["{folder}", "-o", "{folder}/x.html"], "is not a run folder"),
        (["{run}", "-o", "{folder}/x.html", "--sheets", "{folder}"], "has no index.html"),
        (["{run}", "-o", "{folder}/x.html", "--projection", "umap"], "'umap' is not one of"),
    ],
)
def test_what_cannot_be_written_is_refused(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "r.html"
    out.write_text("mine")
    places = {"run": run.path, "out": out, "folder": tmp_path}
    result = CliRunner().invoke(main, ["report", *(word.format(**places) for word in words)])
    assert result.exit_code == 2
    assert said in result.output
    assert out.read_text() == "mine"
