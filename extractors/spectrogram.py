"""Spectrogram and log-mel of a waveform, whole or in blocks with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from extractors.logmel import LogMelSettings, LogMelStream
from extractors.sound.windows import (
    ADDED,
    SAMPLE_RATE,
    StepSettings,
    WindowBuffer,
    WindowShape,
    check_waveform,
    check_window,
    in_samples,
    window_weights,
)

__all__ = [
    "LogMelSettings",
    "LogMelStream",
    "SpectrogramSettings",
    "SpectrogramStream",
    "compute_logmel",
    "compute_spectrogram",
    "in_samples",
    "step_times",
]


@dataclass(frozen=True)
class SpectrogramSettings:
    """Settings of a spectrogram.

    Attributes:
        window_seconds: length of a window.
        hop_seconds: from one window's start to the next one's.
        dft_size: points of the transform; the window is padded with zeros to it.
        num_bins: lowest bins kept; each is 16000 / ``dft_size`` Hz wide.
        floor: least power before the logarithm, about that of 16-bit rounding noise in a bin, so
            that digital silence is as loud as recorded silence.
        window: what the samples of a window are multiplied by: "hamming" is the paper's; or "hann",
            or "rectangular".

    Raises:
        ValueError: a value is not positive, the window is longer than the transform, or there are
            fewer than ``num_bins`` bins.
    """

    window_seconds: float = 0.040
    hop_seconds: float = 0.010
    dft_size: int = 800
    num_bins: int = 200
    floor: float = 1e-8
    window: WindowShape = field(default="hamming", metadata=ADDED)

    def __post_init__(self) -> None:
        check_window(self)
        window_weights(self.window, 1)
        if not 1 <= self.num_bins <= self.dft_size // 2 + 1:
            raise ValueError(
                f"num_bins must be from 1 to {self.dft_size // 2 + 1}, got {self.num_bins}"
            )


def step_times(num_steps: int, settings: StepSettings | None = None) -> NDArray[np.float64]:
    """Say when each step is: (``num_steps``,) float64, seconds at the middle of its window.

    Args:
        num_steps: from 0.
        settings: of the spectrogram or log-mel; a default spectrogram's if left out.

    Example:
        >>> extractors.step_times(3)
        array([0.02, 0.03, 0.04])
    """
    window, hop = in_samples(settings or SpectrogramSettings())
    return (np.arange(num_steps) * hop + window / 2) / SAMPLE_RATE


class SpectrogramStream:
    """Computes the spectrogram of a waveform that arrives in blocks, in constant memory.

    What all ``push`` and the ``finish`` give, one after another, equals ``compute_spectrogram`` of
    the whole waveform bit for bit, wherever it was cut.

    Args:
        sample_rate: in Hz; 16000 only.
        settings: see ``SpectrogramSettings``.

    Raises:
        ValueError: another sample rate.
    """

    def __init__(self, sample_rate: int, settings: SpectrogramSettings | None = None) -> None:
        self.settings = settings or SpectrogramSettings()
        self.sample_rate = sample_rate
        check_waveform(np.empty(0), sample_rate)
        window, hop = in_samples(self.settings)
        self._buffer = WindowBuffer(window, hop)
        self._weights = window_weights(self.settings.window, window)

    def push(self, waveform: np.ndarray) -> np.ndarray:
        """Take samples and give the steps that are complete: (t, F) float32, t from 0.

        Raises:
            ValueError: ``waveform`` is not mono float or not finite.
        """
        check_waveform(waveform, self.sample_rate)
        return self._transform(self._buffer.push(waveform))

    def finish(self) -> np.ndarray:
        """Give the last steps; samples that fill no window are left out."""
        return self._transform(self._buffer.finish())

    def _transform(self, blocks: Iterator[np.ndarray]) -> np.ndarray:
        parts = [np.empty((0, self.settings.num_bins), dtype=np.float32)]
        for windows in blocks:
            spectrum = np.fft.rfft(windows * self._weights, self.settings.dft_size)
            spectrum = spectrum[:, : self.settings.num_bins]
            power = spectrum.real**2 + spectrum.imag**2
            parts.append(np.log(np.maximum(power, self.settings.floor)).astype(np.float32))
        return np.concatenate(parts)


def compute_spectrogram(
    waveform: np.ndarray, sample_rate: int, settings: SpectrogramSettings | None = None
) -> NDArray[np.float32]:
    """Compute the log power of the low frequencies over time.

    Shapes (T steps, F = ``num_bins`` = 200):
        ``waveform``: (samples,), float in [-1, 1], finite.
        result: (T, F), float32, natural logarithm, at least log(``floor``). Step i covers samples
        160 i to 160 i + 639; T counts the windows that are filled, 0 below 640 samples.

    Args:
        waveform: mono.
        sample_rate: in Hz; 16000 only.
        settings: see ``SpectrogramSettings``.

    Raises:
        ValueError: another sample rate, or ``waveform`` is not mono float or not finite.

    Source:
        Zhang, Wang, Du, "Deep Fusion", 2019, III.C: Hamming 40 ms every 10 ms, the 200 lowest
        dimensions. Left open there: 800 points, which make them 0 to 4 kHz, and the logarithm.

    Example:
        >>> found = extractors.compute_spectrogram(np.zeros(16000, np.float32), 16000)
        >>> found.shape, extractors.step_times(97)[0]
        ((97, 200), np.float64(0.02))
    """
    stream = SpectrogramStream(sample_rate, settings)
    return np.concatenate([stream.push(np.asarray(waveform)), stream.finish()])


def compute_logmel(
    waveform: np.ndarray, sample_rate: int, settings: LogMelSettings | None = None
) -> NDArray[np.float32]:
    """Compute log-mel energies over time, their deltas and the deltas of those.

    Shapes (T steps, F = ``num_filters`` = 40):
        ``waveform``: (samples,), float in [-1, 1], finite.
        result: (T, F, 3), float32: level, delta, delta of delta. Step i covers samples 160 i to
        160 i + 399; T counts the windows that are filled, 0 below 400 samples.

    Args:
        waveform: mono.
        sample_rate: in Hz; 16000 only.
        settings: see ``LogMelSettings``.

    Raises:
        ValueError: another sample rate, or ``waveform`` is not mono float or not finite.

    Source:
        Zhou et al., ICMI 2019, who follow Chen et al., "3-D Convolutional Recurrent Neural
        Networks", 2018; ``logfbank`` and ``delta`` of python_speech_features at their defaults but
        for 40 filters. Differs from them: no window padded with zeros at the end, a floor.

    Example:
        >>> found = extractors.compute_logmel(np.zeros(16000, np.float32), 16000)
        >>> found.shape, extractors.step_times(98, extractors.LogMelSettings())[0]
        ((98, 40, 3), np.float64(0.0125))
    """
    stream = LogMelStream(sample_rate, settings)
    return np.concatenate([stream.push(np.asarray(waveform)), stream.finish()])
