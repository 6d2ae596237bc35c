"""A voice described every 10 ms, and as a whole, of a waveform that arrives in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.sound.formants import find_formants
from extractors.sound.functionals import VOICE_FUNCTIONALS, describe_voice
from extractors.sound.periods import measure_shake
from extractors.sound.pitch import PitchTracker
from extractors.sound.settings import VoiceSettings
from extractors.sound.spectrum import (
    find_cepstra,
    find_flux,
    find_harmonics,
    find_level,
    find_loudness,
    find_power,
    find_tilt,
)
from extractors.sound.steps import VOICE_STEPS
from extractors.sound.windows import WindowBuffer, check_waveform, in_samples

SEGMENT = 2048  # steps among which the pitch's path is found and the quiet ones are told
STRENGTHS = (0.01, 0.999)  # between which the harmonics-to-noise ratio is computed


class VoiceStream:
    """Describes the voice in a waveform that arrives in blocks.

    As ``SpectrogramStream``: bit for bit what ``compute_voice`` gives for the whole waveform. A
    segment of 20 s is held; the described steps, 1.2 MB a minute, for the functionals.

    Args:
        sample_rate: in Hz; 16000 only.
        settings: see ``VoiceSettings``.

    Raises:
        ValueError: another sample rate.
    """

    def __init__(self, sample_rate: int, settings: VoiceSettings | None = None) -> None:
        self.settings = settings or VoiceSettings()
        self.sample_rate = sample_rate
        check_waveform(np.empty(0), sample_rate)
        self._window, self._hop = in_samples(self.settings)
        self._buffer = WindowBuffer(self._window, self._hop, SEGMENT)
        self._tracker = PitchTracker(self.settings)
        self._power: NDArray[np.float64] | None = None  # of the last step
        self._described = [np.empty((0, len(VOICE_STEPS)), np.float32)]

    def push(self, waveform: np.ndarray) -> NDArray[np.float32]:
        """Take samples and give the steps that are complete: (t, D) float32, t from 0.

        Raises:
            ValueError: ``waveform`` is not mono float or not finite.
        """
        check_waveform(waveform, self.sample_rate)
        return self._add([self._describe(block) for block in self._buffer.push(waveform)])

    def finish(self) -> NDArray[np.float32]:
        """Give the last steps; samples that fill no window are left out."""
        return self._add([self._describe(block) for block in self._buffer.finish()])

    def functionals(self) -> NDArray[np.float32]:
        """Describe all steps given so far: (1, F) float32, (0, F) where there is none."""
        steps = np.concatenate(self._described)
        if not len(steps):
            return np.empty((0, len(VOICE_FUNCTIONALS)), np.float32)
        return describe_voice(steps)[None, :]

    def _add(self, blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        self._described += blocks
        return np.concatenate([self._described[0][:0], *blocks])

    def _describe(self, windows: np.ndarray) -> NDArray[np.float32]:
        pitch = self._tracker.track(windows)
        power = find_power(windows)
        voiced = pitch.hertz > 0
        formants = np.zeros((len(windows), 6))
        if voiced.any():
            formants[voiced] = find_formants(windows[voiced])
        samples = np.concatenate([windows[:-1, : self._hop].ravel(), windows[-1]])
        strength = np.clip(pitch.strength, *STRENGTHS)
        columns = [
            pitch.hertz,
            12 * np.log2(np.maximum(pitch.hertz, 27.5) / 27.5),
            pitch.strength,
            10 * np.log10(strength / (1 - strength)),
            measure_shake(samples, pitch.hertz, self._window, self._hop),
            find_level(power, self._window),
            find_loudness(power),
            find_tilt(power),
            find_flux(power, self._power),
            find_harmonics(power, pitch.hertz),
            formants,
            find_cepstra(power),
        ]
        self._power = power[-1]
        return np.column_stack(columns).astype(np.float32)


def compute_voice(
    waveform: np.ndarray, sample_rate: int, settings: VoiceSettings | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Describe the voice in a waveform every 10 ms, and as a whole.

    Shapes (T steps, D = len(``VOICE_STEPS``), F = len(``VOICE_FUNCTIONALS``)):
        ``waveform``: (samples,), float in [-1, 1], finite.
        result: (T, D) and (1, F), float32, finite. Step i covers samples 160 i to 160 i + 639; T
        counts the windows that are filled, 0 below 640 samples, and the second is (0, F) then.

    Args:
        waveform: mono.
        sample_rate: in Hz; 16000 only.
        settings: see ``VoiceSettings``.

    Raises:
        ValueError: another sample rate, or ``waveform`` is not mono float or not finite.

    Source:
        Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS)", 2016, for most of
        what is described. Differs from it: see docs/voice.md.

    Example:
        >>> steps, functionals = extractors.compute_voice(np.zeros(16000, np.float32), 16000)
        >>> steps.shape[0], functionals.shape[0]
        (97, 1)
    """
    stream = VoiceStream(sample_rate, settings)
    steps = np.concatenate([stream.push(np.asarray(waveform)), stream.finish()])
    return steps, stream.functionals()
