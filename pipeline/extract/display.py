"""Display of an extraction: clips done, how far those in work are, and what fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from cache.progress import Progress
from cache.wording import number_of
from pipeline.extract.job import ClipResult
from pipeline.workers.pulse import Pace


class Display:
    """Shows how an extraction goes on, while clips are in work as well as between them.

    Args:
        progress: where to show it.
        num_clips: of the run.
        load: tells how busy the networks are that all workers share; see ``Consumer``.
        tell_failures: whether a clip that fails gets a line.
    """

    def __init__(
        self,
        progress: Progress,
        num_clips: int,
        load: Callable[[], Mapping[str, float]] | None = None,
        *,
        tell_failures: bool = True,
    ) -> None:
        self.progress, self.num_clips = progress, num_clips
        self.load = load or dict[str, float]
        self.tell_failures = tell_failures
        self.done = self.failed = 0
        self._pace = Pace(0, 0, 0, 0.0)
        self._reached = 0.0  # the bar never goes back
        self._began: float | None = None  # when the first frame was done, or thereabouts
        self._show()

    def pace(self, pace: Pace) -> None:
        """Show how far the clips in work are."""
        self._pace = pace
        self._show()

    def result(self, result: ClipResult) -> None:
        """Count a clip."""
        self.done += 1
        if result.state == "failed":
            self.failed += 1
            if self.tell_failures:
                self.progress.fail(result.clip, result.reason)
        self._show()

    def _show(self) -> None:
        # A clip whose result is here may be in the pace still, or not yet in it.
        left = self.num_clips - self.done
        self._reached = max(self._reached, self.done + min(self._pace.in_work, left))
        facts = self._facts()
        self.progress.show(
            self.done,
            self.num_clips,
            ", ".join(_words(facts)),
            in_work=self._reached - self.done,
            facts=facts,
        )

    def _facts(self) -> dict[str, float]:
        pace = self._pace
        working = min(pace.working, self.num_clips - self.done)
        facts: dict[str, float] = {
            "failed": self.failed,
            "working": working,
            "waiting": self.num_clips - self.done - working,
        }
        if pace.frames:
            now = time.monotonic()
            self._began = self._began or now
            facts["frames"] = pace.frames
            if now - self._began > 1.0:
                facts["frames_per_second"] = round(pace.frames / (now - self._began), 2)
            facts["with_face"] = pace.with_face
        return {**facts, **self.load()}


def _words(facts: Mapping[str, float]) -> Iterator[str]:
    """Say facts in words, those that matter most first."""
    if failed := facts["failed"]:
        yield f"{failed} failed"
    if frames := facts.get("frames"):
        yield number_of(int(frames), "frame")
        if speed := facts.get("frames_per_second"):
            yield f"{speed:.1f} frames/s"
        yield f"{facts['with_face'] / frames:.0%} with a face"
    yield f"{facts['working']} working"
    if waiting := facts["waiting"]:
        yield f"{waiting} waiting"
    if "consumer_fill" in facts:
        yield f"batches {facts['consumer_fill']:.0%} full"
        yield f"network idle {facts['consumer_wait']:.0%}"
