"""Voices in numbers: takes of made-up sentences, as steps of the set ``voice``."""

from __future__ import annotations

import numpy as np

from extractors.sound.steps import VOICE_STEPS

LEVEL, C0 = VOICE_STEPS.index("level_db"), VOICE_STEPS.index("cepstrum_0")
SIZE = 31  # sounds of a sentence
NUM_CEPSTRA = 14
PITCH_HZ, SEMITONES = VOICE_STEPS.index("pitch_hz"), VOICE_STEPS.index("pitch_semitones")


def say(sentence: int, seed: int) -> np.ndarray:
    """A take of a sentence: each of its sounds lasts 20 to 60 ms, between two silences."""
    rng = np.random.default_rng(seed)
    sounds = 4 * np.random.default_rng(sentence).normal(size=(SIZE, NUM_CEPSTRA))
    spoken = np.repeat(sounds, rng.choice([2, 4, 6], SIZE), axis=0)
    spoken += 0.3 * rng.normal(size=spoken.shape)
    steps = np.zeros((len(spoken) + 80, len(VOICE_STEPS)), np.float32)
    steps[:, LEVEL], steps[:, C0] = -90.0, -60.0
    inside = slice(40, 40 + len(spoken))
    steps[inside, LEVEL] = -20.0
    steps[inside, C0 : C0 + NUM_CEPSTRA] = spoken
    steps[inside, PITCH_HZ] = 220.0
    steps[inside, SEMITONES] = 36.0
    return steps
