"""The page of results has the figures of the files that its commands wrote."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.cli import main
from trainer.sweeps.file import read_sweep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"\n#{2,3} ", PAGE)}
SWEEPS = {
    "Sound alone": "ravdess-speech",
    "Sound and action units": "ravdess",
    "Transductive": "ravdess-transductive",
    "The preset `fast`": "ravdess-fast",
}
STUDENT = 2.5706  # 97.5 % quantile of Student's t for six folds, from a printed table
AFEW = "AFEW 7, from other teams' scores"


def read_results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_bytes())


def rows_of(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def with_interval(figures: Iterable[float], sign: str = "") -> str:
    value, low, high = figures
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def write_p(value: float) -> str:
    """Two digits above 0.1, where one would hide how far from 0.05 it is."""
    return f"{value:.2g}" if 0.1 < value < 0.2 else f"{value:.1g}"


def write_folds(cell: dict[str, Any]) -> str:
    assert cell["folds"] == 6
    mean, half = cell["accuracy_folds"], STUDENT * cell["deviation_folds"] / math.sqrt(6)
    return with_interval((mean, mean - half, mean + half))


@pytest.mark.parametrize("section", SWEEPS)
def test_a_table_of_a_sweep_has_the_figures_of_its_file(section: str) -> None:
    expected = []
    for cell in read_results(SWEEPS[section])["cells"]:
        speakers = cell["interval_by_speaker_low"], cell["interval_by_speaker_high"]
        seeds, against = "", ""
        if not cell["cell"].startswith(("product", "stack")) and cell["members"] > 1:
            seeds = f"{cell['accuracy_mean']:.1f} ± {cell['accuracy_deviation']:.1f}"
        if cell["against"]:
            part = (cell[name] for name in ("difference", "difference_low", "difference_high"))
            against = f"{with_interval(part, '+')}, p = {write_p(cell['p_holm'])}"
        accuracy = with_interval((cell["accuracy"], *speakers))
        expected.append(
            [cell["cell"], accuracy, seeds, f"{cell['uar']:.1f}", write_folds(cell), against]
        )
    assert rows_of(section) == expected


def test_the_table_of_afew_has_the_figures_of_its_file() -> None:
    expected = []
    for result in read_results("afew")["results"]:
        row = [result["system"]]
        for part in (result["both"], result["all"]):
            deviation = part["member_deviation"]
            spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
            row.append(with_interval(100 * v for v in (part["accuracy"], *part["interval"])))
            row.append(f"{100 * part['member_mean']:.1f}{spread}")
        row.insert(3, f"{100 * result['both']['uar']:.1f}")
        gain = ""
        if found := result.get("gain"):
            points = (100 * value for value in (found["difference"], *found["interval"]))
            gain = f"{with_interval(points, '+')}, p = {found['p_value']:.2g}"
        expected.append([*row, gain])
    assert rows_of(AFEW) == expected


def test_the_choice_inside_training_clips_has_the_figures_of_its_file() -> None:
    found = read_results("ravdess-inner")
    whole = found["cells"][0]
    speakers = whole["interval_by_speaker_low"], whole["interval_by_speaker_high"]
    text = " ".join(PAGE.split())
    assert f"{whole['accuracy']:.1f} % [{speakers[0]:.1f}, {speakers[1]:.1f}] by speaker" in text
    assert f"{write_folds(whole)} over folds" in text
    chosen = [score["cell"] for score in found["inner"]["scores"] if score["chosen"]]
    assert sorted(chosen) == ["discriminant, both", "network, both", *["product of four"] * 4]
    assert (
        "Four folds choose the product of four, one the network, one the discriminant on both"
    ) in text
    sweep = read_sweep(str(ROOT / "benchmarks" / "science" / "ravdess.toml"))
    states = {cell["cell"]: cell["state"] for cell in found["cells"][1:]}
    assert states == {
        cell.name: "skipped" if cell.method == "stack" else "scored" for cell in sweep.cells
    }


COMMANDS = [
    shlex.split(line)[1:]
    for line in PAGE.replace("\\\n", " ").splitlines()
    if line.startswith("avfuse ")
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_has_options_and_files_that_are_there(words: list[str]) -> None:
    command: click.Command | None = main
    for word in words:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.match("--?[a-z]", word)} <= known
    for word in words[1:]:
        if word.endswith(".toml"):
            assert read_sweep(str(ROOT / word)).cells
