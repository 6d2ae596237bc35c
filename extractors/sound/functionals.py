"""Functionals of a voice: one vector of named numbers a clip, made of its steps alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from extractors.sound.steps import CEPSTRA, FORMANTS, HARMONICS, TILT, VOICE_STEPS

Array = NDArray[np.float64]
Steps = NDArray[np.bool_]
Named = Iterator[tuple[str, float]]

STEPS_A_SECOND = 100
QUIET_DB = 30.0  # below the loudest twentieth of the steps: silence
SILENCE_DB = -90.0  # no step below it is loud
NUM_PARTS = 6
NUM_ENVELOPE = 24
PERCENTILES = (5, 20, 50, 80, 95)
NUM_RATES, RATE_STEPS = 12, 128  # of the loudness contour: bins of 0.78 Hz
LEAST = 1e-3  # before a modulation's logarithm


def describe_voice(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Describe a clip by one vector, (F,): the numbers that ``VOICE_FUNCTIONALS`` names.

    Args:
        steps: (T, D), T from 1; see ``VOICE_STEPS``.
    """
    values = np.array([value for _, value in _measure(steps)])
    return values.astype(np.float32)


def _measure(steps: NDArray[np.float32]) -> Named:
    """Yield every functional with its name."""

    def column(name: str) -> Array:  # one at a time: an hour of sound has 360,000 steps
        values: Array = steps[:, VOICE_STEPS.index(name)].astype(np.float64)
        return values

    level, pitch, loudness = column("level_db"), column("pitch_semitones"), column("loudness")
    voiced = column("pitch_hz") > 0
    loud = level > max(np.percentile(level, 95) - QUIET_DB, SILENCE_DB)
    spoken = _between(loud)

    for name in ("pitch_semitones", "hnr_db", "jitter", "shimmer_db", *TILT, *HARMONICS, *FORMANTS):
        yield from _spread(f"voiced.{name}", column(name)[voiced])
    for name in ("level_db", "loudness"):
        yield from _spread(f"spoken.{name}", column(name)[spoken])
    for name in TILT:
        yield from _spread(f"unvoiced.{name}", column(name)[loud & ~voiced])
    for name, values, chosen in (
        ("pitch_semitones", pitch, voiced),
        ("loudness", loudness, spoken),
    ):
        yield from _slopes(name, values, chosen)
        yield from _course(name, values[chosen])
    yield from _unsteadiness("pitch_semitones", pitch, voiced)
    yield from _unsteadiness("level_db", level, voiced)
    yield from _rhythm(voiced, spoken, loudness)
    yield from _envelope(level[spoken])
    yield from _rates(loudness[spoken])
    for name in CEPSTRA:
        yield from _cepstrum(name, column(name), spoken, loud)


def _between(loud: Steps) -> Steps:
    """Mark the steps from the first to the last loud one."""
    spoken = np.zeros(len(loud), np.bool_)
    found = np.flatnonzero(loud)
    if len(found):
        spoken[found[0] : found[-1] + 1] = True
    return spoken


def _spread(name: str, values: Array) -> Named:
    """Mean, deviation, range between the outer percentiles, and percentiles; 0 of no step."""
    if not len(values):
        values = np.zeros(1)
    points = np.percentile(values, PERCENTILES)
    yield f"{name}.mean", values.mean()
    yield f"{name}.deviation", values.std()
    yield f"{name}.range", points[-1] - points[0]
    for percentile, point in zip(PERCENTILES, points, strict=True):
        yield f"{name}.p{percentile:02}", point


def _slopes(name: str, values: Array, chosen: Steps) -> Named:
    """Mean and deviation of rises and of falls, a second; and the slope over all, a clip."""
    change = np.diff(values)[chosen[1:] & chosen[:-1]] * STEPS_A_SECOND
    for direction, part in (("rise", change[change > 0]), ("fall", -change[change < 0])):
        yield f"{name}.{direction}.mean", part.mean() if len(part) else 0.0
        yield f"{name}.{direction}.deviation", part.std() if len(part) else 0.0
    kept = values[chosen]
    place = np.linspace(-0.5, 0.5, len(kept))
    yield f"{name}.slope", float(place @ kept / (place @ place)) if len(kept) > 1 else 0.0


