"""Cells of a sweep that are trained as one stack: each is the run that it is by itself."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.experiment_helper import SMALL, make_corpus
from trainer.runs import experiment, listener
from trainer.runs.folder import read_json, read_members, read_run
from trainer.runs.report import finish_run
from trainer.sweeps.cell import CellResult, Place, stack_cells
from trainer.sweeps.file import read_sweep
from trainer.sweeps.sweep import run_sweep
from trainer.training.trained import load_checkpoint

KINDS = ("self", "relation", "transformer")
TEXT = """
[base]
preset = "icmi19"
folds = "speaker:2"
seeds = 2
[[axes]]
setting = "video.attention"
values = ["self", "relation", "transformer"]
[[axes]]
setting = "audio.attention"
values = ["mean", "self"]
"""
FOLDERS = [f"{video}-{audio}" for video, audio in product(KINDS, ("mean", "self"))]
# The command line, whose unfinished trainings are kept after every epoch.
KEPT_EVERY_EPOCH = """
import sys
import trainer.training.train
from pipeline.cli import main
trainer.training.train.PROGRESS_SECONDS = 0.0
main(sys.argv[1:])
"""
FILES = ("predictions.csv", "members/seed-1.csv", "metrics.json")
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, a cache and a sweep file of six cells that are one stack."""
    folder = make_corpus(tmp_path_factory.mktemp("stacked")).path.parent
    (folder / "mine.toml").write_text(TEXT)
    return folder


def run(
    source: Path, output: Path, *overrides: str, text: str = "", jobs: int = 1
) -> list[CellResult]:
    path = source / "mine.toml"
    if text:
        path = output.parent / "other.toml"
        path.write_text(text)
    sweep = read_sweep(str(path), overrides=[*SMALL, *overrides])
    return run_sweep(sweep, Place(source / "manifest.csv", source / "cache", output), jobs=jobs)


