"""The known picture and the known sound: each frame carries its number, each moment its sound.

A frame is eight columns of two blocks. A column is one bit of the number: the bright block is on
top for a 1, below for a 0. Each bit therefore stands there twice, once inverted, and a frame whose
blocks don't differ is refused instead of misread. Blocks are large enough for any codec and scale.

The sound is noise between 300 and 3,400 Hz, which every rate and codec carries. No two moments of
noise are alike, so that its cross-correlation with what was decoded tells the time to a sample.
"""

from __future__ import annotations

from functools import cache

import numpy as np

WIDTH, HEIGHT = 160, 96
BITS = 8  # up to 255 frames
SECONDS = 4  # of sound; longer than any file
LOWEST, HIGHEST = 300, 3_400  # Hz: what telephones carry
LEVEL = 0.1  # RMS of full scale
HEARD = 16_000  # Hz; avfuse's sample rate
WINDOW = 0.25  # seconds of sound whose time is told
ALIKE = 0.5  # least correlation of sound that was found; of other noise it is below 0.1
# Colours of the columns, so that swapped channels and mirrors show.
COLOURS = np.array(
    [
        [235, 200, 200],
        [200, 235, 200],
        [200, 200, 235],
        [235, 235, 180],
        [180, 235, 235],
        [235, 180, 235],
        [220, 220, 220],
        [240, 210, 180],
    ],
    np.uint8,
)


def numbered_frame(number: int) -> np.ndarray:
    """Draw the frame of a number: (``HEIGHT``, ``WIDTH``, 3), uint8, RGB."""
    bits = (number >> np.arange(BITS)) & 1
    bright = np.stack([bits, 1 - bits])[..., None]  # (2, BITS, 1)
    blocks = np.where(bright, COLOURS, COLOURS // 5).astype(np.uint8)
    return blocks.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // BITS, axis=1)


def number_of(image: np.ndarray) -> int:
    """Read the number of an upright frame of any size.

    Raises:
        ValueError: the two blocks of a column don't differ: the frame is damaged or blended.
    """
    height, width = image.shape[:2]
    grey = image.mean(axis=2)
    number = 0
    for bit in range(BITS):
        # The middle of a block: its edges are blurred.
        columns = slice(int((bit + 0.3) * width / BITS), int((bit + 0.7) * width / BITS) + 1)
        top = float(grey[height // 8 : 3 * height // 8, columns].mean())
        bottom = float(grey[5 * height // 8 : 7 * height // 8, columns].mean())
        if abs(top - bottom) < 60:
            raise ValueError(f"bit {bit} of the frame can't be read: {top:.0f} over {bottom:.0f}")
        number |= (top > bottom) << bit
    return number


def numbers_of(images: np.ndarray) -> list[int]:
    """Read the number of every image."""
    return [number_of(image) for image in images]


@cache
def known_sound(rate: int) -> np.ndarray:
    """Compute the sound at a sample rate in Hz: (``SECONDS`` x rate,), float64.

    It is a sum of sines with fixed phases, so that it is the same sound at every rate.
    """
    count = SECONDS * rate
    spectrum = np.zeros(count // 2 + 1, complex)
    band = np.arange(LOWEST * SECONDS, HIGHEST * SECONDS)
    spectrum[band] = np.exp(2j * np.pi * np.random.default_rng(7).random(len(band)))
    sound = np.fft.irfft(spectrum, count)
    return sound * LEVEL / np.sqrt(np.mean(sound**2))


def delays_of(samples: np.ndarray, start: float) -> np.ndarray:
    """Tell by how much each window of decoded sound comes later than in the source.

    Args:
        samples: (n,), at ``HEARD`` Hz.
        start: time of the first, in seconds.

    Returns:
        A delay in seconds for each whole window in which the source's sound is found.
    """
    source = known_sound(HEARD)
    length = round(WINDOW * HEARD)
    energies = np.cumsum(np.concatenate([[0.0], source**2]))
    norms = np.sqrt(energies[length:] - energies[:-length])
    size = len(source) + length
    spectrum = np.fft.rfft(source, size)
    delays = []
    for begin in range(0, len(samples) - length + 1, length):
        window = samples[begin : begin + length].astype(np.float64)
        norm = np.sqrt(np.sum(window**2))
        if norm < 1e-3:  # silence
            continue
        products = np.fft.irfft(spectrum * np.fft.rfft(window, size).conj(), size)
        likeness = products[: len(norms)] / norms / norm
        best = int(np.argmax(likeness))
        if likeness[best] > ALIKE:
            delays.append(start + (begin - best) / HEARD)
    return np.array(delays)


def level_of(samples: np.ndarray) -> float:
    """Measure the RMS of the middle half of the samples, as a multiple of the source's."""
    quarter = len(samples) // 4
    middle = samples[quarter : 3 * quarter].astype(np.float64)
    return float(np.sqrt(np.mean(middle**2))) / LEVEL
