"""Forecast of a run's time: measured on its own first batches, corrected as it goes on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from cache.sets.feature_set import list_sets
from trainer.data.splits import FoldPlan
from trainer.data.stand_in import replace_absent_network
from trainer.heads.stack import why_not_stacked
from trainer.runs.history import Stage
from trainer.runs.listener import Forecast, RunListener
from trainer.settings import TrainSettings, inner_share, load_settings, used_set_names
from trainer.training.trained import EpochRecord

# A forecast needs so much training, for the first batches and epochs are slower than the others.
MEASURE_SECONDS = 1.0
# One from whole heads needs more: what is loaded for the first of them is loaded once.
HEADS_SECONDS = 3.0
# The preset that trains on stored features alone.
FAST = "fast"
MANY_FOLDS = 5


class Forecaster(RunListener):
    """Listener that passes everything on to another, and forecasts to it.

    Nothing is computed for the forecast: it measures batches that are trained on anyway, so that
    the heads are the same with it and without. All heads of a run count alike.

    Args:
        listener: hears everything.
        stages: trainings per head: 2 when the number of epochs is chosen by a training first.
        cheaper: see ``Forecast``.
    """

    def __init__(
        self, listener: RunListener, *, stages: int = 1, cheaper: tuple[str, ...] = ()
    ) -> None:
        self.listener = listener
        self.stages = stages
        self.cheaper = cheaper
        self._told: set[str] = set()
        self._epochs = self._all = self._done = 0  # of a head; of all heads; of those, done
        self._heads = self._kept = 0  # heads that are done; those of them that were there before
        self._seconds: list[float] = []  # of each epoch
        self._started = time.monotonic()

    def start(self, num_heads: int, epochs: int) -> None:
        """Count the epochs to come."""
        self._epochs = epochs * self.stages
        self._all = num_heads * self._epochs
        self._started = time.monotonic()
        self.listener.start(num_heads, epochs)

    def update(self, share: float, seconds: float, num_heads: int) -> None:
        """Forecast from the first batches, where an epoch takes long."""
        self.listener.update(share, seconds, num_heads)
        if not self._told and seconds >= MEASURE_SECONDS:
            epoch = seconds / share / num_heads
            self._tell("batches", (self._all - self._done) * epoch - seconds, epoch)

    def epoch(self, head: str, stage: Stage, record: EpochRecord) -> None:
        """Forecast from the first epoch, or the first epochs where they are short."""
        self.listener.epoch(head, stage, record)
        self._done += 1
        self._seconds.append(record.seconds)
        if "epochs" not in self._told and sum(self._seconds) >= MEASURE_SECONDS:
            epoch = statistics.median(self._seconds)
            self._tell("epochs", (self._all - self._done) * epoch, epoch)

    def head(self, head: str, last: EpochRecord, *, resumed: bool) -> None:
        """Forecast from whole heads, with all that was to be done besides their epochs."""
        self.listener.head(head, last, resumed=resumed)
        self._heads += 1
        self._kept += resumed
        self._done = max(self._done, self._heads * self._epochs)
        if self._seconds and not resumed and self._done < self._all:
            trained = self._done - self._kept * self._epochs
            passed = time.monotonic() - self._started
            if passed >= HEADS_SECONDS:
                left = (self._all - self._done) * passed / trained
                self._tell("heads", left, statistics.median(self._seconds))

    def _tell(self, after: str, seconds: float, epoch_seconds: float) -> None:
        self._told.add(after)
        self.listener.forecast(Forecast(max(0.0, seconds), epoch_seconds, self.cheaper))


def name_cheaper(
    settings: TrainSettings, cache: Path, plan: FoldPlan, num_seeds: int
) -> Iterator[str]:
    """Say what would take less time than a run of these settings, the largest part first.

    Args:
        settings: of the heads.
        cache: the cache's folder, for what would have to be extracted.
        plan: the folds.
        num_seeds: heads per fold.
    """
    encoder = settings.audio.encoder if "audio" in settings.modalities else "none"
    if encoder != "none":
        there = {one.spec.name for one in list_sets(cache)}
        fast, _ = replace_absent_network(load_settings(FAST), cache, FAST)
        wanted = [name for name in used_set_names(fast) if name not in there]
        first = f" (first extract --sets {','.join(wanted)})" if wanted else ""
        yield f"--preset {FAST}{first}: no audio encoder is trained with each head"
    if encoder == "alexnet":
        yield "extract --sets alexnet, then audio.encoder=none: an encoder trained once, frozen"
    if inner_share(settings.selection) is not None:
        yield "--select fixed: half the time, as no training chooses the epochs first"
    elif num_seeds > 1 and settings.optim.stack == "off" and not why_not_stacked([settings]):
        yield "--set optim.stack=auto: the seeds are trained as one"
    if num_seeds > 1 and (
        why_not_stacked([settings]) or inner_share(settings.selection) is not None
    ):
        yield f"--seeds 1: 1/{num_seeds} of the time, as these seeds can't be trained as one"
    kind, folds = plan.kind, len(plan.folds)
    if kind in ("speaker", "clip") and folds > MANY_FOLDS:
        yield f"--folds {kind}:{MANY_FOLDS}: {MANY_FOLDS}/{folds} of the time"
