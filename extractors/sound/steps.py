"""Names of the numbers that describe a voice at each step of 10 ms; docs/voice.md explains them."""

from __future__ import annotations

from extractors.sound.spectrum import NUM_CEPSTRA

PITCH = ("pitch_hz", "pitch_semitones", "strength", "hnr_db", "jitter", "shimmer_db")
TILT = (
    "alpha_ratio_db",
    "hammarberg_db",
    "slope_50_500",
    "slope_500_1500",
    "centroid_hz",
    "flux",
)
HARMONICS = ("h1_h2_db", "h1_a3_db")
FORMANTS = ("f1_hz", "f2_hz", "f3_hz", "f1_width_hz", "f2_width_hz", "f3_width_hz")
CEPSTRA = tuple(f"cepstrum_{number}" for number in range(NUM_CEPSTRA))
VOICE_STEPS = (*PITCH, "level_db", "loudness", *TILT, *HARMONICS, *FORMANTS, *CEPSTRA)