def _course(name: str, values: Array) -> Named:
    """Means over parts of equal length, less that of all."""
    for number, part in enumerate(np.array_split(values, NUM_PARTS)):
        yield f"{name}.part_{number}", part.mean() - values.mean() if len(part) else 0.0


def _unsteadiness(name: str, values: Array, voiced: Steps) -> Named:
    """Mean and median change from step to step within voiced stretches, and change of change."""
    for order, word in ((1, "change"), (2, "bend")):
        change = np.zeros(0)
        if len(values) > order:
            run = np.convolve(voiced, np.ones(order + 1), "valid") == order + 1
            change = np.abs(np.diff(values, order))[run]
        yield f"{name}.{word}.mean", change.mean() if len(change) else 0.0
        yield f"{name}.{word}.p50", float(np.median(change)) if len(change) else 0.0


def _rhythm(voiced: Steps, spoken: Steps, loudness: Array) -> Named:
    """Lengths of what is spoken and of its voiced and unvoiced stretches, and rates."""
    part, heard = voiced[spoken], loudness[spoken]
    seconds = len(part) / STEPS_A_SECOND
    edges = np.flatnonzero(np.diff(np.concatenate([[0], part.astype(int), [0]])))
    runs, gaps = edges[1::2] - edges[::2], edges[2::2] - edges[1:-1:2]
    smooth = np.convolve(heard, np.ones(5) / 5, "same") if len(heard) else heard
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:])
    peaks &= smooth[1:-1] > 0.3 * smooth.max(initial=0.0)
    yield "rhythm.clip_seconds", len(voiced) / STEPS_A_SECOND
    yield "rhythm.spoken_seconds", seconds
    yield "rhythm.voiced_share", part.mean() if len(part) else 0.0
    yield "rhythm.voiced_per_second", len(runs) / seconds if seconds else 0.0
    yield "rhythm.loudness_peaks_per_second", peaks.sum() / seconds if seconds else 0.0
    for name, lengths in (("voiced", runs), ("unvoiced", gaps)):
        times = lengths / STEPS_A_SECOND if len(lengths) else np.zeros(1)
        yield f"rhythm.{name}_seconds.mean", times.mean()
        yield f"rhythm.{name}_seconds.deviation", times.std()
        yield f"rhythm.{name}_seconds.max", times.max()


def _envelope(level: Array) -> Named:
    """Level at places from the first to the last spoken step, less its mean."""
    places = np.zeros(NUM_ENVELOPE)
    if len(level):
        at = np.linspace(0, len(level) - 1, NUM_ENVELOPE)
        places = np.interp(at, np.arange(len(level)), level) - level.mean()
    for number, value in enumerate(places):
        yield f"level_db.place_{number}", value


def _rates(loudness: Array) -> Named:
    """Yield logarithms of the spectrum of the loudness contour, in parts of its mean."""
    magnitudes = np.zeros(NUM_RATES)
    if len(loudness):
        contour = (loudness / (loudness.mean() + 1e-9) - 1) * np.hanning(len(loudness))
        turns = -(-len(contour) // RATE_STEPS)  # a longer clip has finer bins: take every turns-th
        spectrum = np.abs(np.fft.rfft(contour, turns * RATE_STEPS))[::turns]
        magnitudes = spectrum[1 : NUM_RATES + 1]
    for number, value in enumerate(np.log(magnitudes + LEAST), start=1):
        yield f"loudness.rate_{number}", value


def _cepstrum(name: str, values: Array, spoken: Steps, loud: Steps) -> Named:
    """Spread over what is spoken and over its loud steps, spread of slopes, means of parts."""
    for where, chosen in (("spoken", spoken), ("loud", loud)):
        yield from itertools.islice(_spread(f"{where}.{name}", values[chosen]), 2)
        for percentile in (10, 50, 90):
            part = values[chosen]
            value = float(np.percentile(part, percentile)) if len(part) else 0.0
            yield f"{where}.{name}.p{percentile}", value
    inside = values[spoken]
    slope = np.gradient(inside) if len(inside) > 1 else np.zeros(1)
    yield f"slope.{name}.deviation", slope.std()
    for percentile in (10, 90):
        yield f"slope.{name}.p{percentile}", float(np.percentile(slope, percentile))
    yield from _course(name, inside)


def _names() -> Sequence[str]:
    return [name for name, _ in _measure(np.zeros((1, len(VOICE_STEPS)), np.float32))]


VOICE_FUNCTIONALS = tuple(_names())
