"""``sweep --select inner``: nothing is chosen on the clips that are reported on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cache.manifest.manifest import Clip
from pipeline.cli import main
from tests.docs.blocks import no_pictures
from tests.trainer.corpus_helper import write_set
from tests.trainer.experiment_helper import CLASSES, make_manifest
from tests.trainer.predictions_helper import predictions_of
from trainer.runs.folder import read_json, read_run
from trainer.runs.predictions import PredictionsError
from trainer.sweeps import inner
from trainer.sweeps.cell import CellResult, Place
from trainer.sweeps.file import CellText, read_sweep
from trainer.sweeps.inner import ROW
from trainer.sweeps.sweep import run_sweep

NUM_CLIPS, NUM_SPEAKERS = 36, 6  # four speakers to train on, two to test on
TEXT = """
title = "Two features"
[base]
set = { fusion.kind = "video", optim.epochs = 6, video.hidden_dim = 8, optim.learning_rate = 0.02 }
[[cells]]
name = "steady"
set = { video.set = "steady" }
[[cells]]
name = "shown"
set = { video.set = "shown" }
[[cells]]
name = "both"
ensemble = ["steady", "shown"]
[[cells]]
name = "more"
set = { video.set = "shown" }
train_on = ["train", "val"]
"""
pytestmark = pytest.mark.usefixtures("no_pictures")


def make_clips(folder: Path, turned: int = 0) -> list[Clip]:
    """Each speaker says every class twice; labels of test clips are ``turned`` on by so many."""
    clips = []
    for i in range(NUM_CLIPS):
        split = "train" if i < NUM_CLIPS * 4 // 6 else "test"
        label = CLASSES[(i + turned * (split == "test")) % 3]
        speaker = f"s{i * NUM_SPEAKERS // NUM_CLIPS}"
        clips.append(Clip(f"c{i:02}", folder / f"c{i:02}.mp4", label, split, speaker))
    return clips


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus on which ``shown`` is the best on training clips and wrong on test clips."""
    folder = tmp_path_factory.mktemp("inner")
    clips = make_clips(folder)
    rng = np.random.default_rng(5)
    sets: dict[str, dict[str, Any]] = {"steady": {}, "shown": {}}
    for i, clip in enumerate(clips):
        noise = rng.normal(size=(2, 7, 11)).astype(np.float32)
        noise[0, :, i % 3] += 0.9
        noise[1, :, (i + (clip.split == "test")) % 3] += 4.0
        for name, steps in zip(sets, noise, strict=True):
            sets[name][clip.id] = {"basic": steps}
    for name, arrays in sets.items():
        write_set(folder / "cache", name, arrays)
    make_manifest(folder, clips)
    (folder / "two.toml").write_text(TEXT)
    return folder


def sweep(
    source: Path, output: Path, manifest: Path | None = None, **base: Any
) -> list[CellResult]:
    swept = read_sweep(str(source / "two.toml"), base=base)
    return run_sweep(swept, Place(manifest or source / "manifest.csv", source / "cache", output))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def chosen_in(output: Path) -> list[str]:
    return [row["cell"] for row in rows_of(output / "inner.csv") if row["chosen"] == "true"]


