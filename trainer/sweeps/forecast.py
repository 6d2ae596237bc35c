"""Forecast of a sweep's time, from what its processes measure on the cells they train."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cache.commit import write_whole
from trainer.runs.listener import Forecast, RunListener

POLL_SECONDS = 0.5


class _Told(NamedTuple):
    """Start and foreseen end of a group of cells, in seconds since 1970, and its ``Forecast``."""

    started: float
    end: float
    forecast: dict[str, Any]


class Teller(RunListener):
    """Listener in the process that trains a group of cells; writes its forecasts to a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.time()
        self._last = 0.0

    def forecast(self, forecast: Forecast) -> None:
        """Write the forecast, unless one was written a moment ago."""
        now = time.time()
        if now - self._last >= POLL_SECONDS:
            self._last = now
            told = _Told(self.started, now + forecast.seconds, asdict(forecast))
            write_whole(self.path, json.dumps(told))


class SweepForecaster:
    """Time left of a sweep, added up from what its groups of cells have told.

    Groups that nothing is known of yet count as the mean of those that are known, by their cells.

    Args:
        sizes: the file that each group's ``Teller`` writes, and its number of cells.
        jobs: processes.
    """

    def __init__(self, sizes: Mapping[Path, int], jobs: int) -> None:
        self.sizes = sizes
        self.jobs = jobs
        self._open = set(sizes)
        self._seconds: dict[Path, float] = {}  # that the groups took which are done

    def close_group(self, group: Path) -> None:
        """Note that a group is done; one that told nothing was kept, and took no training."""
        told = _read(group)
        self._open.discard(group)
        if told:
            self._seconds[group] = time.time() - told.started

    def forecast(self) -> Forecast | None:
        """Return the time left of the whole sweep; None before every process has told."""
        now = time.time()
        running = {group: told for group in self._open.copy() if (told := _read(group))}
        waiting = self._open - running.keys()
        if not running or (waiting and len(running) + len(self._seconds) < self.jobs):
            return None
        known = self._seconds | {group: told.end - told.started for group, told in running.items()}
        per_cell = sum(known.values()) / sum(self.sizes[group] for group in known)
        left = [max(0.0, told.end - now) for told in running.values()]
        rest = per_cell * sum(self.sizes[group] for group in waiting)
        first = next(iter(running.values())).forecast
        seconds = max(*left, (sum(left) + rest) / self.jobs)
        return Forecast(seconds, first["epoch_seconds"], tuple(first["cheaper"]))


def _read(group: Path) -> _Told | None:
    try:
        return _Told(*json.loads(group.read_bytes()))
    except FileNotFoundError:
        return None


@contextmanager
def forecasting(
    sizes: Mapping[Path, int], jobs: int, tell: Callable[[Forecast], None] | None
) -> Iterator[SweepForecaster]:
    """Tell, while the block lasts, how long the sweep still takes.

    Args:
        sizes: see ``SweepForecaster``. The folder of the files is made, and removed again.
        jobs: processes.
        tell: hears the forecasts, in a thread of their own.
    """
    (folder,) = {path.parent for path in sizes}
    shutil.rmtree(folder, ignore_errors=True)  # of a sweep that was killed
    folder.mkdir()
    forecaster, ended = SweepForecaster(sizes, jobs), threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if tell and (forecast := forecaster.forecast()):
                tell(forecast)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield forecaster
    finally:
        ended.set()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)