@pytest.fixture(scope="module")
def stacked(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of all cells, trained as one; copy it before changing it."""
    output = tmp_path_factory.mktemp("stacked") / "out"
    run(source, output)
    return output / "cells"


def files_of(cells: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cells.rglob("*") if path.is_file()}


def groups(file: str, *overrides: str, jobs: int = 1) -> list[list[str]]:
    sweep = read_sweep(file, overrides=overrides)
    cells = [cell for cell in sweep.cells if not cell.ensemble]
    return [[cell.name for cell in group] for group in stack_cells(sweep, cells, jobs)]


@pytest.mark.slow
def test_a_cell_of_a_stack_is_up_to_rounding_the_run_that_it_is_by_itself(
    source: Path, stacked: Path, tmp_path: Path
) -> None:
    run(source, tmp_path / "out", "optim.stack=off")
    for name in FOLDERS:
        ours, alone = read_run(stacked / name), read_run(tmp_path / "out" / "cells" / name)
        assert ours.info["stacked_runs"] == FOLDERS
        assert "stacked_runs" not in alone.info
        assert ours.info["plan"] == alone.info["plan"]
        for head, theirs in zip(ours.info["checkpoints"], alone.info["checkpoints"], strict=True):
            assert head == {**theirs, "stacked_seeds": [0, 1]}
            one, other = (load_checkpoint(r.path / head["file"]) for r in (ours, alone))
            assert one.settings.video == other.settings.video
            assert [r.epoch for r in one.history] == [1, 2, 3]
        for member, table in read_members(ours).items():
            other_table = read_members(alone)[member]
            assert table.clips == other_table.clips
            np.testing.assert_allclose(table.probabilities, other_table.probabilities, atol=1e-4)


@pytest.mark.slow
def test_a_cell_of_a_stack_has_the_identity_that_it_has_by_itself(
    source: Path, stacked: Path, tmp_path: Path
) -> None:
    text = '[base]\npreset = "icmi19"\nfolds = "speaker:2"\nseeds = 2\n[[cells]]\nname = "one"\n'
    text += 'set = { video.attention = "self", audio.attention = "mean" }\n'
    run(source, tmp_path / "out", text=text)
    alone = read_json(tmp_path / "out" / "cells" / "one" / "run.json")
    assert alone["identity"] == read_json(stacked / "self-mean" / "run.json")["identity"]


@pytest.mark.slow
def test_the_same_sweep_again_writes_nothing(source: Path, stacked: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(stacked.parent, output)
    before = files_of(output / "cells")
    assert [result.state for result in run(source, output)] == ["ok"] * 6
    assert files_of(output / "cells") == before


@pytest.mark.slow
def test_a_lost_cell_is_trained_alone_and_the_others_stay(
    source: Path, stacked: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(stacked.parent, output)
    shutil.rmtree(output / "cells" / "relation-self")
    before = files_of(output / "cells")
    run(source, output)
    after = files_of(output / "cells")
    assert {path: after[path] for path in before} == before
    ours, theirs = (read_run(at / "relation-self") for at in (output / "cells", stacked))
    np.testing.assert_allclose(
        ours.predictions.probabilities, theirs.predictions.probabilities, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 2])
def test_a_stack_stopped_while_its_runs_are_reported_goes_on_to_the_same_bytes(
    finished: int, source: Path, stacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10))

    def stop(*args: Any, **options: Any) -> dict[str, Any]:
        if next(calls) == finished:
            raise KeyboardInterrupt
        return finish_run(*args, **options)

    cells = tmp_path / "out" / "cells"
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "finish_run", stop)
        with pytest.raises(KeyboardInterrupt):
            run(source, cells.parent)
    states = [read_json(cells / name / "run.json")["state"] for name in FOLDERS]
    assert states == ["finished"] * finished + ["failed"] * (6 - finished)
    before = files_of(cells)
    run(source, cells.parent)
    for name in FOLDERS[:finished]:
        assert files_of(cells / name).items() <= before.items()
    for name, file in product(FOLDERS, FILES):
        assert (cells / name / file).read_bytes() == (stacked / name / file).read_bytes()
    assert not list(cells.rglob("*.progress"))


@pytest.mark.slow
def test_a_cell_that_cannot_be_written_fails_alone(
    source: Path, stacked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "cells" / "self-self"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("x")
    (tmp_path / "out" / "sweep.json").write_text('{"sweep": "mine"}')
    results = {result.cell: result for result in run(source, tmp_path / "out")}
    assert "holds files and no run.json" in results["self / self"].reason
    assert [r.state for r in results.values()].count("ok") == 5
    ours = read_run(tmp_path / "out" / "cells" / "transformer-self").predictions.probabilities
    theirs = read_run(stacked / "transformer-self").predictions.probabilities
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
def test_cells_that_differ_in_their_seeds_share_their_heads(source: Path, tmp_path: Path) -> None:
    text = '[base]\npreset = "icmi19"\nfolds = "speaker:2"\n'
    text += '[[cells]]\nname = "one"\nset = { seed = 1 }\n'
    text += '[[cells]]\nname = "three"\nseeds = 3\n'
    run(source, tmp_path / "out", text=text)
    one, three = (read_run(tmp_path / "out" / "cells" / name) for name in ("one", "three"))
    assert (one.info["seeds"], three.info["seeds"]) == ([1], [0, 1, 2])
    assert one.info["stacked_runs"] == three.info["stacked_runs"] == ["one", "three"]
    members = read_members(one)["seed-1"], read_members(three)["seed-1"]
    np.testing.assert_array_equal(members[0].probabilities, members[1].probabilities)
    head = load_checkpoint(one.path / "checkpoints" / "fold-0-seed-1.safetensors")
    assert (head.settings.seed, head.seed) == (1, 1)


def test_table_2_of_icmi19_is_one_stack_where_no_encoder_is_trained() -> None:
    frozen = ("audio.set=alexnet", "audio.encoder=none")
    stack, concatenation = groups("icmi19-table2", *frozen)
    assert stack == [f"{video} / {audio}" for video, audio in product(KINDS, KINDS)]
    assert concatenation == ["transformer / transformer, concatenation"]
    for alone in (groups("icmi19-table2"), groups("icmi19-table2", *frozen, "optim.stack=off")):
        assert [len(group) for group in alone] == [1] * 10


@pytest.mark.parametrize(("jobs", "sizes"), [(2, [5, 4, 1]), (3, [4, 4, 1, 1]), (16, [1] * 10)])
def test_a_stack_is_parted_so_that_every_process_has_work(jobs: int, sizes: list[int]) -> None:
    found = groups("icmi19-table2", "audio.set=alexnet", "audio.encoder=none", jobs=jobs)
    assert [len(group) for group in found] == sizes


def test_cells_that_differ_in_more_than_attention_and_seeds_are_not_of_one_stack(
    tmp_path: Path,
) -> None:
    text = '[base]\nset = { audio.encoder = "none" }\n' + "".join(
        f'[[cells]]\nname = "{name}"\n{rest}\n'
        for name, rest in (
            ("plain", ""),
            ("attention", 'set = { video.attention = "self" }'),
            ("rate", "set = { optim.learning_rate = 0.5 }"),
            ("set", 'set = { video.set = "other" }'),
            ("chosen", 'set = { selection = "inner:0.2" }'),
            ("more clips", 'train_on = ["train", "val"]'),
            ("other seeds", 'seeds = 2\nset = { video.attention = "relation" }'),
            ("wrong", "set = { video.sat = 3 }"),
        )
    )
    (tmp_path / "s.toml").write_text(text)
    found = groups(str(tmp_path / "s.toml"))
    assert ["plain", "attention"] in found
    assert sorted(map(len, found)) == [1] * 6 + [2]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stack_killed_in_the_middle_goes_on_from_there_to_the_same_bytes(
    number: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "optim.epochs=60"
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    command = ["sweep", str(source / "mine.toml"), str(source / "manifest.csv"), "--jobs", "1"]
    command += ["--cache", str(source / "cache"), "-o", str(stopped)]
    command += [part for key in (*SMALL, long) for part in ("--set", key)]
    kept = stopped / "cells" / FOLDERS[0] / "checkpoints" / "fold-0-seed-0-to-1.progress"
    with subprocess.Popen(
        [sys.executable, "-c", KEPT_EVERY_EPOCH, *command], stderr=subprocess.PIPE, text=True
    ) as child:
        while not kept.exists():
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(number)
        _, errors = child.communicate(timeout=120)
    assert child.returncode == (143 if number == signal.SIGTERM else -number), errors
    assert not list(stopped.rglob("*.safetensors"))
    seen: list[int] = []
    monkeypatch.setattr(listener.RunListener, "epoch", lambda *call: seen.append(call[3].epoch))
    run(source, stopped, long)
    assert 1 < min(seen[:12]) <= 60
    run(source, whole, long)
    for name, file in product(FOLDERS, FILES):
        one, other = (at / "cells" / name / file for at in (stopped, whole))
        assert one.read_bytes() == other.read_bytes()
    assert (stopped / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