@pytest.fixture(scope="module")
def chosen(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep with a choice, by the manifest's splits."""
    output = tmp_path_factory.mktemp("chosen") / "out"
    with no_pictures():
        sweep(source, output, select="inner")
    return output


@pytest.mark.slow
def test_where_the_best_test_row_is_not_the_best_inner_row_the_inner_one_is_chosen(
    source: Path, chosen: Path, tmp_path: Path
) -> None:
    plain = {result.cell: result for result in sweep(source, tmp_path / "out")}

    def accuracy(report: Any) -> float:
        found: float = report["all"]["ensemble"]["accuracy"]
        return found

    tested = {name: accuracy(result.report) for name, result in plain.items() if result.report}
    assert max(tested, key=tested.__getitem__) == "steady"
    assert chosen_in(chosen) == ["shown"]
    run = read_run(chosen / "chosen")
    assert accuracy(run.metrics) == tested["shown"] < tested["steady"]
    ours = read_run(tmp_path / "out" / "cells" / "shown").predictions
    np.testing.assert_array_equal(run.predictions.probabilities, ours.probabilities)
    assert run.predictions.splits == ("test",) * 12


@pytest.mark.slow
def test_the_table_has_the_choice_and_inner_scores_and_no_test_figure_of_another_row(
    chosen: Path,
) -> None:
    first, *others = rows_of(chosen / "table.csv")
    assert (first["cell"], first["state"], first["n"]) == (ROW, "ok", "12")
    assert {row["cell"]: row["state"] for row in others} == {
        "steady": "scored",
        "shown": "scored",
        "both": "scored",
        "more": "skipped",
    }
    assert {row["accuracy"] for row in others} == {""}
    assert not (chosen / "cells" / "steady" / "predictions.csv").exists()
    assert not (chosen / "cells" / "steady" / "metrics.json").exists()
    table = read_json(chosen / "table.json")
    scores = table["inner"]["scores"]
    assert [score["cell"] for score in scores] == ["steady", "shown", "both"]
    assert {score["n"] for score in scores} == {24}
    text = (chosen / "table.md").read_text()
    assert "nothing was chosen on the clips that are reported on" in text
    assert f"| shown | **{100 * scores[1]['accuracy']:.1f} %** |" in text
    assert "other clips than the rows that it would be chosen from" in text


@pytest.mark.slow
def test_other_labels_of_the_tested_clips_change_no_choice_and_no_score(
    source: Path, chosen: Path, tmp_path: Path
) -> None:
    manifest = make_manifest(tmp_path, make_clips(source, turned=1))
    sweep(source, tmp_path / "out", manifest.path, select="inner")
    scores = (chosen / "inner.csv").read_bytes()
    assert (tmp_path / "out" / "inner.csv").read_bytes() == scores
    ours, theirs = (read_run(at / "chosen").predictions for at in (tmp_path / "out", chosen))
    assert ours.labels != theirs.labels
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


@pytest.mark.slow
def test_the_same_sweep_again_trains_nothing_and_a_lost_score_is_made_again(
    source: Path, chosen: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(chosen, tmp_path / "out"))
    heads = {path: path.stat().st_mtime_ns for path in output.glob("cells/**/*.safetensors")}
    assert heads
    before = (output / "table.json").read_bytes()
    kept = output / "cells" / "steady" / "nested.csv"
    written = kept.stat().st_mtime_ns
    sweep(source, output, select="inner")
    assert {path: path.stat().st_mtime_ns for path in heads} == heads
    assert kept.stat().st_mtime_ns == written
    kept.unlink()
    sweep(source, output, select="inner")
    assert kept.exists()
    assert (output / "table.json").read_bytes() == before


@pytest.mark.slow
def test_a_sweep_stopped_between_choice_and_test_goes_on_to_the_same_table(
    source: Path, chosen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inner, "finish_run", stop)
        with pytest.raises(KeyboardInterrupt):
            sweep(source, tmp_path / "out", select="inner")
    assert not (tmp_path / "out" / "table.json").exists()
    sweep(source, tmp_path / "out", select="inner")
    for name in ("table.json", "table.csv", "table.md", "inner.csv", "chosen/predictions.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (chosen / name).read_bytes()


@pytest.mark.slow
def test_each_fold_is_tested_with_its_own_choice_and_the_run_is_one_for_other_commands(
    source: Path, tmp_path: Path
) -> None:
    words = ["sweep", str(source / "two.toml"), str(source / "manifest.csv")]
    words += ["--cache", str(source / "cache"), "-o", str(tmp_path / "out"), "--folds", "speaker:3"]
    said = CliRunner().invoke(main, [*words, "--select", "inner", "--jobs", "1", "--json"])
    assert said.exit_code == 0, said.output
    assert "/5 steady: scored\n" in said.stderr
    assert f"5/5 {ROW}: " in said.stderr
    table = json.loads(said.stdout)
    assert table == read_json(tmp_path / "out" / "table.json")
    assert table["reported_on"]["folds"] == "speaker:3"
    run = read_run(tmp_path / "out" / "chosen")
    assert len(run.predictions.clips) == NUM_CLIPS
    for fold, row in enumerate(chosen_in(tmp_path / "out")):
        of_row = read_run(tmp_path / "out" / "cells" / row).predictions if row != "both" else None
        if of_row:
            own = [i for i, number in enumerate(run.predictions.folds) if number == fold]
            np.testing.assert_array_equal(
                run.predictions.probabilities[own], of_row.probabilities[own]
            )
    for command in (["evaluate"], ["compare", str(tmp_path / "out" / "chosen")]):
        told = CliRunner().invoke(main, [*command, str(tmp_path / "out" / "chosen")])
        assert told.exit_code == 0, told.output
    page = ["report", str(tmp_path / "out" / "chosen"), "-o", str(tmp_path / "page.html")]
    told = CliRunner().invoke(main, page)
    assert told.exit_code == 0, told.output


@pytest.mark.slow
def test_a_row_that_fails_and_a_stack_are_left_out_of_the_choice_and_told(
    source: Path, tmp_path: Path
) -> None:
    broken = '[[cells]]\nname = "broken"\nset = { video.set = "shown", video.features = "mean" }\n'
    stack = '[[cells]]\nname = "stacked"\nensemble = ["shown", "steady"]\nmethod = "stack"\n'
    path = tmp_path / "three.toml"
    path.write_text(TEXT + broken + stack)
    swept = read_sweep(str(path), base={"select": "inner"})
    at = Place(source / "manifest.csv", source / "cache", tmp_path / "out")
    results = {result.cell: result for result in run_sweep(swept, at)}
    states = {name: result.state for name, result in results.items()}
    assert states["broken"] == "failed"
    assert states["stacked"] == "skipped"
    assert "fitted on the predictions that it would be chosen by" in results["stacked"].reason
    scored = {row["cell"] for row in rows_of(tmp_path / "out" / "inner.csv")}
    assert scored == {"steady", "shown", "both"}
    assert states[ROW] == "ok"
    assert chosen_in(tmp_path / "out") == ["shown"]


def test_an_ensemble_of_cells_that_lack_other_folds_has_no_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = predictions_of("ah", "ah")
    found: dict[str, Any] = {"a": {0: table, 1: table}, "b": {0: table}}
    monkeypatch.setattr(inner, "read_nested", lambda folder: found[folder.name])
    cell = CellText("both", ensemble=("a", "b"))
    with pytest.raises(PredictionsError, match="its cells have features in different folds"):
        inner._read_nested(cell, [Path("a"), Path("b")])
