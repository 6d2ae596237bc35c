"""Sweeps: every cell is the run that avfuse train makes, once, and failures stay in their cell."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetError, SetSpec
from pipeline.cli import main
from tests.trainer.corpus_helper import values, write_set
from tests.trainer.experiment_helper import (
    SMALL,
    make_cache,
    make_clips,
    make_corpus,
    make_manifest,
)
from trainer.data.folds import SplitError
from trainer.doors import SERIAL
from trainer.runs.compare import compare_predictions
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import read_json, read_run
from trainer.runs.lock import FolderLock, RunHeldError
from trainer.settings import load_settings
from trainer.sweeps import cell as sweep_cell
from trainer.sweeps.cell import CellResult, Place, cell_settings
from trainer.sweeps.file import Sweep, SweepError, read_sweep
from trainer.sweeps.sweep import run_sweep, settle_sweep

TEXT = """
title = "Two attentions"
[base]
preset = "icmi19"
folds = "speaker:2"
[[axes]]
name = "video attention"
setting = "video.attention"
values = ["mean", "self"]
[[axes]]
name = "fusion"
setting = "fusion.kind"
values = ["concat", "fbp"]
[paper]
figures = [[50, 51], [52, 53]]
note = "elsewhere"
[[cells]]
name = "broken"
set = { video.features = "mean" }
[[cells]]
name = "both"
ensemble = ["mean / concat", "self / fbp"]
paper = 99.5
[[cells]]
name = "all"
ensemble = ["mean / concat", "broken"]
[[cells]]
name = "left out"
skip = "for a reason"
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, a cache and a sweep file."""
    folder = make_corpus(tmp_path_factory.mktemp("sweep")).path.parent
    (folder / "mine.toml").write_text(TEXT)
    return folder


def place(source: Path, output: Path) -> Place:
    return Place(source / "manifest.csv", source / "cache", output)


def sweep_rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "table.csv").open(newline="") as file:
        return {row["cell"]: row for row in csv.DictReader(file)}


def run(source: Path, output: Path, text: str = "", **how: Any) -> list[CellResult]:
    path = source / "mine.toml"
    if text:
        path = output.parent / "mine.toml"
        path.write_text(text)
    how.setdefault("overrides", SMALL)
    overwrite = how.pop("overwrite", False)
    return run_sweep(read_sweep(str(path), **how), place(source, output), overwrite=overwrite)


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of the whole sweep; copy it before changing it."""
    output = tmp_path_factory.mktemp("finished") / "out"
    run(source, output)
    return output


