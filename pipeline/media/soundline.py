"""Laying pieces of sound of any kind onto one time axis, mono and at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.audio.resampler import AudioResampler

from pipeline.media.packets import MAX_LISTED_FAULTS

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 1 << 18  # 16 s: a block is 1 MiB
# Stamps of sound jitter by a frame or two (mpeg, flv, streams cut without encoding); only a larger
# step is lost sound. FFmpeg's own limit (aresample min_hard_comp) is the same.
MAX_JITTER = 0.1


class SoundLine:
    """Lays mono sound of any rate onto one time axis at 16 kHz, without gaps.

    Args:
        longest_gap: seconds of missing sound that are replaced by silence; a stamp further
            ahead is damaged and ignored.
    """

    def __init__(self, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self.position: int | None = None  # of the next sample to come out
        self.problems: list[str] = []
        self._resampler: AudioResampler | None = None
        self._rate = 0
        self._expected = 0.0  # time of the next sample to come in
        self._shift = 0.0

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
        elif seconds is not None:
            seconds += self._shift
            gap = seconds - self._expected
            if -MAX_JITTER <= gap <= MAX_JITTER:
                pass
            elif 0 < gap <= self.longest_gap:
                self._note(f"{gap:.2f} s of sound are missing at {self._expected:.2f} s: silence")
                yield from self.flush()
                yield from self._silence(until=round(seconds * SAMPLE_RATE))
                self._expected = seconds
            else:
                self._note(f"the clock of the sound jumps by {gap:.2f} s at {self._expected:.2f} s")
                self._shift -= gap
        if rate != self._rate:
            yield from self.flush()
            self._rate = rate
        if self._resampler is None:
            self._resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        self._expected += len(samples) / rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        yield from self._emit(self._resampler.resample(frame))

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what the resampler still holds."""
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


def mono(frame: av.AudioFrame) -> np.ndarray:
    """Average the channels of a decoded piece of sound.

    The plain mean of all channels, written out because FFmpeg's own downmix weighs them by
    layout and knows no layout beyond eight channels.

    Shapes (n samples):
        result: (n,), float32; full scale of the sample format becomes 1, nan and inf become 0.

    Raises:
        ValueError: the sample format is unknown.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        values = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        values = samples.astype(np.float32) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    else:
        values = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    result: np.ndarray = values.mean(axis=0)
    return result
