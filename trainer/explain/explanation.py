"""Explanation of a prediction: attention and probabilities over time, in memory and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.training.predict import Attention

WINDOW_SECONDS, HOP_SECONDS = 1.0, 0.25
# Points of a curve in JSON: more than a panel of a report has room for.
POINTS = 240


@dataclass(frozen=True)
class Windows:
    """Probabilities that heads give windows of a clip, each as if it were the whole clip.

    Args:
        times: (W,) seconds: the middle of each window.
        probabilities: (W, C), each row sums to 1.
        seconds: length of a window; of a clip that is shorter, the clip's.
    """

    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    seconds: float


@dataclass(frozen=True)
class Explanation:
    """A clip's prediction by a run's heads, and its course over time.

    Shapes (C classes): ``probabilities``: (C,), sum to 1.

    Args:
        clip: its id in the run, or the file's name of a clip that the run doesn't know.
        label: its class; None where nobody said.
        prediction: the most probable class; None where nothing could be read of the clip.
        probabilities: the mean over the heads.
        classes: in the order of the probabilities.
        attention: modality to the weights of its steps, the mean over the heads. It has one step
            where a head sees the statistics of the whole clip, none where the clip lacks it.
        windows: probabilities over time.
        num_heads: number of heads averaged.
        fold: number of the fold that tested the clip; None without cross-validation.
        speaker: who speaks; None where it isn't known.
        untrained: whether random weights stand behind the features.
    """

    clip: str
    label: str | None
    prediction: str | None
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    attention: Mapping[str, Attention]
    windows: Windows
    num_heads: int
    fold: int | None = None
    speaker: str | None = None
    untrained: bool = False

    def to_json(self, points: int = POINTS) -> dict[str, Any]:
        """Return compact JSON for ``panel.js``: integers, at most ``points`` points a curve.

        Probabilities are in thousandths, times in milliseconds, each as the difference to the one
        before. Attention is in percent of an equal share, so that 100 is what each step would have
        if all had the same; where steps are too many, neighbours are averaged.
        """
        attention = {}
        for name, part in self.attention.items():
            times, weights = thin(points, part.times, part.weights * len(part.weights))
            attention[name] = {
                "steps": len(part.times),
                "times": _differences(times),
                "weights": _integers(100 * weights),
            }
        times, probabilities = thin(points, self.windows.times, self.windows.probabilities)
        return {
            "clip": self.clip,
            "label": self.label,
            "prediction": self.prediction,
            "classes": list(self.classes),
            "probabilities": _integers(1000 * self.probabilities),
            "attention": attention,
            "windows": {
                "milliseconds": round(1000 * self.windows.seconds),
                "times": _differences(times),
                "probabilities": [_integers(1000 * row) for row in probabilities],
            },
            "heads": self.num_heads,
            "fold": self.fold,
            "speaker": self.speaker,
            "untrained": self.untrained,
        }


def thin(
    points: int, times: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average neighbours until at most ``points`` are left.

    Args:
        points: at least 1.
        times: (L,).
        values: (L, ...).
    """
    if len(times) <= points:
        return times, values
    starts = np.linspace(0, len(times), points, endpoint=False).astype(np.int64)
    counts = np.diff([*starts, len(times)])
    means = np.add.reduceat(values, starts, axis=0)
    means /= counts.reshape(-1, *[1] * (values.ndim - 1))
    return np.add.reduceat(times, starts) / counts, means


def _differences(times: NDArray[np.float64]) -> list[int]:
    return [int(value) for value in np.diff(np.rint(1000 * times), prepend=0.0)]


def _integers(values: NDArray[np.float64]) -> list[int]:
    return [int(value) for value in np.rint(values)]
