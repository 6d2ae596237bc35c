"""Channels of sound made into one, so that a voice in them is neither cancelled nor buried.

The rule, decided on the whole clip and in this order:

1. A centre channel that carries sound (at most 20 dB below the loudest other one) is kept alone:
   films put the voice there, and music and rooms into the others.
2. Else the channels are averaged: those at the sides and the back count 0.7, as in ITU-R BS.775,
   the bass channel nothing, and silent ones (40 dB below the loudest) nothing.
3. Where an average has less than a quarter of the energy that its channels have singly, they cancel
   each other, as an inverted cable makes them: one channel is kept, the first that isn't 3 dB below
   the loudest.

Ordinary stereo, and channels whose places nobody names, come to the plain mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np

BASS = ("LFE", "LFE2")
FRONT = ("FL", "FR", "FC", "FLC", "FRC", "DL", "DR")
CENTRE_CARRIES = 0.01  # of the energy of the loudest other channel
SILENT = 1e-4  # of the energy of the loudest channel
CANCELLED = 0.25
MUCH_QUIETER = 0.5
SIDE_WEIGHT = 0.5**0.5


@dataclass(frozen=True)
class Mix:
    """Weights with which channels become one.

    Args:
        weights: one a channel; None for the plain mean.
        note: what was chosen where it isn't the plain mean, as ``kind: sentence``.
    """

    weights: tuple[float, ...] | None = None
    note: str = ""

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Mix channels, (C, n), into one, (n,), of the same type."""
        if self.weights is None or len(self.weights) != len(values):
            result: np.ndarray = values.mean(axis=0)
            return result
        mixed = np.zeros(values.shape[1], values.dtype)
        for weight, channel in zip(self.weights, values, strict=True):
            if weight:
                mixed += channel * values.dtype.type(weight)
        return mixed


def choose_mix(layout: str, names: Sequence[str], products: np.ndarray) -> Mix:
    """Choose what is kept of a clip's channels, see the module.

    Args:
        layout: name of the layout.
        names: FFmpeg's names of the channels, such as FL, FR, FC, LFE, BL, BR.
        products: (C, C) sums of the products of channels over the clip; energies on the diagonal.
    """
    energy = np.diag(products)
    heard = np.array([name not in BASS for name in names])
    loudest = energy[heard].max(initial=0.0)
    if len(names) < 2 or not 0 < loudest < np.inf:
        return Mix()
    if "FC" in names and len(names) > 2:
        centre = list(names).index("FC")
        others = energy[heard & (np.arange(len(names)) != centre)].max(initial=0.0)
        if energy[centre] >= CENTRE_CARRIES * others:
            return Mix(_one(centre, len(names)), f"channels: the centre of {layout} is kept")
    alive = heard & (energy >= SILENT * loudest)
    side = np.array([len(names) > 2 and _is_placed(names) and name not in FRONT for name in names])
    weights = np.where(side, SIDE_WEIGHT, 1.0) * alive
    weights /= weights.sum()
    if weights @ products @ weights < CANCELLED * (weights**2 @ energy):
        first = int(np.argmax(alive & (energy >= MUCH_QUIETER * loudest)))
        note = "channels: they cancel each other in an average; one is kept"
        return Mix(_one(first, len(names)), note)
    if len(set(weights)) == 1:
        return Mix()
    if len(names) == 2:
        note = "channels: one of two is silent; the other is kept"
    elif _is_placed(names):
        note = f"channels: those of {layout} are averaged, sides and back at 0.7, without the bass"
    else:
        note = "channels: silent ones are left out of the average"
    return Mix(tuple(weights.tolist()), note)


def _is_placed(names: Sequence[str]) -> bool:
    return any(name in FRONT for name in names)


def _one(channel: int, count: int) -> tuple[float, ...]:
    return tuple(float(number == channel) for number in range(count))


def read_channels(frame: av.AudioFrame) -> np.ndarray:
    """Return a decoded piece of sound as numbers of full scale 1.

    Shapes (C channels, n samples):
        result: (C, n), float32; nan and inf become 0.

    Raises:
        ValueError: the sample format is unknown.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    values = samples.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return values


def coarse(values: np.ndarray, rate: int) -> np.ndarray:
    """Sum neighbouring samples until some 8 kHz are left: above speech, codecs fill in noise.

    Shapes (C channels, n samples):
        ``values``: (C, n).
        result: (C, n divided by a whole number).
    """
    step = max(1, rate // 8_000)
    length = values.shape[1] // step * step
    result = values[:, 0:length:step].copy()
    for offset in range(1, step):
        result += values[:, offset:length:step]
    return result
