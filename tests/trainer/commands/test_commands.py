"""``avfuse evaluate``, ``compare`` and ``ensemble`` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.trainer.predictions_helper import predictions_of
from trainer.runs.folder import read_run
from trainer.runs.predictions import Predictions
from trainer.runs.report import finish_run
from trainer.runs.run_writer import RunWriter

pytestmark = pytest.mark.usefixtures("no_pictures")

LABELS = "aa" + "h" + "ssssss" + "aaa"


def make_run(path: Path, table: Predictions) -> Path:
    with RunWriter(path, {"kind": "train"}) as writer:
        finish_run(
            writer, title="a title", pooled=table, members={"seed-0": table}, members_are="seeds"
        )
    return path


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    """Two runs: b alone is right on 6 clips, a alone on 1, both on 2, neither on 3."""
    a = predictions_of(LABELS, "aa" + "h" + "aaaaaa" + "hhs")
    b = predictions_of(LABELS, "aa" + "s" + "ssssss" + "hhh", untrained=True)
    return str(make_run(tmp_path / "a", a)), str(make_run(tmp_path / "b", b))


def avfuse(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_evaluate_prints_the_figures_of_a_run(runs: tuple[str, str]) -> None:
    result = avfuse("evaluate", runs[1])
    assert result.exit_code == 0, result.output
    assert f"{runs[1]}: a title" in result.output
    assert "66.7 %" in result.output
    assert "warning: untrained: random weights" in result.output
    read = json.loads(avfuse("evaluate", runs[1], "--json").output)
    assert read == read_run(Path(runs[1])).metrics


def test_compare_prints_the_test_and_the_clips(runs: tuple[str, str]) -> None:
    result = avfuse("compare", *runs)
    assert result.exit_code == 0, result.output
    assert "only a is right on 1, only b on 6, both on 2, neither on 3" in result.output
    assert "b less a: +41.7 points" in result.output
    assert "p = 0.125" in result.output
    assert "they predict 8 clips differently" in result.output
    assert "  c02: label happy, a happy, b sad" in result.output
    assert f"warning: {runs[1]}: untrained" in result.output
    values = json.loads(avfuse("compare", *runs, "--json").output)
    assert values["p_value"] == pytest.approx(0.125)
    assert len(values["differing_clips"]) == 8


def test_compare_lists_as_many_clips_as_asked(runs: tuple[str, str]) -> None:
    assert "and 7 more: --show 0" in avfuse("compare", *runs, "--show", "1").output
    assert "more" not in avfuse("compare", *runs, "--show", "0").output


def test_compare_of_other_clips_states_the_overlap(runs: tuple[str, str], tmp_path: Path) -> None:
    table = read_run(Path(runs[0])).predictions.select(lambda i: i > 2)
    fewer = str(make_run(tmp_path / "fewer", table))
    result = avfuse("compare", runs[0], fewer)
    assert result.exit_code == 2
    assert "has 12 clips and" in result.output
    assert "9 of them in both" in " ".join(result.output.split())
    result = avfuse("compare", runs[0], fewer, "--common")
    assert result.exit_code == 0
    assert "left out, as only one run has them: 3 clips of a, 0 of b" in result.output


def test_ensemble_writes_a_run_and_prints_it(runs: tuple[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    result = avfuse("ensemble", *runs, "-o", out, "--shares", "1,3")
    assert result.exit_code == 0, result.output
    assert "ensemble of 2 runs" in result.output
    assert "warning: the weights of the ensemble were given by hand" in result.output
    assert read_run(Path(out)).predictions.predictions == (
        read_run(Path(runs[1])).predictions.predictions
    )
    again = avfuse("ensemble", *runs, "-o", out)
    assert again.exit_code == 2
    assert "pass --overwrite to replace it" in " ".join(again.output.split())
    values = json.loads(avfuse("ensemble", *runs, "-o", out, "--overwrite", "--json").output)
    assert values == read_run(Path(out)).metrics


def test_wrong_use_exits_with_2_and_says_what_was_wrong(
    runs: tuple[str, str], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    for arguments, message in (
        (("evaluate", str(tmp_path)), "is not a run folder"),
        (("compare", runs[0], str(tmp_path)), "is not a run folder"),
        (("ensemble", runs[0], "-o", out), "at least 2 runs, got 1"),
        (("ensemble", *runs, "-o", out, "--shares", "1;2"), "expected numbers separated"),
        (("ensemble", *runs, "-o", out, "--shares", "0,0"), "not all 0"),
        (("report", runs[0], "-o", str(tmp_path)), "is a folder; expected a file"),
        (("report", runs[0], "-o", __file__ + "/x.html"), "test_commands.py is not a folder"),
    ):
        result = avfuse(*arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
