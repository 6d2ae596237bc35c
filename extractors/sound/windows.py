"""Windows of a waveform that arrives in blocks, and slopes over the steps they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import numpy as np

SAMPLE_RATE = 16_000  # Hz; every setting and filter here is meant for it
# Windows transformed at once. Blocks start at multiples of it however the waveform arrives, so that
# a stream and a whole waveform go through the very same sums.
STEPS_PER_BLOCK = 512
SAMPLES_PER_CHUNK = 2**18
WindowShape = Literal["rectangular", "hamming", "hann"]
# As cache.codec has it: a field that, at its default, stands in no key.
ADDED = {"added": True}


class StepSettings(Protocol):
    """Settings of where the windows of steps lie."""

    @property
    def window_seconds(self) -> float:
        """Length of a window."""

    @property
    def hop_seconds(self) -> float:
        """Time from the start of one window to the start of the next."""


class WindowSettings(StepSettings, Protocol):
    """Settings of the windows over which a transform is taken."""

    @property
    def dft_size(self) -> int:
        """Points of the transform."""

    @property
    def floor(self) -> float:
        """Least value before the logarithm."""


def in_samples(settings: StepSettings) -> tuple[int, int]:
    """Window and hop in samples."""
    return round(settings.window_seconds * SAMPLE_RATE), round(settings.hop_seconds * SAMPLE_RATE)


def check_window(settings: WindowSettings) -> None:
    """Refuse a window that has no sample or does not fit the transform."""
    window, hop = in_samples(settings)
    if window < 1 or hop < 1:
        raise ValueError(
            "window_seconds and hop_seconds must be at least one sample, "
            f"got {settings.window_seconds} and {settings.hop_seconds}"
        )
    if window > settings.dft_size:
        raise ValueError(
            f"dft_size must be at least the window's {window} samples, got {settings.dft_size}"
        )
    if not settings.floor > 0:
        raise ValueError(f"floor must be above 0, got {settings.floor}")


def window_weights(shape: WindowShape, size: int) -> np.ndarray:
    """Return the weights of a window's samples, (``size``,) float64, the same from both ends.

    Source:
        Harris, "On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform",
        1978.
    """
    shapes: dict[str, Callable[[int], np.ndarray]] = {
        "rectangular": np.ones,
        "hamming": np.hamming,
        "hann": np.hanning,
    }
    if shape not in shapes:
        raise ValueError(f"window must be one of {', '.join(shapes)}, got {shape!r}")
    return shapes[shape](size)


def check_waveform(waveform: np.ndarray, sample_rate: int) -> None:
    """Refuse anything but mono float samples at 16 kHz.

    Raises:
        ValueError: another rate, more than one axis, integers, nan or inf.
    """
    if sample_rate != SAMPLE_RATE:
        raise ValueError(
            f"sample_rate must be {SAMPLE_RATE} Hz, got {sample_rate}; resample the waveform first"
        )
    if waveform.ndim != 1:
        raise ValueError(
            f"waveform must be mono, of shape (samples,), got {waveform.shape}; mix channels first"
        )
    if not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(
            f"waveform must be float in [-1, 1], got {waveform.dtype}; divide integers by their "
            "largest value"
        )
    if not np.isfinite(waveform).all():
        raise ValueError("waveform holds nan or inf")


class WindowBuffer:
    """Cuts samples that arrive in any portions into windows, a block of windows at a time.

    Args:
        window: samples in a window.
        hop: samples from one window's start to the next one's.
        steps: windows in a block.
    """

    def __init__(self, window: int, hop: int, steps: int = STEPS_PER_BLOCK) -> None:
        self.window = window
        self.hop = hop
        self.steps = steps
        self._rest = np.empty(0)

    def push(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the full blocks of windows, (``steps``, ``window``) float64."""
        block = (self.steps - 1) * self.hop + self.window
        for start in range(0, len(samples), SAMPLES_PER_CHUNK):
            chunk = samples[start : start + SAMPLES_PER_CHUNK]
            self._rest = np.concatenate([self._rest, chunk.astype(np.float64)])
            while len(self._rest) >= block:
                yield self._windows(self._rest[:block])
                self._rest = self._rest[self.steps * self.hop :]

    def finish(self) -> Iterator[np.ndarray]:
        """Yield the windows left over, if any; samples that fill no window are dropped."""
        rest, self._rest = self._rest, np.empty(0)
        if len(rest) >= self.window:
            yield self._windows(rest)

    def _windows(self, samples: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(samples, self.window)[:: self.hop]


class DeltaBuffer:
    """Slopes of features over time: a least-squares line through each step and its neighbours.

    The first and the last step count as often as a neighbour is missing beyond them.

    Args:
        reach: neighbours on each side.

    Source:
        ``python_speech_features.delta``, of which this is the same sum, in blocks.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._rest: np.ndarray | None = None

    def push(self, features: np.ndarray) -> np.ndarray:
        """Take steps (T, F) and give the slopes that are known by now, ``reach`` steps behind."""
        if len(features) == 0:
            return features
        if self._rest is None:
            self._rest = np.repeat(features[:1], self.reach, axis=0)
        self._rest = np.concatenate([self._rest, features])
        return self._slopes()

    def finish(self) -> np.ndarray | None:
        """Give the slopes of the last steps; None if no step ever came."""
        if self._rest is None:
            return None
        self._rest = np.concatenate([self._rest, np.repeat(self._rest[-1:], self.reach, axis=0)])
        slopes = self._slopes()
        self._rest = None
        return slopes

    def _slopes(self) -> np.ndarray:
        assert self._rest is not None  # noqa: S101  # both callers have seen to it
        count = max(0, len(self._rest) - 2 * self.reach)
        slopes = np.zeros((count, self._rest.shape[1]))
        for shift in range(1, self.reach + 1):
            before, after = (self.reach + sign * shift for sign in (-1, 1))
            slopes += shift * (
                self._rest[after : after + count] - self._rest[before : before + count]
            )
        self._rest = self._rest[count:]
        return slopes / (2 * sum(shift**2 for shift in range(1, self.reach + 1)))
