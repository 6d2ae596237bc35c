"""Functionals against numbers that are worked out from steps typed in."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from extractors.sound.functionals import VOICE_FUNCTIONALS, describe_voice
from extractors.sound.steps import VOICE_STEPS

PAGE = Path(__file__).parents[3] / "docs" / "voice.md"


def steps_of(count: int, **columns: object) -> np.ndarray:
    """Loud and unvoiced steps, but for the columns given."""
    steps = np.zeros((count, len(VOICE_STEPS)), np.float32)
    for name, values in {"level_db": -20.0, **columns}.items():
        steps[:, VOICE_STEPS.index(name)] = values
    return steps


def described(steps: np.ndarray) -> dict[str, float]:
    return dict(zip(VOICE_FUNCTIONALS, describe_voice(steps).tolist(), strict=True))


def test_names_are_one_each_and_stable() -> None:
    assert len(set(VOICE_FUNCTIONALS)) == len(VOICE_FUNCTIONALS) == 779
    assert len(set(VOICE_STEPS)) == len(VOICE_STEPS) == 48


def test_the_spread_is_of_voiced_steps_alone() -> None:
    pitch = [0, 100, 100, 200, 200, 0, 300]
    semitones = [0, 10, 20, 30, 40, 0, 50]
    found = described(steps_of(7, pitch_hz=pitch, pitch_semitones=semitones))
    name = "voiced.pitch_semitones"
    assert found[f"{name}.mean"] == 30
    assert found[f"{name}.deviation"] == pytest.approx(200**0.5)
    assert [found[f"{name}.p{p}"] for p in ("05", "20", "50", "80", "95")] == [12, 18, 30, 42, 48]
    assert found[f"{name}.range"] == 36


def test_quiet_steps_before_and_after_are_not_spoken() -> None:
    level = [-70, -70, -20, -65, -20, -20, -70]
    found = described(steps_of(7, level_db=level, loudness=[9, 9, 1, 2, 3, 2, 9]))
    assert found["rhythm.clip_seconds"] == pytest.approx(0.07)
    assert found["rhythm.spoken_seconds"] == pytest.approx(0.04)  # the pause within is
    assert found["spoken.loudness.mean"] == 2
    assert found["spoken.loudness.p95"] == pytest.approx(2.85)


def test_the_tilt_of_unvoiced_steps_is_of_loud_ones_that_are_not_voiced() -> None:
    steps = steps_of(
        5, pitch_hz=[0, 90, 0, 0, 0], level_db=[-20, -20, -20, -70, -20], alpha_ratio_db=range(5)
    )
    found = described(steps)
    assert found["unvoiced.alpha_ratio_db.mean"] == 2  # of 0, 2 and 4
    assert found["voiced.alpha_ratio_db.mean"] == 1


def test_cepstra_are_of_what_is_spoken_of_its_loud_steps_and_of_their_slopes() -> None:
    level = [-70, -20, -20, -70, -20, -20, -70]
    cepstrum = [9, 1, 2, 4, 8, 16, 9]
    found = described(steps_of(7, level_db=level, cepstrum_3=cepstrum))
    assert found["spoken.cepstrum_3.mean"] == pytest.approx(31 / 5)
    assert found["loud.cepstrum_3.mean"] == pytest.approx(27 / 4)
    slope = [1, 1.5, 3, 6, 8]  # central differences, one-sided at the ends
    assert found["slope.cepstrum_3.deviation"] == pytest.approx(np.std(slope))
    assert found["slope.cepstrum_3.p90"] == pytest.approx(np.percentile(slope, 90))


def test_silence_is_not_spoken_and_small_peaks_of_loudness_count_from_three_tenths() -> None:
    assert described(steps_of(50, level_db=-100.0))["rhythm.spoken_seconds"] == 0
    loudness = np.zeros(100)
    for place, height in ((20, 1.0), (50, 0.5), (80, 0.2)):
        loudness[place - 3 : place + 4] = height * np.hanning(9)[1:-1]
    found = described(steps_of(100, loudness=loudness))
    assert found["rhythm.loudness_peaks_per_second"] == 2


def test_slopes_are_of_neighbours_and_by_the_second() -> None:
    semitones = [10, 12, 11, 0, 20, 24]
    pitch = [100, 100, 100, 0, 100, 100]
    found = described(steps_of(6, pitch_hz=pitch, pitch_semitones=semitones))
    assert found["pitch_semitones.rise.mean"] == 300  # 2 and 4 in 10 ms
    assert found["pitch_semitones.rise.deviation"] == 100
    assert found["pitch_semitones.fall.mean"] == 100
    assert found["pitch_semitones.change.mean"] == pytest.approx(7 / 3)
    assert found["pitch_semitones.bend.mean"] == 3  # 2, then -1


def test_a_line_has_its_slope_and_its_parts() -> None:
    found = described(steps_of(12, loudness=np.arange(12) / 11))
    assert found["loudness.slope"] == pytest.approx(1.0)
    parts = [found[f"loudness.part_{n}"] for n in range(6)]
    assert parts == pytest.approx([(2 * n + 0.5 - 5.5) / 11 for n in range(6)])


def test_rhythm_counts_voiced_stretches_and_the_gaps_between_them() -> None:
    pitch = np.zeros(100)
    pitch[10:30] = pitch[40:50] = pitch[80:100] = 120
    found = described(steps_of(100, pitch_hz=pitch))
    assert found["rhythm.voiced_share"] == pytest.approx(0.5)
    assert found["rhythm.voiced_per_second"] == pytest.approx(3.0)
    assert found["rhythm.voiced_seconds.mean"] == pytest.approx(0.5 / 3)
    assert found["rhythm.voiced_seconds.max"] == pytest.approx(0.2)
    assert found["rhythm.unvoiced_seconds.mean"] == pytest.approx(0.2)
    assert found["rhythm.unvoiced_seconds.deviation"] == pytest.approx(0.1)


@pytest.mark.parametrize("beats", [4, 6])
def test_loudness_that_beats_has_so_many_peaks_a_second_and_that_rate(beats: int) -> None:
    loudness = 3 + np.cos(2 * np.pi * beats * np.arange(256) / 100)
    found = described(steps_of(256, loudness=loudness))
    assert found["rhythm.loudness_peaks_per_second"] == pytest.approx(beats, abs=1)
    rates = [found[f"loudness.rate_{n}"] for n in range(1, 13)]
    assert (np.argmax(rates) + 1) / 1.28 == pytest.approx(beats, abs=0.5)


def test_the_envelope_is_the_level_less_its_mean() -> None:
    found = described(steps_of(47, level_db=np.linspace(-30, -20, 47)))
    places = [found[f"level_db.place_{n}"] for n in range(24)]
    assert places == pytest.approx(np.linspace(-5, 5, 24), abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("level", [-100.0, -20.0])
def test_a_few_steps_silent_or_not_have_defined_values(count: int, level: float) -> None:
    found = describe_voice(steps_of(count, level_db=level))
    assert np.isfinite(found).all()
    assert described(steps_of(count, level_db=level))["voiced.f1_hz.mean"] == 0


def test_a_voice_that_is_twice_as_long_is_described_alike() -> None:
    generator = np.random.default_rng(11)
    steps = steps_of(300, pitch_hz=100, pitch_semitones=generator.normal(20, 2, 300))
    once, twice = (described(np.concatenate([steps] * n)) for n in (1, 2))
    name = "voiced.pitch_semitones.p80"
    assert once[name] == pytest.approx(twice[name], abs=0.05)


def test_the_page_names_every_step_and_every_kind_of_functional() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`([^`\n]+)`", page))
    for name in VOICE_STEPS:
        assert re.sub(r"cepstrum_\d+", "cepstrum_N", name) in named
    for name in VOICE_FUNCTIONALS:
        kind = re.sub(r"(part|place|rate|cepstrum)_\d+", r"\1_N", name)
        where, _, rest = kind.partition(".")
        statistic = rest.rpartition(".")[2]
        general = {kind, f"{where}.STEP.{statistic}", f"{where}.cepstrum_N.{statistic}"}
        assert general & named, name
