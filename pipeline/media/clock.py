"""The clock of a clip: strictly increasing times out of whatever stamps a file carries."""

from __future__ import annotations

RESTART_SECONDS = 1.0  # a clock that jumps back further than this has been started again


class Clock:
    """Makes the times of consecutive frames strictly increasing, and counts what it changed.

    A frame without a stamp comes one interval after the frame before it. A stamp that doesn't
    increase is moved to half an interval after the frame before it, so that the good stamps
    around it stay as they are. A jump back by more than ``RESTART_SECONDS`` is a clock that was
    started again (joined files): from there on all stamps are shifted to go on.

    Args:
        interval: seconds between two frames.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last: float | None = None
        self.missing = self.repeated = self.restarts = 0
        self._shift = 0.0

    def stamp(self, seconds: float | None) -> float:
        """Return the time of the next frame, whose own stamp is ``seconds``."""
        last = self.last
        if seconds is None:
            self.missing += 1
            result = 0.0 if last is None else last + self.interval
        else:
            result = seconds + self._shift
            if last is not None and result <= last - RESTART_SECONDS:
                self.restarts += 1
                self._shift += last + self.interval - result
                result = last + self.interval
            elif last is not None and result <= last:
                self.repeated += 1
                result = last + self.interval / 2
        self.last = result
        return result

    def problems(self) -> list[str]:
        """Say what was repaired, one line for each kind."""
        lines = []
        if self.missing:
            lines.append(f"frames without a time, placed after the one before: {self.missing}")
        if self.repeated:
            lines.append(f"frames whose time doesn't increase, moved up: {self.repeated}")
        if self.restarts:
            lines.append(f"jumps back of the clock, with later times shifted: {self.restarts}")
        return lines
