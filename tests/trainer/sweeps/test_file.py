"""Sweep files: what a cell is made of, which are shipped, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cache.settings import SettingsError, merge, settings_from
from trainer.settings import TrainSettings, load_preset
from trainer.sweeps.file import Sweep, SweepError, read_sweep, sweep_names
from trainer.sweeps.sweep import cell_folders


def sweep_of(folder: Path, text: str, **how: Any) -> Sweep:
    path = folder / "mine.toml"
    path.write_text(text)
    return read_sweep(str(path), **how)


GRID = """
title = "t"
[base]
preset = "deep-fusion"
set = { "video.hidden_dim" = 7, audio.encoder = "none" }
[[axes]]
name = "attention"
setting = "video.attention"
values = ["self", "mean"]
[[axes]]
name = "features"
options = [
    { name = "A", set = { video.set = "x" } },
    { name = "B", set = { video.set = "{b}", audio.scale = 0.5 } },
    { name = "C", set = { video.set = "{c}+{b}" } },
]
[let]
b = "bees"
c = ""
[paper]
figures = [[10, 11, nan], [13, 14, 15]]
note = "n"
[[cells]]
name = "extra"
seeds = 3
"""


def test_a_grid_is_the_product_of_its_axes_then_come_the_other_cells(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, GRID)
    names = [f"{a} / {f}" for a in ("self", "mean") for f in "ABC"]
    assert [cell.name for cell in sweep.cells] == [*names, "extra"]
    assert sweep.grid_size == 6
    assert sweep.cells[1].set == {
        "video": {"attention": "self", "set": "bees"},
        "audio": {"scale": 0.5},
    }
    assert [cell.paper for cell in sweep.cells] == [10, 11, None, 13, 14, 15, None]
    assert sweep.base.set == {"video": {"hidden_dim": 7}, "audio": {"encoder": "none"}}
    assert (sweep.title, sweep.name, sweep.cells[6].seeds) == ("t", "mine", 3)


def test_of_two_axes_that_set_the_same_the_later_wins(tmp_path: Path) -> None:
    axis = '[[axes]]\nsetting = "video.scale"\nvalues = [{}]\n'
    (cell,) = sweep_of(tmp_path, axis.format(0.2) + axis.format(0.7)).cells
    assert (cell.name, cell.set) == ("0.2 / 0.7", {"video": {"scale": 0.7}})


def test_a_cell_without_the_set_it_needs_is_skipped_until_it_is_given(tmp_path: Path) -> None:
    skipped = sweep_of(tmp_path, GRID).cells[2]
    assert skipped.skip == "pass --let c=SET"
    given = sweep_of(tmp_path, GRID, let=["c=sea"]).cells[2]
    assert (given.skip, given.set["video"]["set"]) == ("", "sea+bees")


def test_the_command_line_changes_the_base(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, GRID, base={"seeds": 5, "folds": "speaker:2"})
    assert (sweep.base.seeds, sweep.base.folds, sweep.base.preset) == (
        5,
        "speaker:2",
        "deep-fusion",
    )
    assert sweep.base.set["video"] == {"hidden_dim": 7}


@pytest.mark.parametrize("name", sweep_names())
def test_every_shipped_sweep_makes_settings_that_training_knows(name: str) -> None:
    let = [f"{key}=s-{key}" for key in ("affectnet", "rafdb", "wide")]
    if name.startswith("deep"):
        let = ["ef_b=s"] + [f"{key}=s" for key in ("ef_vgg", "ef_a", "ef_c")] * ("1" in name)
    if name == "icmi19-table2":
        let = let[:1]
    sweep = read_sweep(name, let=let)
    cell_folders(sweep)
    preset = merge(load_preset(sweep.base.preset), sweep.base.set)
    made = [settings_from(TrainSettings, merge(preset, cell.set)) for cell in sweep.cells]
    trained = [m for m, c in zip(made, sweep.cells, strict=True) if not (c.skip or c.ensemble)]
    assert len(trained) >= 5
    assert all("{" not in str(m) for m in made)
    assert sweep.paper.caption
    assert sweep.paper.note
    assert all(sweep.paper.note_test for cell in sweep.cells if cell.paper_test is not None)


def test_the_papers_best_cells_are_its_figures() -> None:
    def figures(name: str) -> dict[str, float | None]:
        return {cell.name: cell.paper for cell in read_sweep(name).cells}

    table = figures("icmi19-table2")
    assert table["transformer / transformer"] == 61.1  # rows are video, columns audio
    assert (table["self / transformer"], table["transformer / self"]) == (60.3, 54.8)
    assert figures("icmi19-table3")["F-MeanStd"] == 63.7
    assert figures("icmi19-table4")["(5) five enhancements"] == 65.5
    rows = {cell.printed.get("Sub", ""): cell for cell in read_sweep("icmi19-table4").cells}
    tested = {sub: cell.paper_test for sub, cell in rows.items() if sub}
    assert tested == {"(1)": 62.481, "(2)": 59.112, "(3)": 54.518, "(4)": 61.41, "(5)": 62.328}
    assert [rows[sub].paper for sub in ("(1)", "(2)", "(3)")] == [None] * 3
    assert figures("deep-fusion-table1")["EF-B / 1"] == 51.96
    assert figures("deep-fusion-table2")["4 FBPs + validation set"] == 62.48


CELL = '[[cells]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a sweep needs \[\[axes\]\] or \[\[cells\]\]"),
        ("cell = 3", r"unknown setting cell; did you mean cells\?"),
        (CELL + CELL, "cells share the name a"),
        ('[[cells]]\nname = ""', "a cell needs a name"),
        (CELL + "seeds = 0", "seeds must be at least 1, got 0"),
        ("[base]\nseeds = 0\n" + CELL, "seeds must be at least 1, got 0"),
        (
            '[base]\nselect = "iner"\n' + CELL,
            "select must be inner, which chooses the row; else selection must be fixed",
        ),
        (CELL + "paper = 'much'", "paper must be"),
        (CELL + "ensemble = ['b']", "a is an ensemble of b, which no cell trains"),
        (CELL + "ensemble = ['b']\nseeds = 2", "an ensemble trains nothing"),
        ('[[axes]]\nname = "x"', r"axes\[0\] needs name, setting and values, or name and options"),
        ('[[axes]]\nsetting = "x"\nvalues = []', r"axes\[0\] needs"),
        (GRID.replace("[13, 14, 15]", "[13, 14, nan], [1, 2, 3]"), r"shape \(3, 3\), the grid"),
        ("[paper]\nfigures = [3]\n" + CELL, "those of a grid, which needs axes"),
        ("[paper]\naccuracies = ['x']\n" + CELL, "accuracies has x, which is not in columns"),
        (
            "[paper]\ncolumns = ['x', 'y', 'z']\naccuracies = ['x', 'y', 'z']\n" + CELL,
            "accuracies may name two columns",
        ),
        (CELL + "printed = { x = 'y' }", "a prints x, which paper.columns doesn't have"),
        (CELL + "set = { video.set = '{q}' }", "uses q, which is not in the table let"),
        ("[base", "is not TOML"),
    ],
)
def test_files_that_mean_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((SweepError, SettingsError), match=message):
        sweep_of(tmp_path, text)


def test_the_rows_of_table_4_that_the_paper_trains_on_both_splits_train_on_both_here() -> None:
    cells = {cell.name: cell for cell in read_sweep("icmi19-table4").cells}
    trained_on = {
        cell.printed["Sub"]: {cells[name].train_on for name in cell.ensemble} or {cell.train_on}
        for cell in cells.values()
        if cell.printed and not cell.skip
    }
    assert trained_on == {"(2)": {("train", "val")}, "(4)": {None}, "(5)": {None}}


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"unknown sweep 'icmi'; known: .*icmi19-table2"):
        read_sweep("icmi")
    with pytest.raises(SweepError, match="--let z=1: expected NAME=SET with a name of b, c"):
        sweep_of(tmp_path, GRID, let=["z=1"])
    with pytest.raises(SettingsError, match="is not a setting"):
        sweep_of(tmp_path, GRID, overrides=["video"])
