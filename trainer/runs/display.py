"""Display of a training: a bar of epochs on a terminal, lines of heads everywhere."""

from __future__ import annotations

import math
import time
from typing import TextIO

from cache.progress import Progress, format_seconds
from cache.wording import number_of
from trainer.runs.history import Stage
from trainer.runs.listener import Forecast, RunListener
from trainer.training.trained import EpochRecord

# A run that takes longer is worth a thought about cheaper ones.
LONG_SECONDS = 60.0
# A forecast is news if it differs from the last one said, at first nothing, by more than that.
NEWS_SECONDS, NEWS_RATIO = 10.0, 1.3
# Between the lines of two heads: some are trained in a moment.
LINE_SECONDS = 1.0


class ForecastDisplay:
    """Lines on how long work takes, where that is news; in the first also what would be cheaper.

    Args:
        progress: where to say it.
        where: words on where the work is done, such as ``on 2 processes``.
    """

    def __init__(self, progress: Progress, where: str = "") -> None:
        self.progress = progress
        self.where = f" {where}" if where else ""
        self._end: float | None = None  # of the work, as it was last said

    def show(self, forecast: Forecast) -> None:
        """Say a forecast if it is news."""
        self.progress.expect(forecast.seconds)
        now = time.monotonic()
        said = 0.0 if self._end is None else max(0.0, self._end - now)
        longest, shortest = max(said, forecast.seconds), min(said, forecast.seconds)
        if longest - shortest < NEWS_SECONDS or longest < shortest * NEWS_RATIO:
            return
        left = f"about {format_seconds(forecast.seconds)} left{self.where}"
        lines = [f"{left}; an epoch of a head takes {format_seconds(forecast.epoch_seconds)}"]
        if self._end is None and forecast.seconds >= LONG_SECONDS and forecast.cheaper:
            lines += ["cheaper would be", *(f"  {way}" for way in forecast.cheaper)]
        self._end = now + forecast.seconds
        self.progress.say("\n".join(lines))


class Display(RunListener):
    """Writes to a stream as a run goes on.

    Args:
        stages: trainings per head: 2 when the number of epochs is chosen by a training first.
        at_once: heads are fitted at once, so that lines name no epochs.
        stream: where to write; standard error if None.
    """

    def __init__(
        self, *, stages: int = 1, at_once: bool = False, stream: TextIO | None = None
    ) -> None:
        self.stages = stages
        self.at_once = at_once
        self.progress = Progress("epochs", stream)
        self.reading: Progress | None = None
        self.forecasts = ForecastDisplay(self.progress)
        self.num_heads = self.heads_done = 0
        self._last_line = -math.inf
        self.epochs_done = self.epochs_of_head = self.epochs = 0

    def note(self, text: str) -> None:
        """Print a sentence on the run's settings."""
        self.progress.say(text)

    def read(self, unit: str, done: int, total: int) -> None:
        """Show how far the clips are read; nothing stays of it."""
        if self.reading is None or self.reading.unit != unit:
            self._end_reading()
            self.reading = Progress(unit, self.progress.stream, keep=False)
        self.reading.show(done, total)

    def _end_reading(self) -> None:
        if self.reading is not None:
            self.reading.close()
            self.reading = None

    def start(self, num_heads: int, epochs: int) -> None:
        """Print the number of heads and epochs to train."""
        self._end_reading()
        self.num_heads = num_heads
        self.epochs_of_head = epochs * self.stages
        self.epochs = num_heads * self.epochs_of_head
        heads = number_of(num_heads, "head")
        self.progress.say(
            f"fitting {heads}"
            if self.at_once
            else f"training {heads} of at most {number_of(epochs, 'epoch')}"
        )

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Count an epoch."""
        self.epochs_done += 1
        what = f"{head}, choosing epochs" if stage == "choose" else head
        self.progress.show(self.epochs_done, self.epochs, f"{what}, loss {record.loss:.3f}")

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Write the head's line, at most one a second, and move the bar to the next head."""
        self.heads_done += 1
        now = time.monotonic()
        if self.heads_done == self.num_heads or now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._say_head(head, last, resumed=resumed)
        self.epochs_done = self.heads_done * self.epochs_of_head
        self.progress.show(self.epochs_done, self.epochs)

    def _say_head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        ending = "kept from before" if resumed else f"loss {last.loss:.4f}"
        epochs = "" if self.at_once else f"{number_of(last.epoch, 'epoch')}, "
        self.progress.say(f"{self.heads_done}/{self.num_heads} {head}: {epochs}{ending}")

    def forecast(self, forecast: Forecast) -> None:
        """Say how long the rest takes, where that is news."""
        self.forecasts.show(forecast)

    def close(self) -> None:
        """End the bar."""
        self._end_reading()
        self.progress.close()
