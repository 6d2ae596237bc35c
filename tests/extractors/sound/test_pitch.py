from __future__ import annotations

import numpy as np
import pytest

from extractors.sound.pitch import Pitch, PitchTracker
from extractors.sound.settings import VoiceSettings
from tests.extractors.sound.voices import HOP, WINDOW, pulses, tone, windows_of
from tests.extractors.sounds import RATE, noise


def track(waveform: np.ndarray, **settings: float) -> Pitch:
    return PitchTracker(VoiceSettings(**settings)).track(windows_of(waveform))


def track_windows(windows: np.ndarray) -> np.ndarray:
    return PitchTracker(VoiceSettings()).track(windows).hertz


@pytest.mark.parametrize("harmonics", [1, 7])
@pytest.mark.parametrize("hertz", [80, 83, 110, 220, 307, 440, 500, 523])
def test_a_steady_tone_is_heard_at_its_own_octave(hertz: int, harmonics: int) -> None:
    assert track(tone(hertz, harmonics)).hertz == pytest.approx(hertz, rel=0.01)


def test_a_tone_without_its_first_harmonic_is_heard_at_it_all_the_same() -> None:
    waveform = tone(150, 6) - tone(150, 1)
    assert track(waveform).hertz == pytest.approx(150, rel=0.01)


def test_a_gliding_tone_is_followed() -> None:
    seconds = np.arange(int(0.7 * RATE)) / RATE
    hertz = 150 * 2 ** (seconds / seconds[-1])  # an octave up
    found = track(0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE)).hertz
    middles = np.arange(len(found)) * HOP + WINDOW // 2
    assert found == pytest.approx(hertz[middles], rel=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    assert (track(noise(RATE, seed=3)).hertz > 0).mean() < 0.05
    silent = track(np.zeros(RATE))
    assert not silent.hertz.any()
    assert not silent.strength.any()


def test_the_strength_is_the_share_of_what_repeats() -> None:
    # A tone of power 0.02 in noise of power p correlates with itself by 0.02 / (0.02 + p); of the
    # noise, a quarter is below the 2 kHz that are heard.
    hiss = 0.1 * np.random.default_rng(5).normal(size=int(0.7 * RATE))
    found = track(tone(200, 1) + hiss).strength
    assert found.mean() == pytest.approx(0.02 / (0.02 + 0.01 / 4), abs=0.03)


def test_the_silence_around_a_tone_is_unvoiced() -> None:
    waveform = np.concatenate([np.zeros(8000), tone(131), np.zeros(4800)])
    voiced = np.flatnonzero(track(waveform).hertz)
    assert (voiced[0] + 2) / 100 == pytest.approx(0.5, abs=0.04)
    assert (voiced[-1] + 2) / 100 == pytest.approx(1.2, abs=0.04)


def test_what_is_quieter_than_the_loudest_by_more_than_asked_is_unvoiced() -> None:
    waveform = np.concatenate([tone(131), 10 ** (-20 / 20) * tone(131)])  # 20 dB below
    assert (track(waveform).hertz[80:] > 0).all()
    assert not track(waveform, quiet_db=15.0).hertz[80:].any()


def test_pitch_outside_the_limits_is_not_found() -> None:
    assert track(tone(300, 1), max_hz=250.0).hertz == pytest.approx(150, rel=0.01)
    assert not track(tone(75, 1), min_hz=120.0).hertz.any()


def test_a_second_segment_goes_on_from_the_first() -> None:
    windows = windows_of(tone(220, 1))
    tracker = PitchTracker(VoiceSettings())
    parts = [tracker.track(windows[:31]).hertz, tracker.track(windows[31:]).hertz]
    assert np.concatenate(parts) == pytest.approx(220, rel=0.01)
    # Silence after a loud segment is quiet, though nothing in its own is louder.
    hum = 1e-4 * tone(220, 1)
    assert tracker.track(windows_of(hum)).hertz.max() == 0.0


def test_of_two_octaves_that_fit_the_one_before_is_kept() -> None:
    """Every other pulse is lower: by half, their distance is two pulses; by a tenth, one."""
    clear, doubtful = (windows_of(pulses([80.0] * 50, [1.0, height])) for height in (0.5, 0.9))
    assert track_windows(doubtful[5:10]) == pytest.approx(200, rel=0.01)
    tracker = PitchTracker(VoiceSettings())
    assert tracker.track(clear).hertz[5:-5] == pytest.approx(100, rel=0.01)
    assert tracker.track(doubtful[5:10]).hertz == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"min_hz": 40.0}, "got 40 and 650"),
        ({"min_hz": 300.0, "max_hz": 200.0}, "got 300 and 200"),
        ({"max_hz": 1200.0}, "got 70 and 1200"),
        ({"voicing": 1.0}, "voicing must be above 0 and below 1, got 1.0"),
        ({"jump_cost": -0.5}, "jump_cost must be 0 or more, got -0.5"),
        ({"quiet_db": 0.0}, "quiet_db must be above 0, got 0.0"),
    ],
)
def test_settings_that_can_not_be_are_refused(settings: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        VoiceSettings(**settings)
