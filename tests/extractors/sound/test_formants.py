from __future__ import annotations

import numpy as np
import pytest

from extractors.sound.formants import USUAL, WIDEST, find_formants
from tests.extractors.sound.voices import vowel, windows_of
from tests.extractors.sounds import noise

VOWELS = {"a": (700.0, 1200.0, 2600.0), "i": (300.0, 2300.0, 3000.0), "u": (320.0, 800.0, 2300.0)}


@pytest.mark.parametrize("name", VOWELS)
def test_a_vowels_formants_are_those_of_its_filter(name: str) -> None:
    expected = VOWELS[name]
    found = find_formants(windows_of(vowel(100, (*expected, 3700.0)))[5:-5])
    # A low formant is drawn to the nearest harmonic, here at most 50 Hz away,
    # and all are drawn to one another by a little.
    assert np.median(found[:, :3], axis=0) == pytest.approx(expected, rel=0.05, abs=55)


def test_a_wider_resonance_has_the_wider_bandwidth() -> None:
    widths = [
        np.median(find_formants(windows_of(vowel(100, VOWELS["a"], width))[5:-5])[:, 3])
        for width in (60.0, 120.0, 240.0)
    ]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[0]


def test_a_formant_that_is_not_there_has_its_usual_place() -> None:
    found = find_formants(np.zeros((3, 640)))
    assert found == pytest.approx(np.tile([*USUAL, WIDEST, WIDEST, WIDEST], (3, 1)))


def test_formants_of_noise_are_finite_and_rise() -> None:
    found = find_formants(windows_of(noise(8000).astype(float)))
    assert np.isfinite(found).all()
    assert (np.diff(found[:, :3][(found[:, 3:] < WIDEST).all(axis=1)], axis=1) > 0).all()
