"""Line of time at 16 kHz onto which decoded sound is laid, by its stamps where they are right."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.audio.resampler import AudioResampler

from pipeline.media.packets import MAX_LISTED_FAULTS, RESTART_SECONDS

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 1 << 18  # 16 s: a block is 1 MiB
RESAMPLED_AT_ONCE = 8_192  # samples; a call of the resampler costs as much as a few thousand
JITTER = 0.005  # seconds that a stamp may be off; within that sound and picture are together
# Seconds. More than that is lost sound, and a problem; FFmpeg's limit (aresample min_hard_comp).
MAX_JITTER = 0.1
# Seconds over which stamps agree on a step within AGREEMENT. Many files are stamped a hundredth too
# densely and jump by some ms every two seconds: their sound goes on all the same.
LASTING = 1.0
LASTING_AT_END = 0.3
AGREEMENT = 0.0025
MAX_HELD = 1_000  # pieces, where hardly any has a stamp
STEP_NOTE = (
    "sound step: its stamps move by a lasting step of under 0.1 s, and the sound with them, with "
    "silence or an overlap left out there"
)


class SoundLine:
    """Line of time at 16 kHz onto which mono sound of any rate is laid, without gaps.

    A stamp that is up to ``JITTER`` off where the samples before it end is rounding. One that is
    further off counts only if those behind it agree for a while: then the sound is placed anew
    there, with silence, or without what lies twice. Else it is a jitter, as of MPEG's and FLV's.

    Args:
        longest_gap: seconds of missing sound that are replaced by silence; a stamp further
            ahead is damaged and ignored.
    """

    def __init__(self, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self.position: int | None = None  # of the next sample to come out
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._resampler: AudioResampler | None = None
        self._pending: list[np.ndarray] = []  # for the resampler
        self._rate = 0
        self._expected = 0.0  # time of the next sample to come in
        self._shift = 0.0
        self._held: list[tuple[int, np.ndarray]] = []  # behind a step that is still to be believed
        self._step = 0.0
        self._doubled = 0.0  # seconds to leave out, as they are there already

    @property
    def _held_length(self) -> float:
        return sum(len(samples) / rate for rate, samples in self._held)

    @property
    def end(self) -> float | None:
        """Seconds at which all that was added ends; None before the first."""
        if self.position is None:
            return None
        return self._expected + self._held_length

    def add(
        self, seconds: float | None, rate: int, samples: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Take samples that claim to start at ``seconds``; yield those that are ready.

        Yields:
            Position of the first sample, counted at 16 kHz from the clip's start, and samples.
        """
        if self.position is None:
            self._expected = seconds or 0.0
            self.position = round(self._expected * SAMPLE_RATE)
        step = 0.0
        if seconds is not None:
            step = seconds + self._shift - (self.end or 0.0)
        if self._held:
            agrees = seconds is None or abs(step - self._step) <= AGREEMENT
            if agrees and len(self._held) < MAX_HELD:
                if seconds is not None and self._held_length >= LASTING:
                    yield from self._settle()
                    yield from self._take(rate, samples)
                else:
                    self._held.append((rate, samples))
                return
            self._step = 0.0
            yield from self._settle()
        if abs(step) <= JITTER:
            yield from self._take(rate, samples)
        elif -RESTART_SECONDS < step <= self.longest_gap:
            self._held, self._step = [(rate, samples)], step
        else:
            self._note(f"the clock of the sound jumps by {step:.2f} s at {self._expected:.2f} s")
            self._shift -= step
            yield from self._take(rate, samples)

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all that was added and is still held."""
        lasting = len(self._held) > 1 and self._held_length >= LASTING_AT_END
        if abs(self._step) <= MAX_JITTER and not lasting:
            self._step = 0.0
        yield from self._settle()
        yield from self._drain()

    def _settle(self) -> Iterator[tuple[int, np.ndarray]]:
        """Make the step that stamps agree on, if any, and take what is held behind it."""
        held, step, at = self._held, self._step, self._expected
        self._held, self._step = [], 0.0
        if step:
            yield from self._drain()
            self._expected += step
            yield from self._silence(until=round(self._expected * SAMPLE_RATE))
            self._doubled = max(0.0, -step)
        if step > MAX_JITTER:
            self._note(f"{step:.2f} s of sound are missing at {at:.2f} s: silence")
        elif step < -MAX_JITTER:
            self._note(f"{-step:.2f} s of sound lie twice at {at:.2f} s: left out")
        elif step and STEP_NOTE not in self.notes:
            self.notes.append(STEP_NOTE)
        for rate, samples in held:
            yield from self._take(rate, samples)

    def _take(self, rate: int, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Lay samples behind those before them."""
        if self._doubled:
            skipped = min(len(samples), round(self._doubled * rate))
            self._doubled = max(0.0, self._doubled - len(samples) / rate)
            self._expected += skipped / rate
            samples = samples[skipped:]
        if rate != self._rate:
            yield from self._drain()
            self._rate = rate
        self._expected += len(samples) / rate
        self._pending.append(samples)
        if sum(map(len, self._pending)) >= RESAMPLED_AT_ONCE:
            yield from self._resample()

    def _resample(self) -> Iterator[tuple[int, np.ndarray]]:
        samples, self._pending = np.concatenate(self._pending), []
        if not len(samples):
            return
        if self._resampler is None:
            self._resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate
        yield from self._emit(self._resampler.resample(frame))

    def _drain(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what waits for the resampler, and what it holds itself."""
        if self._pending:
            yield from self._resample()
        if self._resampler is not None:
            yield from self._emit(self._resampler.resample(None))
        self._resampler = None

    def _emit(self, frames: list[av.AudioFrame]) -> Iterator[tuple[int, np.ndarray]]:
        for frame in frames:
            yield self._advance(frame.to_ndarray()[0].astype(np.float32).clip(-1.0, 1.0))

    def _silence(self, *, until: int) -> Iterator[tuple[int, np.ndarray]]:
        while (left := until - (self.position or 0)) > 0:
            yield self._advance(np.zeros(min(left, BLOCK_SAMPLES), np.float32))

    def _advance(self, samples: np.ndarray) -> tuple[int, np.ndarray]:
        position = self.position or 0
        self.position = position + len(samples)
        return position, samples

    def _note(self, problem: str) -> None:
        if len(self.problems) < MAX_LISTED_FAULTS:
            self.problems.append(problem)
