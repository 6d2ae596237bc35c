from __future__ import annotations

import numpy as np
import pytest

import extractors
from extractors.sound import voice
from extractors.sound.functionals import VOICE_FUNCTIONALS
from extractors.sound.steps import VOICE_STEPS
from extractors.sound.voice import VoiceStream, compute_voice
from tests.extractors.sound.voices import tone, vowel
from tests.extractors.sounds import RATE, noise, push_in_pieces


def column(steps: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(steps[:, VOICE_STEPS.index(name)])


def functional(found: np.ndarray, name: str) -> float:
    return float(found[0, VOICE_FUNCTIONALS.index(name)])


def test_every_column_is_what_its_name_says() -> None:
    steps, functionals = compute_voice(vowel(110, (700.0, 1200.0, 2600.0, 3700.0)), RATE)
    assert steps.dtype == functionals.dtype == np.float32
    inside = steps[5:-5]
    assert column(inside, "pitch_hz") == pytest.approx(110, rel=0.01)
    assert column(inside, "pitch_semitones") == pytest.approx(24, abs=0.2)  # 27.5 Hz two octaves up
    assert column(inside, "strength").min() > 0.95
    assert column(inside, "hnr_db").min() > 12
    assert column(inside, "jitter").max() < 0.01
    assert np.median(column(inside, "f1_hz")) == pytest.approx(700, rel=0.06)
    assert functional(functionals, "voiced.f2_hz.p50") == pytest.approx(1200, rel=0.06)
    assert functional(functionals, "voiced.pitch_semitones.p50") == pytest.approx(24, abs=0.2)


def test_pieces_give_the_same_bits_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "SEGMENT", 61)
    waveform = np.concatenate([tone(131, 5, 1.1), 0.2 * noise(4001), tone(197, 3, 0.9)])
    steps, functionals = compute_voice(waveform, RATE)
    stream = VoiceStream(RATE)
    np.testing.assert_array_equal(push_in_pieces(stream, waveform), steps)
    np.testing.assert_array_equal(stream.functionals(), functionals)


def test_segments_change_no_pitch_of_a_steady_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = compute_voice(tone(131, 5, 2.0), RATE)
    monkeypatch.setattr(voice, "SEGMENT", 61)
    parts, _ = compute_voice(tone(131, 5, 2.0), RATE)
    for name in ("pitch_hz", "level_db", "flux", "h1_h2_db", "f1_hz", "cepstrum_3"):
        np.testing.assert_allclose(column(parts, name), column(whole, name), rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "steps"), [(0, 0), (639, 0), (640, 1), (799, 1), (800, 2), (4800, 27)]
)
def test_any_length_has_its_steps_and_a_clip_of_none_no_functionals(
    samples: int, steps: int
) -> None:
    found, functionals = compute_voice(noise(samples), RATE)
    assert found.shape == (steps, len(VOICE_STEPS))
    assert functionals.shape == (min(steps, 1), len(VOICE_FUNCTIONALS))


ODD = {
    "silence": np.zeros(8000),
    "constant": np.full(8000, 0.7),
    "clipped": np.clip(9 * tone(210), -1, 1),
    "square": np.sign(tone(97, 1)),
    "impulse": np.eye(1, 8000, 4000)[0],
    "full noise": 2 * noise(8000).astype(float),
    "least": 1e-30 * noise(8000).astype(float),
    "8 kHz": np.repeat(tone(150)[::2], 2),
}


@pytest.mark.parametrize("name", ODD)
def test_any_sound_is_described_by_finite_numbers(name: str) -> None:
    for found in compute_voice(ODD[name], RATE):
        assert np.isfinite(found).all()
        assert np.abs(found).max() < 1e5


def test_silence_is_unvoiced_at_the_floor() -> None:
    steps, functionals = compute_voice(np.zeros(8000), RATE)
    assert column(steps, "level_db") == pytest.approx(-100)
    assert not column(steps, "pitch_hz").any()
    assert functional(functionals, "rhythm.spoken_seconds") == 0
    assert functional(functionals, "rhythm.voiced_share") == 0


def test_six_decibel_more_are_heard_as_level_and_leave_the_voice_as_it_is() -> None:
    soft, loud = (compute_voice(gain * tone(150), RATE)[0] for gain in (0.5, 1.0))
    assert column(loud - soft, "level_db") == pytest.approx(20 * np.log10(2), abs=1e-3)
    for name in ("pitch_hz", "jitter", "shimmer_db", "h1_h2_db", "f1_hz"):
        assert column(loud, name) == pytest.approx(column(soft, name), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("waveform", "rate", "match"),
    [
        (np.zeros(9), 8000, "must be 16000 Hz, got 8000"),
        (np.zeros((9, 2)), RATE, r"must be mono, of shape \(samples,\), got \(9, 2\)"),
        (np.zeros(9, np.int16), RATE, "must be float in .*, got int16"),
        (np.full(9, np.nan), RATE, "holds nan or inf"),
    ],
)
def test_other_than_a_mono_waveform_is_refused(waveform: np.ndarray, rate: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        compute_voice(waveform, rate)


def test_the_door_offers_it() -> None:
    assert extractors.compute_voice is compute_voice
