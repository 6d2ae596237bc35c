"""SIGINT and SIGTERM end ``train`` and ``sweep`` with a word, and the next run goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.stopping import stop_when
from tests.trainer.experiment_helper import SMALL, make_corpus
from trainer.runs.folder import read_json

EPOCHS = 300  # some 2 s a head, of two heads a run
SETTINGS = ["--folds", "speaker:2"]
SETTINGS += [part for key in [*SMALL, f"optim.epochs={EPOCHS}"] for part in ("--set", key)]
SWEEP = """
title = "One axis"
[[axes]]
name = "attention"
setting = "video.attention"
values = ["mean", "self"]
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, a cache and a sweep file."""
    folder = make_corpus(tmp_path_factory.mktemp("signals")).path.parent
    (folder / "mine.toml").write_text(SWEEP)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_with_a_word_and_it_goes_on_to_the_same_bytes(
    number: int, code: int, source: Path, tmp_path: Path
) -> None:
    def command(run: str) -> list[str]:
        place = ["--cache", str(source / "cache"), "--run", str(tmp_path / run)]
        return ["train", str(source / "manifest.csv"), *place, "--threads", "1", *SETTINGS]

    heads = tmp_path / "stopped" / "checkpoints"
    ended = stop_when(lambda: any(heads.glob("*.safetensors")), number, command("stopped"))
    assert ended.returncode == code, ended.stderr
    name = signal.Signals(number).name
    assert (
        f"Stopped ({name}). At most the last 5 seconds of work are lost. Run the same command"
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr
    assert read_json(tmp_path / "stopped" / "run.json")["state"] == "failed"
    result = CliRunner().invoke(main, command("stopped"))
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, command("whole")).exit_code == 0
    for file in ("predictions.csv", "metrics.json"):
        assert (tmp_path / "stopped" / file).read_bytes() == (
            tmp_path / "whole" / file
        ).read_bytes()


@pytest.mark.slow
def test_a_signal_ends_a_sweep_with_a_word_and_its_workers_with_it(
    source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = ["sweep", str(source / "mine.toml"), str(source / "manifest.csv"), "--jobs", "2"]
    command += ["--cache", str(source / "cache"), "-o", str(output), *SETTINGS]
    ended = stop_when(lambda: len(list(output.glob("cells/*/entries.csv"))) == 2, 15, command)
    assert ended.returncode == 143, ended.stderr
    assert (
        "At most the last 5 seconds of each cell's work are lost. Run the same command"
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr
    size = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    time.sleep(4)  # a worker that lived on would have written its first head by now
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == size
    assert not (output / "table.csv").exists()
