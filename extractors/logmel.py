"""Log-mel spectrogram with its deltas, of a waveform that arrives in blocks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from extractors.sound.windows import (
    ADDED,
    DeltaBuffer,
    WindowBuffer,
    WindowShape,
    check_waveform,
    check_window,
    in_samples,
    window_weights,
)


@dataclass(frozen=True)
class LogMelSettings:
    """Settings of a log-mel spectrogram.

    Attributes:
        window_seconds: length of a window.
        hop_seconds: from one window's start to the next one's.
        dft_size: points of the transform; the window is padded with zeros to it.
        num_filters: triangles evenly spaced in mel from 0 to 8 kHz.
        preemphasis: share of the sample before that is subtracted from each.
        delta_reach: neighbours on each side that a delta is taken over.
        floor: least energy before the logarithm, about that of 16-bit rounding noise in a filter.
        window: what the samples of a window are multiplied by: "rectangular" leaves them as they
            are, as the library's default does; "hamming" or "hann" let fewer frequencies leak.

    Raises:
        ValueError: a value is not positive, ``preemphasis`` is not in [0, 1), the window is longer
            than the transform, or has no such shape.
    """

    window_seconds: float = 0.025
    hop_seconds: float = 0.010
    dft_size: int = 512
    num_filters: int = 40
    preemphasis: float = 0.97
    delta_reach: int = 2
    floor: float = 1e-10
    window: WindowShape = field(default="rectangular", metadata=ADDED)

    def __post_init__(self) -> None:
        check_window(self)
        window_weights(self.window, 1)
        if self.num_filters < 1 or self.delta_reach < 1:
            raise ValueError(
                "num_filters and delta_reach must be at least 1, "
                f"got {self.num_filters} and {self.delta_reach}"
            )
        if not 0 <= self.preemphasis < 1:
            raise ValueError(f"preemphasis must be in [0, 1), got {self.preemphasis}")


class LogMelStream:
    """Computes the log-mel and its deltas of a waveform that arrives in blocks.

    As ``SpectrogramStream``: bit for bit what ``compute_logmel`` gives for the whole waveform, in
    constant memory. Steps come four later than they are heard, which the deltas of deltas need.

    Args:
        sample_rate: in Hz; 16000 only.
        settings: see ``LogMelSettings``.

    Raises:
        ValueError: another sample rate.
    """

    def __init__(self, sample_rate: int, settings: LogMelSettings | None = None) -> None:
        self.settings = settings or LogMelSettings()
        self.sample_rate = sample_rate
        check_waveform(np.empty(0), sample_rate)
        window, hop = in_samples(self.settings)
        self._buffer = WindowBuffer(window, hop)
        self._weights = window_weights(self.settings.window, window)
        # Here: it loads SciPy, and settings are read where no log-mel is made.
        from python_speech_features import get_filterbanks

        self._filters = get_filterbanks(
            self.settings.num_filters, self.settings.dft_size, sample_rate
        ).T
        self._previous = 0.0
        self._deltas = DeltaBuffer(self.settings.delta_reach)
        self._delta_deltas = DeltaBuffer(self.settings.delta_reach)
        empty = np.empty((0, self.settings.num_filters))
        # Levels and deltas that wait for the deltas of deltas to catch up.
        self._waiting = [empty, empty]

    def push(self, waveform: np.ndarray) -> np.ndarray:
        """Take samples and give the steps that are complete: (t, F, 3) float32, t from 0.

        Raises:
            ValueError: ``waveform`` is not mono float or not finite.
        """
        check_waveform(waveform, self.sample_rate)
        parts = [self._take(np.empty((0, self.settings.num_filters)))]
        parts += [self._add(block) for block in self._buffer.push(self._emphasise(waveform))]
        return np.concatenate(parts)

    def finish(self) -> np.ndarray:
        """Give the last steps; samples that fill no window are left out."""
        parts = [self._add(block) for block in self._buffer.finish()]
        last_deltas = self._deltas.finish()
        if last_deltas is not None:
            self._waiting[1] = np.concatenate([self._waiting[1], last_deltas])
            parts.append(self._take(self._delta_deltas.push(last_deltas)))
            last = self._delta_deltas.finish()
            parts.append(self._take(last if last is not None else last_deltas[:0]))
        parts.append(self._take(np.empty((0, self.settings.num_filters))))
        return np.concatenate(parts)

    def _emphasise(self, waveform: np.ndarray) -> np.ndarray:
        if len(waveform) == 0:
            return waveform
        samples = waveform.astype(np.float64)
        before = np.concatenate([[self._previous], samples[:-1]])
        self._previous = float(samples[-1])
        return samples - self.settings.preemphasis * before

    def _add(self, windows: np.ndarray) -> np.ndarray:
        from python_speech_features import sigproc

        energies = sigproc.powspec(windows * self._weights, self.settings.dft_size) @ self._filters
        levels = np.log(np.maximum(energies, self.settings.floor))
        deltas = self._deltas.push(levels)
        self._waiting = [
            np.concatenate([waiting, new])
            for waiting, new in zip(self._waiting, (levels, deltas), strict=True)
        ]
        return self._take(self._delta_deltas.push(deltas))

    def _take(self, delta_deltas: np.ndarray) -> np.ndarray:
        """Join the deltas of deltas with the levels and deltas of the same steps."""
        count = len(delta_deltas)
        joined = np.stack([*(waiting[:count] for waiting in self._waiting), delta_deltas], axis=-1)
        self._waiting = [waiting[count:] for waiting in self._waiting]
        return joined.astype(np.float32)
