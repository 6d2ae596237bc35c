"""Answer of the default network about one video or picture, and a video's curve over time.

Nothing here loads PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cache.entries.coverage import Coverage
from extractors.weights.class_names import SEVEN
from pipeline.faces.tracks import BoxSource, measure_coverage

if TYPE_CHECKING:
    from pipeline.inspect.cells import ClipFaces

# What every picture of an answer says beside it.
HINT = "a hint: the default network alone"


@dataclass(frozen=True)
class Curve:
    """Probabilities of a video's frames, by a network of still images.

    Shapes (T frames, C classes):
        ``times``: (T,), seconds. ``rung``: (T,), ``BoxSource``.
        ``probabilities``: (T, C); rows of frames without a face mean nothing.

    Attributes:
        times: see above.
        rung: see above.
        probabilities: see above.
        classes: names of the C classes.
    """

    times: NDArray[np.float64]
    rung: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """True for the frames with a face, (T,)."""
        result: NDArray[np.bool_] = self.rung != BoxSource.WHOLE
        return result

    @property
    def coverage(self) -> Coverage:
        """Frames with a face, seen and followed."""
        return measure_coverage(self.rung, self.times)

    def of_seven(self) -> NDArray[np.float64]:
        """Return the probabilities of the seven classes, (T, 7); nan where there is no face."""
        return np.where(self.has_face[:, None], seven_of(self.probabilities, self.classes), np.nan)

    def mean(self) -> dict[str, float] | None:
        """Mean probabilities over the frames with a face; None if there are none.

        Nothing else was better: weights by confidence, smoothing, geometric mean, median and the
        surest frames alone, on AFEW's training clips. `python -m benchmarks.science.clip_pooling`.
        """
        if not self.has_face.any():
            return None
        mean = self.probabilities[self.has_face].mean(axis=0)
        return dict(zip(self.classes, mean.tolist(), strict=True))

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per frame; a frame without a face has no probabilities."""
        return [
            {
                "time_seconds": round(float(time), 6),
                "face": BoxSource(source).name.lower(),
                "probabilities": (
                    None
                    if source == BoxSource.WHOLE
                    else {
                        name: round(float(value), 4)
                        for name, value in zip(self.classes, row, strict=True)
                    }
                ),
            }
            for time, source, row in zip(self.times, self.rung, self.probabilities, strict=True)
        ]


@dataclass(frozen=True)
class Answer:
    """Answer about one video or picture.

    Attributes:
        video: the file's path.
        state: ``ok``, ``partial`` or ``failed``.
        why: what is missing, and why there is no answer where there is none.
        curve: of its frames; without rows where it failed.
        own: mean probabilities of the network's own classes; None without a face.
        probabilities: of the seven classes, summing to 1; None without a face.
        notes: what is odd of the video but harmless, each as ``kind: sentence``.
        is_picture: whether it is one still picture, in which nothing is seen to change.
        faces: the chosen face of every frame; None where it failed or is a picture.
    """

    video: Path
    state: str
    why: tuple[str, ...]
    curve: Curve
    own: dict[str, float] | None
    probabilities: dict[str, float] | None
    notes: tuple[str, ...] = ()
    is_picture: bool = False
    faces: ClipFaces | None = None

    @property
    def prediction(self) -> str | None:
        """Likeliest of the seven classes; None without a face."""
        if self.probabilities is None:
            return None
        return max(self.probabilities.items(), key=lambda item: item[1])[0]

    def to_json(self) -> dict[str, Any]:
        """Return the video's part of the JSON that ``avfuse predict`` prints."""
        return {
            "video": str(self.video),
            "kind": "picture" if self.is_picture else "clip",
            "state": self.state,
            "why": list(self.why),
            "notes": list(self.notes),
            "untrained": False,
            "prediction": self.prediction,
            "probabilities": self.probabilities,
            "network_probabilities": self.own,
            **self.curve.coverage.count_frames(),
            "curve": [] if self.is_picture else self.curve.to_json(),
        }


def seven_of(probabilities: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities of the seven classes, rescaled to sum to 1.

    Contempt is none of them. It isn't joined to one: on the faces of FER+ whose majority says
    contempt, the other votes go to neutral (42 %), disgust (18 %), sad (16 %) and angry (12 %). So
    the answer is P(class | it is one of the seven).

    Shapes (N rows, C classes):
        ``probabilities``: (N, C).
        result: (N, 7), in the order of ``SEVEN``, rows that sum to 1.

    Args:
        probabilities: see above.
        classes: names of the C classes, the seven among them.
    """
    kept = probabilities[:, [list(classes).index(name) for name in SEVEN]]
    total = kept.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.where(total > 0, kept, 1) / np.where(total > 0, total, 7)
    return result
