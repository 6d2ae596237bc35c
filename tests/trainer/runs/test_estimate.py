"""Forecasts of a run's time: from what was measured, and never at the cost of its bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.data.test_stand_in import add_network
from tests.trainer.experiment_helper import make_corpus, train
from trainer.data.splits import plan_folds
from trainer.runs.estimate import Forecaster, name_cheaper
from trainer.runs.experiment import Protocol
from trainer.runs.listener import Forecast, RunListener
from trainer.settings import load_settings
from trainer.training.trained import EpochRecord

pytestmark = pytest.mark.usefixtures("no_pictures")


class Heard(RunListener):
    def __init__(self) -> None:
        self.forecasts: list[Forecast] = []
        self.shares: list[float] = []

    def update(self, share: float, seconds: float, num_heads: int) -> None:
        assert seconds > 0
        assert num_heads >= 1
        self.shares.append(share)

    def forecast(self, forecast: Forecast) -> None:
        self.forecasts.append(forecast)

    @property
    def seconds(self) -> list[float]:
        return [round(forecast.seconds, 2) for forecast in self.forecasts]


def record(epoch: int, seconds: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.75, 1e-3, seconds)


def test_the_first_second_of_batches_is_scaled_to_all_epochs_of_all_heads() -> None:
    heard = Heard()
    forecaster = Forecaster(heard, cheaper=("fewer seeds",))
    forecaster.start(num_heads=6, epochs=5)
    forecaster.update(0.1, 0.9, 1)  # too short to tell
    assert heard.seconds == []
    forecaster.update(0.25, 2.0, 1)  # an epoch of 8 s
    assert heard.seconds == [6 * 5 * 8 - 2]
    assert heard.forecasts[0].epoch_seconds == 8
    assert heard.forecasts[0].cheaper == ("fewer seeds",)
    forecaster.update(0.5, 4.0, 1)
    forecaster.epoch("seed-0", "train", record(1, 7.0))  # it was 7 s
    assert heard.seconds == [238, 29 * 7]


def test_short_epochs_are_told_when_they_make_a_second_and_a_slow_first_one_counts_little() -> None:
    heard = Heard()
    forecaster = Forecaster(heard)
    forecaster.start(num_heads=3, epochs=50)
    for epoch, seconds in enumerate((0.7, 0.1, 0.1), start=1):
        forecaster.epoch("seed-0", "train", record(epoch, seconds))
    assert heard.seconds == []
    forecaster.epoch("seed-0", "train", record(4, 0.2))
    assert heard.seconds == [146 * 0.15]
    forecaster.epoch("seed-0", "train", record(5, 0.2))
    assert len(heard.seconds) == 1


def test_heads_trained_as_one_share_the_time_of_their_batches() -> None:
    heard = Heard()
    forecaster = Forecaster(heard)
    forecaster.start(num_heads=6, epochs=5)
    forecaster.update(0.25, 3.0, 3)  # an epoch of three heads takes 12 s, one of a head 4
    assert heard.seconds == [30 * 4 - 3]


def test_heads_that_are_there_and_epochs_that_were_not_needed_take_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("trainer.runs.estimate.time.monotonic", lambda: now)
    heard = Heard()
    forecaster = Forecaster(heard, stages=2)
    forecaster.start(num_heads=3, epochs=5)  # at most 30 epochs
    forecaster.head("seed-0", record(5, 100.0), resumed=True)
    assert heard.seconds == []
    for epoch in range(1, 6):
        forecaster.epoch("seed-1", "choose", record(epoch, 100.0))
    assert heard.seconds == [19 * 100]
    forecaster.epoch("seed-1", "train", record(1, 40.0))  # one epoch was best
    now = 541.0
    forecaster.head("seed-1", record(1, 40.0), resumed=False)
    assert heard.seconds == [1900, 541]


def test_what_a_head_needs_besides_its_epochs_counts_once_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("trainer.runs.estimate.time.monotonic", lambda: now)
    heard = Heard()
    forecaster = Forecaster(heard)
    forecaster.start(num_heads=4, epochs=2)
    forecaster.epoch("seed-0", "train", record(1, 3.0))
    forecaster.epoch("seed-0", "train", record(2, 3.0))
    now = 8.0  # 2 s to load and to predict
    forecaster.head("seed-0", record(2, 3.0), resumed=False)
    assert heard.seconds == [7 * 3, 3 * 8]


@pytest.mark.parametrize("stack", ["auto", "off"])
def test_a_run_forecasts_and_keeps_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    manifest = make_corpus(tmp_path)
    cache, protocol = tmp_path / "cache", Protocol(folds="speaker:2")
    overrides = (f"optim.stack={stack}", "optim.batch_size=5")
    silent = train(manifest, cache, tmp_path / "silent", protocol, overrides)
    for name in ("MEASURE_SECONDS", "HEADS_SECONDS"):
        monkeypatch.setattr(f"trainer.runs.estimate.{name}", 0.0)
    heard = Heard()
    told = train(manifest, cache, tmp_path / "told", protocol, overrides, listener=heard)
    # Two heads of three epochs, each of 12 clips in three batches.
    assert len(heard.shares) == 2 * 3 * 3
    assert heard.shares[:3] == sorted(heard.shares[:3])
    assert heard.shares[2::3] == [1.0] * 6
    assert len(heard.forecasts) == 3  # a batch, an epoch, the first of two heads
    assert all(forecast.seconds > 0 for forecast in heard.forecasts)
    one, two = ((run.path / "predictions.csv").read_bytes() for run in (silent, told))
    assert one == two


def test_cheaper_ways_are_those_that_help_with_the_settings_at_hand(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path)
    plan = plan_folds(manifest.clips, folds="speaker:2")

    def name(*overrides: str, seeds: int = 1, preset: str = "icmi19") -> str:
        settings = load_settings(preset, overrides)
        return "\n".join(name_cheaper(settings, tmp_path / "cache", plan, seeds))

    assert "--preset fast (first extract --sets resnet29,logmel)" in name()
    add_network(tmp_path / "cache", "vggface")  # the only network, which stands in for it
    assert "--preset fast (first extract --sets logmel)" in name()
    assert "extract --sets alexnet" in name()
    assert "--seeds 1: 1/3 of the time" in name(seeds=3)
    assert name("fusion.kind=video", seeds=3) == ""  # no encoder, and the seeds are one stack
    assert "optim.stack=auto" in name("fusion.kind=video", "optim.stack=off", seeds=3)
    chosen = name("fusion.kind=video", "selection=inner:0.2", seeds=3)
    assert "--select fixed" in chosen
    assert "--seeds 1" in chosen
