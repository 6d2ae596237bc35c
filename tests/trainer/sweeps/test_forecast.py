"""Forecasts of a sweep, from the files that its processes write."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.trainer.experiment_helper import SMALL, make_corpus
from trainer.runs.listener import Forecast
from trainer.sweeps.cell import Place, run_cells_and_tell
from trainer.sweeps.file import read_sweep
from trainer.sweeps.forecast import SweepForecaster, Teller, forecasting


def test_cells_that_wait_count_as_those_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    groups = [tmp_path / name for name in "abcd"]
    forecaster = SweepForecaster(dict(zip(groups, (2, 1, 1, 3), strict=True)), jobs=2)
    first, second = Teller(groups[0]), Teller(groups[1])
    now = 1010.0
    first.forecast(Forecast(90.0, 4.0, ("--preset fast",)))
    assert forecaster.forecast() is None  # the other process has told nothing
    now = 1020.0
    second.forecast(Forecast(30.0, 5.0))  # 50 s a cell
    found = forecaster.forecast()
    assert found is not None
    assert found.seconds == (80 + 30 + 50 * 4) / 2  # two run, four cells wait
    forecaster.close_group(groups[2])  # it was kept
    now = 1060.0
    forecaster.close_group(groups[1])  # it took 60 s instead of 50
    found = forecaster.forecast()
    assert found is not None
    assert found.seconds == pytest.approx((40 + 3 * (100 + 60) / 3) / 2)


def test_the_last_cell_takes_its_own_time_however_many_processes_there_are(tmp_path: Path) -> None:
    forecaster = SweepForecaster({tmp_path / "a": 1}, jobs=8)
    Teller(tmp_path / "a").forecast(Forecast(500.0, 1.0))
    found = forecaster.forecast()
    assert found is not None
    assert found.seconds == pytest.approx(500, abs=1)


def test_forecasts_are_told_while_the_work_goes_on_and_their_folder_goes(tmp_path: Path) -> None:
    group = tmp_path / "forecasts" / "0"
    group.parent.mkdir()
    group.write_text("left by a sweep that was killed")
    heard: list[Forecast] = []
    with forecasting({group: 1}, 1, heard.append):
        assert not group.exists()
        Teller(group).forecast(Forecast(500.0, 1.0, ("--preset fast",)))
        end = time.monotonic() + 20
        while not heard and time.monotonic() < end:
            time.sleep(0.05)
    assert heard[0].cheaper == ("--preset fast",)
    assert not group.parent.exists()


@pytest.mark.usefixtures("no_pictures")
def test_a_process_tells_of_cells_that_it_trains_and_not_of_those_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.runs.estimate.MEASURE_SECONDS", 0.0)
    manifest = make_corpus(tmp_path).path
    (tmp_path / "mine.toml").write_text(
        '[base]\npreset = "icmi19"\nfolds = "speaker:2"\n'
        '[[axes]]\nsetting = "video.attention"\nvalues = ["self"]\n'
    )
    sweep = read_sweep(str(tmp_path / "mine.toml"), overrides=SMALL)
    cells = [(sweep.cells[0], tmp_path / "cell")]
    where = Place(manifest, tmp_path / "cache", tmp_path)
    for name, tells in (("first", True), ("again", False)):
        told, (result,) = run_cells_and_tell(sweep, cells, where, tmp_path / name)
        assert result.state == "ok"
        assert told.exists() is tells
