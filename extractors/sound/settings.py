"""Settings of the set ``voice``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

LOWEST, HIGHEST = 60.0, 1000.0  # Hz: a window has to hold two periods, a period some samples


@dataclass(frozen=True)
class VoiceSettings:
    """Settings of the description of a voice.

    Attributes:
        min_hz: lowest pitch looked for.
        max_hz: highest pitch looked for.
        voicing: least correlation of the sound with itself a period later, in (0, 1), at which a
            step counts as voiced.
        octave_cost: taken off a candidate's correlation for each octave that it is lower, so that
            a period isn't taken for two.
        jump_cost: of an octave between the pitches of neighbouring steps.
        turn_cost: of a step from voiced to unvoiced or back.
        quiet_db: how far below the loudest steps a step is that can't be voiced.

    Raises:
        ValueError: the pitches are not 60 <= ``min_hz`` < ``max_hz`` <= 1000, ``voicing`` is not
            in (0, 1), a cost is negative, or ``quiet_db`` is not positive.
    """

    window_seconds: ClassVar[float] = 0.040
    hop_seconds: ClassVar[float] = 0.010

    min_hz: float = 70.0
    max_hz: float = 650.0
    voicing: float = 0.45
    octave_cost: float = 0.02
    jump_cost: float = 0.35
    turn_cost: float = 0.14
    quiet_db: float = 30.0

    def __post_init__(self) -> None:
        if not LOWEST <= self.min_hz < self.max_hz <= HIGHEST:
            raise ValueError(
                f"min_hz and max_hz must rise from {LOWEST:g} to {HIGHEST:g}, "
                f"got {self.min_hz:g} and {self.max_hz:g}"
            )
        if not 0 < self.voicing < 1:
            raise ValueError(f"voicing must be above 0 and below 1, got {self.voicing}")
        for name in ("octave_cost", "jump_cost", "turn_cost"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 < self.quiet_db < float("inf"):
            raise ValueError(f"quiet_db must be above 0, got {self.quiet_db}")
