"""Alignment of takes of the same sentences, so that voices are compared place by place.

RAVDESS has two sentences, so a take's steps can be laid along a template of what is said; a vowel
is then compared with the same vowel. A template is made of training clips alone, whose sentence is
known (their emotion takes no part); which one a new clip says is found by the cost of aligning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from benchmarks.science.pitch import cut_frames, track_pitch
from benchmarks.science.voice import loudness_of, semitones_of, spectrum_of, tilt_of

Array = NDArray[np.float64]
SHORTENED = 2  # steps of 10 ms in one of the alignment
NUM_CEPSTRA = 14
NUM_CONTOUR_CEPSTRA = 16
PITCH, LOUDNESS = NUM_CONTOUR_CEPSTRA, NUM_CONTOUR_CEPSTRA + 2  # columns of a contour
NUM_PLACES = 20
MOST_SKIPPED = 3  # steps of a template that a take may leap at once
SKIP_COST = 1.0
LOOSE_ENDS = 4  # steps of a template within which a take may begin and end
ROUNDS = 2
MOST_TAKES = 199  # that a template is made of
BATCH = 256
FAR = 1e9


class Alignment(NamedTuple):
    """Places of the steps of N takes along a template of S steps.

    Args:
        places: (N, T) step of the template, -1 past a take's end.
        costs: (N,) mean distance of a step from its place.
    """

    places: NDArray[np.int16]
    costs: Array


def contour(waveform: np.ndarray, logmel: np.ndarray) -> np.ndarray:
    """Describe every step of 10 ms: (T, 26) cepstra, pitch, voicing, loudness, tilt, strength."""
    pitch = track_pitch(waveform)
    power, hertz = spectrum_of(cut_frames(waveform))
    steps = len(pitch.hertz)
    cepstra = dct(logmel, axis=1, norm="ortho")[:, :NUM_CONTOUR_CEPSTRA]
    cepstra = cepstra[np.minimum(np.arange(steps), len(cepstra) - 1)]
    voiced = pitch.hertz > 0
    semitones = semitones_of(pitch.hertz)
    if voiced.sum() > 1:
        semitones = np.interp(np.arange(steps), np.flatnonzero(voiced), semitones[voiced])
    loudness = np.log(loudness_of(power, hertz) + 1e-3)
    columns = [cepstra, semitones, voiced, loudness, tilt_of(power, hertz), pitch.strength]
    return np.column_stack(columns).astype(np.float32)


def steps_to_align(logmel: np.ndarray) -> np.ndarray:
    """Return the features to align by: cepstra freed of level and voice, and slopes, (T/2, 28)."""
    steps = logmel[: len(logmel) // SHORTENED * SHORTENED]
    steps = steps.reshape(-1, SHORTENED, steps.shape[1]).mean(axis=1)
    cepstra = dct(steps, axis=1, norm="ortho")[:, :NUM_CEPSTRA].copy()
    energy = steps.mean(axis=1)
    level = energy - np.percentile(energy, 95)
    loud = cepstra[level > -4, 1:]
    cepstra[:, 1:] = (cepstra[:, 1:] - loud.mean(axis=0)) / (loud.std(axis=0) + 0.3)
    cepstra[:, 0] = np.maximum(level / 1.5, -4.0)
    slopes = 1.5 * np.gradient(cepstra, axis=0)
    return np.concatenate([cepstra, slopes], axis=1).astype(np.float32)


def align(template: np.ndarray, takes: Sequence[np.ndarray]) -> Alignment:
    """Lay takes along a template by dynamic programming.

    Args:
        template: (S, D).
        takes: (T, D) each; every step gets a place, and places never go back.
    """
    longest = max(map(len, takes))
    places = np.full((len(takes), longest), -1, np.int16)
    costs = np.zeros(len(takes))
    for start in range(0, len(takes), BATCH):
        part = slice(start, start + BATCH)
        _align_batch(template, takes[part], places[part], costs[part])
    return Alignment(places, costs)


def _align_batch(
    template: np.ndarray, takes: Sequence[np.ndarray], places: np.ndarray, costs: np.ndarray
) -> None:
    lengths = np.array([len(take) for take in takes])
    count, longest, size = len(takes), int(lengths.max()), len(template)
    padded = np.zeros((count, longest, template.shape[1]), np.float32)
    for row, take in enumerate(takes):
        padded[row, : len(take)] = take
    squares = (padded**2).sum(axis=2)[..., None] + (template**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares - 2 * padded @ template.T, 0.0))
    total = np.full((count, size), FAR, np.float32)
    total[:, :LOOSE_ENDS] = distance[:, 0, :LOOSE_ENDS]
    back = np.zeros((count, longest, size), np.int8)
    final = total.copy()
    for step in range(1, longest):
        best, leaps = total.copy(), np.zeros((count, size), np.int8)
        for leap in range(1, MOST_SKIPPED + 1):
            reached = np.full_like(total, FAR)
            reached[:, leap:] = total[:, :-leap] + SKIP_COST * (leap - 1)
            better = reached < best
            best[better], leaps[better] = reached[better], leap
        total, back[:, step] = best + distance[:, step], leaps
        ended = lengths == step + 1
        final[ended] = total[ended]
    rows = np.arange(count)
    place = size - LOOSE_ENDS + final[:, -LOOSE_ENDS:].argmin(axis=1)
    costs[:] = final[rows, place] / lengths
    for step in range(longest - 1, -1, -1):
        inside = step < lengths
        places[inside, step] = place[inside]
        place = np.where(inside, place - back[rows, step, place], place)


def make_template(takes: Sequence[np.ndarray]) -> np.ndarray:
    """Make the template of one sentence: a take of usual length, then means of aligned takes."""
    chosen = np.random.default_rng(0).permutation(len(takes))[:MOST_TAKES]
    takes = sorted((takes[i] for i in chosen), key=len)
    template = takes[len(takes) * 2 // 5]
    for _ in range(ROUNDS):
        places = align(template, takes).places
        total, count = np.zeros_like(template), np.zeros(len(template))
        for row, take in zip(places, takes, strict=True):
            np.add.at(total, row[: len(take)], take)
            np.add.at(count, row[: len(take)], 1)
        mean = total / np.maximum(count, 1)[:, None]
        template = np.where(count[:, None] > 0, mean, template).astype(np.float32)
    return template


def aligned_functionals(contours: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Means of a take's contours over equal parts of the template, and how long each part takes.

    Args:
        contours: (T, 26) of ``contour``.
        places: (T / 2,) of the take, the first numbers of a row of ``Alignment.places``.
        size: S, steps of the template.

    Returns:
        (580,) float32. A part that the take leaps over gets the means of the one before.
    """
    parts = np.repeat(
        np.minimum(places.astype(int) * NUM_PLACES // size, NUM_PLACES - 1), SHORTENED
    )
    parts = np.pad(parts, (0, max(0, len(contours) - len(parts))), mode="edge")[: len(contours)]
    values = contours[: len(parts)].astype(np.float64)
    count = np.bincount(parts, minlength=NUM_PLACES)
    means = np.zeros((NUM_PLACES, values.shape[1]))
    np.add.at(means, parts, values)
    means /= np.maximum(count, 1)[:, None]
    for part in np.flatnonzero(count == 0):
        means[part] = means[part - 1] if part else values[0]
    relative = means[:, [PITCH, LOUDNESS]] - means[:, [PITCH, LOUDNESS]].mean(axis=0)
    return np.concatenate([means.ravel(), np.log(count + 2.0), relative.T.ravel()]).astype(
        np.float32
    )