def test_a_sweep_into_the_folder_of_one_that_runs_changes_nothing_and_says_so(
    source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with (
        FolderLock(output),
        pytest.raises(RunHeldError, match=f"out is being written by process {os.getpid()} on"),
    ):
        run(source, output)
    assert not output.exists()


def take_calibration(figures: dict[str, Any]) -> list[float]:
    """Take the calibration out of a run's figures; return each block's error."""
    blocks = [figures["ensemble"], *figures["members"].values(), *figures["folds"].values()]
    return [block.pop("calibration")["ece"] for block in blocks]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_cell_is_the_run_that_training_alone_makes(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    from cache.manifest.manifest import read_manifest

    settings = load_settings(
        "icmi19", [*SMALL, "video.attention=self", "fusion.kind=fbp", "prior=none"]
    )
    manifest = read_manifest(source / "manifest.csv", check_files=False)
    alone = run_experiment(
        manifest, source / "cache", settings, tmp_path / "r", Protocol("speaker:2"), threads=1
    )
    cell = read_run(finished / "cells" / "self-fbp")
    ours, theirs = take_calibration(cell.metrics["all"]), take_calibration(alone["all"])
    assert ours == pytest.approx(theirs)  # of probabilities, which differ in rounding
    assert cell.metrics["all"] == alone["all"]
    row = sweep_rows(finished)["self / fbp"]
    best = alone["all"]["ensemble"]
    assert row["n"] == str(best["n"]) == "24"
    assert float(row["accuracy"]) == pytest.approx(100 * best["accuracy"], abs=1e-3)
    assert float(row["interval_high"]) == pytest.approx(100 * best["interval"][1], abs=1e-3)
    assert float(row["uar"]) == pytest.approx(100 * best["uar"], abs=1e-3)
    assert float(row["macro_f1"]) == pytest.approx(100 * best["macro_f1"], abs=1e-3)
    assert (row["paper"], row["paper_note"]) == ("53.000", "elsewhere")
    first = read_run(finished / "cells" / "mean-concat")
    pair = compare_predictions(first.predictions, cell.predictions).by_speaker
    assert pair
    assert row["against"] == "mean / concat"
    assert float(row["difference"]) == pytest.approx(100 * pair.difference, abs=1e-3)
    assert float(row["difference_low"]) == pytest.approx(100 * pair.interval[0], abs=1e-3)
    assert float(row["p_value"]) == pytest.approx(pair.p_value, rel=1e-2)
    assert row["tests"] == "4"  # of five rows with a result


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_joined_cell_is_the_ensemble_of_its_runs(finished: Path, tmp_path: Path) -> None:
    cells = finished / "cells"
    report = ensemble_runs([cells / "mean-concat", cells / "self-fbp"], tmp_path / "e")
    assert read_run(cells / "both").metrics["all"]["ensemble"] == report["all"]["ensemble"]
    assert sweep_rows(finished)["both"]["members"] == "2"


def test_a_failing_cell_is_told_and_the_others_go_on(finished: Path) -> None:
    rows = sweep_rows(finished)
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        **dict.fromkeys(["mean / concat", "mean / fbp", "self / concat", "self / fbp"], "ok"),
        "broken": "failed",
        "both": "ok",
        "all": "failed",
        "left out": "skipped",
    }
    assert "offers no features 'mean'" in rows["broken"]["reason"]
    assert rows["all"]["reason"].startswith("broken: ")
    assert rows["left out"]["reason"] == "for a reason"
    assert rows["broken"]["accuracy"] == ""


def test_the_markdown_table_has_the_papers_figures_beside_ours(finished: Path) -> None:
    text = (finished / "table.md").read_text()
    assert text.startswith("# Two attentions\n")
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    row = sweep_rows(finished)["mean / fbp"]
    assert f"| {float(row['accuracy']):.1f} % |" in lines["| mean / fbp"]
    assert lines["| mean / fbp"].endswith("| 51 % |")
    assert lines["| both"].endswith("| 99.5 % |")
    assert "- broken: failed: " in text
    assert "- elsewhere (the paper's figure, every cell)" in text


def test_two_axes_are_drawn_as_a_heat_map(finished: Path) -> None:
    assert (finished / "heatmap.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_what_is_the_same_is_kept_and_what_is_damaged_or_stale_made_again(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(finished, tmp_path / "out"))
    kept = output / "cells" / "mean-concat" / "run.json"
    lost = output / "cells" / "self-fbp"
    other = output / "cells" / "mean-fbp" / "run.json"
    before = kept.stat().st_mtime_ns
    table = (output / "table.csv").read_bytes()
    shutil.rmtree(lost)
    info = json.loads(other.read_text())
    other.write_text(json.dumps({**info, "identity": "0" * 64}))
    run(source, output)
    assert kept.stat().st_mtime_ns == before
    assert read_run(lost)
    assert json.loads(other.read_text())["identity"] == info["identity"]
    assert (output / "table.csv").read_bytes() == table


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_cells_of_other_settings_are_refused_or_with_overwrite_trained_anew(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(finished, tmp_path / "out"))
    before = {path: path.read_bytes() for path in output.rglob("*.csv")}
    identity = read_run(output / "cells" / "mean-concat").info["identity"]
    with pytest.raises(SweepError, match=r"other settings: seed is 5, not 0.* --overwrite"):
        run(source, output, overrides=[*SMALL, "seed=5"])
    assert {path: path.read_bytes() for path in output.rglob("*.csv")} == before
    run(source, output, overrides=[*SMALL, "seed=5"], overwrite=True)
    assert read_run(output / "cells" / "mean-concat").info["identity"] != identity
    assert read_run(output / "cells" / "mean-concat").info["seeds"] == [5]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_settings_of_the_command_line_stand_over_the_base_and_under_the_cell(
    source: Path, tmp_path: Path
) -> None:
    text = '[base]\nset = { optim.epochs = 9, video.hidden_dim = 5 }\n[[cells]]\nname = "c"\n'
    text += 'seeds = 2\nset = { video.attention = "self" }\n'
    over = [*SMALL, "video.attention=mean"]
    base = {"select": "inner:0.25", "allow_shared_speakers": True}
    (result,) = run(source, tmp_path / "out", text, overrides=over, base=base)
    assert result.state == "ok", result.reason
    config = (tmp_path / "out" / "cells" / "c" / "config.toml").read_text()
    assert "epochs = 3" in config  # SMALL's
    assert 'attention = "self"' in config
    assert 'selection = "inner:0.25"' in config
    assert sweep_rows(tmp_path / "out")["c"]["members"] == "2"


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_training_on_more_splits_is_skipped_where_that_is_no_sound_report(
    source: Path, tmp_path: Path
) -> None:
    text = '[[cells]]\nname = "more"\ntrain_on = ["train", "test"]\n[[cells]]\nname = "plain"\n'
    more, plain = run(source, tmp_path / "a", text, base={"allow_shared_speakers": True})
    assert (more.state, plain.state) == ("skipped", "ok")
    assert "trains on test, which is the split to report on" in more.reason
    more, plain = run(source, tmp_path / "b", text, base={"folds": "speaker:2"})
    assert (more.state, plain.state) == ("skipped", "ok")
    assert "with folds there are none" in more.reason


@pytest.mark.usefixtures("no_pictures")
def test_cells_whose_heads_can_not_take_their_features_fail_before_any_is_trained(
    tmp_path: Path,
) -> None:
    manifest = make_corpus(tmp_path)
    source, clips = manifest.path.parent, [clip.id for clip in manifest.clips]
    write_set(source / "cache", "logmel", {clip: {"logmel": values(9, 40, 3)} for clip in clips})
    text = """
[base]
folds = "speaker:2"
[[cells]]
name = "fine"
[[cells]]
name = "raw log-mel"
set = { audio.set = "logmel", audio.features = "auto" }
[[cells]]
name = "prior of another corpus"
set = { prior = "afew-test" }
"""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    told: list[CellResult] = []
    run_sweep(
        read_sweep(str(path), overrides=SMALL),
        place(source, tmp_path / "out"),
        on_cell=told.append,
    )
    assert [(cell.cell, cell.state) for cell in told] == [
        ("raw log-mel", "failed"),
        ("prior of another corpus", "failed"),
        ("fine", "ok"),
    ]
    assert "choose audio.encoder=cnn" in told[0].reason
    assert "prior=afew-test is for the classes angry" in told[1].reason


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_training_on_two_splits_is_tested_on_the_third_unless_a_speaker_of_it_is_there(
    tmp_path: Path,
) -> None:
    clips = make_clips(tmp_path)
    splits = {"s0": "train", "s1": "train", "s2": "val", "s3": "test"}
    parted = [replace(clip, split=splits[str(clip.speaker)]) for clip in clips]
    make_cache(tmp_path / "cache", clips)
    text = '[[cells]]\nname = "plain"\n[[cells]]\nname = "more"\ntrain_on = ["train", "val"]\n'
    (tmp_path / "more.toml").write_text(text)

    def swept(name: str, rows: list[Clip]) -> list[CellResult]:
        make_manifest(tmp_path, rows)
        at = Place(tmp_path / "manifest.csv", tmp_path / "cache", tmp_path / name)
        return run_sweep(read_sweep(str(tmp_path / "more.toml"), overrides=SMALL), at)

    assert [result.state for result in swept("apart", parted)] == ["ok", "ok"]
    facts = read_json(tmp_path / "apart" / "table.json")["reported_on"]
    assert (facts["split"], facts["trained_on"]) == ("test", ["train", "train+val"])
    val = ["s2" if clip.split == "test" else clip.speaker for clip in parted]
    plain, more = swept(
        "shared", [replace(clip, speaker=name) for clip, name in zip(parted, val, strict=True)]
    )
    assert (plain.state, more.state) == ("ok", "failed")
    assert "speakers are in both training and test clips: s2" in more.reason


@pytest.mark.usefixtures("no_pictures")
def test_an_error_that_nobody_foresaw_is_told_with_its_kind(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_over(*_: object, **__: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(sweep_cell, "run_experiments", fall_over)
    (result,) = run(
        source, tmp_path / "out", '[base]\nfolds = "speaker:2"\n[[cells]]\nname = "c"\n'
    )
    assert (result.state, result.reason) == ("failed", "KeyError: 'odd'")


def test_a_folder_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(SweepError, match=r"holds files and no sweep\.json"):
        run(source, tmp_path / "full")
    (tmp_path / "other").mkdir()
    marker = tmp_path / "other" / "sweep.json"
    marker.write_text('{"sweep": "theirs"}')
    with pytest.raises(SweepError, match="holds the sweep theirs; choose another folder"):
        run(source, tmp_path / "other")
    marker.write_text("{")
    with pytest.raises(SweepError, match="is damaged: not JSON"):
        run(source, tmp_path / "other")
    with pytest.raises(SweepError, match="two cells would be written to the folder a-b"):
        run(source, tmp_path / "x", '[[cells]]\nname = "a b"\n[[cells]]\nname = "a/b"\n')


def test_clips_that_no_cell_can_divide_are_refused_before_anything_is_written(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match="fewer than the 99 folds"):
        run(source, tmp_path / "out", base={"folds": "speaker:99"})
    assert not (tmp_path / "out").exists()


def test_sets_that_the_cache_lacks_are_refused_with_every_cell_before_any_training(
    source: Path, tmp_path: Path
) -> None:
    cell = '[[cells]]\nname = "{}"\nset = {{ video.set = "{}" }}\n'
    names = {"a": "resnet18", "b": "ir50", "c": "resnet18+vggface", "d": "ir50"}
    text = "".join(cell.format(name, of) for name, of in names.items())
    base = {"folds": "speaker:2"}
    with pytest.raises(SetError) as refused:
        run(source, tmp_path / "out", text, base=base)
    said = str(refused.value)
    assert re.search(
        r"has no feature set ir50; it has .*resnet18-\w+, spectrogram-\w+ \(b, d\)", said
    )
    assert re.search(r"has no feature set vggface; .* \(c\)\. Nothing was trained", said)
    assert not (tmp_path / "out").exists()
    (skipped,) = run(source, tmp_path / "out", cell.format("f", "ir50") + 'skip = "no"', base=base)
    assert skipped.state == "skipped"


def test_the_only_network_of_the_cache_stands_in_for_one_of_a_preset_or_of_a_file_of_ours(
    tmp_path: Path,
) -> None:
    clips = make_clips(tmp_path)
    faces = SetSpec("faces", {}, 1)
    FeatureSet(tmp_path / "cache", faces).create({})
    network = SetSpec("resnet18", {"views": {}}, 1, weights="a" * 64, upstream={"faces": faces.key})
    FeatureSet(tmp_path / "cache", network).create({})
    manifest = make_manifest(tmp_path, clips)

    def used(sweep: Sweep) -> list[tuple[str, tuple[str, ...]]]:
        settled = settle_sweep(sweep, manifest, tmp_path / "cache")
        return [(cell_settings(settled, cell).video.set, cell.notes) for cell in settled.cells]

    taken = ("resnet18", ("the cache has no ir50; video.set=resnet18 instead",))
    kept = ("ir50", ())
    assert used(read_sweep("icmi19-table2")) == [taken] * 10
    assert used(read_sweep("icmi19-table2", let=["affectnet=ir50"])) == [kept] * 10
    assert used(read_sweep("icmi19-table2", overrides=["video.set=ir50"])) == [kept] * 10
    features = read_sweep("deep-fusion-table1", let=["ef_a=a", "ef_b=b", "ef_c=c"])
    assert [name for name, _ in used(features)[::2]] == ["vggface", "a", "b", "c"]
    path = tmp_path / "mine.toml"
    path.write_text('[base]\npreset = "icmi19"\n[[cells]]\nname = "a"\n')
    assert used(read_sweep(str(path))) == [taken]
    joined = '[[cells]]\nname = "b"\n[[cells]]\nname = "both"\nensemble = ["a", "b"]\n'
    path.write_text(path.read_text() + joined)
    assert used(read_sweep(str(path)))[:2] == [taken] * 2
    path.write_text('[[cells]]\nname = "a"\nset = { video.set = "ir50" }\n')
    assert used(read_sweep(str(path))) == [kept]


def command(source: Path, output: Path, *more: str) -> list[str]:
    args = ["sweep", str(source / "mine.toml"), str(source / "manifest.csv")]
    args += ["--cache", str(source / "cache"), "-o", str(output)]
    return [*args, *(part for key in SMALL for part in ("--set", key)), *more]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_command_prints_the_table_and_fails_if_a_cell_did(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(finished, tmp_path / "out"))
    result = CliRunner().invoke(main, command(source, output, "--jobs", "1"))
    assert result.exit_code == 1
    assert (output / "table.md").read_text() in result.output
    assert "8/8 all: failed: broken: " in result.output
    assert result.stderr.count("not checked for newer files: 24 clips (") == 1
    result = CliRunner().invoke(main, command(source, output, "--jobs", "1", "--json"))
    rows = json.loads(result.stdout)["cells"]
    assert [row["cell"] for row in rows] == list(sweep_rows(output))
    result = CliRunner().invoke(main, ["sweep", "nothing", "m.csv", "--cache", "c", "-o", "o"])
    assert result.exit_code == 2
    assert "unknown sweep 'nothing'; known: deep-fusion-table1" in result.output


@pytest.mark.slow
def test_where_no_semaphores_can_be_made_cells_are_trained_one_after_another(
    source: Path, tmp_path: Path
) -> None:
    script = 'mount -t tmpfs -o ro none /dev/shm && exec "$@"'
    inside = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    (tmp_path / "one.toml").write_text('title = "One"\n[[cells]]\nname = "a"\nskip = "b"\n')
    command = [sys.executable, "-m", "pipeline", "sweep", str(tmp_path / "one.toml")]
    command += [str(source / "manifest.csv"), "--cache", str(source / "cache")]
    command += ["-o", str(tmp_path / "out"), "--jobs", "3"]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line != "loading ..."]  # a busy machine
    assert said[0] == SERIAL.format(jobs=3)
    assert "joblib" not in done.stderr


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_goes_on_to_the_same_table(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    args = [sys.executable, "-m", "pipeline", *command(source, output, "--jobs", "2")]
    with subprocess.Popen(args, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stderr is not None
        lines = (line for line in child.stderr if line != "loading ...\n")  # a busy machine
        assert next(lines).startswith("1/8 broken")  # what can't be trained comes first
        assert next(lines).startswith("2/8 left out")
        # On a busy machine a forecast may come before.
        line = next(line for line in child.stderr if line.startswith("3/8 "))
        os.kill(child.pid, signal.SIGKILL)
    assert not (output / "table.csv").exists()
    name = line.split(" ", 1)[1].rsplit(":", 1)[0].replace(" / ", "-")
    first = output / "cells" / name
    assert read_run(first)
    before = (first / "run.json").stat().st_mtime_ns
    run(source, output)
    assert (first / "run.json").stat().st_mtime_ns == before
    assert (output / "table.csv").read_bytes() == (finished / "table.csv").read_bytes()
    assert (output / "table.md").read_bytes() == (finished / "table.md").read_bytes()
