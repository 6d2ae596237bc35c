"""What the network that avfuse ships says of any video, alone: no run, no sound, no training.

It was trained on still faces. Each frame with a face gets the probabilities of its eight classes;
the video's are their mean over those frames.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from extractors.running.settings import NetworkSettings
from extractors.running.still_classifier import StillClassifier, load_still_classifier
from extractors.views import VIEW_SETS
from extractors.weights.default import DEFAULT_NETWORK
from pipeline.extract.job import ClipResult
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, WeightsChoice, choose_default
from pipeline.faces.tracks import BoxSource

# FER+'s names for the seven classes of AFEW. Contempt is none of them. It isn't joined to one: on
# the faces of FER+ whose majority says contempt, the other votes go to neutral (42 %), disgust
# (18 %), sadness (16 %) and anger (12 %). So the answer is P(class | it is one of the seven).
SEVEN = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprise",
}
NOTE = "the default network alone: trained on the still faces of FER+, frame by frame, no sound"


@dataclass(frozen=True)
class Curve:
    """What a video's frames look like to a network of stills.

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
        """Which frames have a face, (T,)."""
        result: NDArray[np.bool_] = self.rung != BoxSource.WHOLE
        return result

    def mean(self) -> dict[str, float] | None:
        """Mean probabilities over the frames with a face; None if there are none."""
        if not self.has_face.any():
            return None
        mean = self.probabilities[self.has_face].mean(axis=0)
        return dict(zip(self.classes, mean.tolist(), strict=True))

    def to_json(self) -> list[dict[str, Any]]:
        """One object per frame; a frame without a face has no probabilities."""
        return [
            {
                "time_seconds": round(float(time), 6),
                "face": BoxSource(rung).name.lower(),
                "probabilities": (
                    None
                    if rung == BoxSource.WHOLE
                    else {
                        name: round(float(value), 4)
                        for name, value in zip(self.classes, row, strict=True)
                    }
                ),
            }
            for time, rung, row in zip(self.times, self.rung, self.probabilities, strict=True)
        ]


@dataclass(frozen=True)
class Answer:
    """What is said of one video.

    Attributes:
        video: its path.
        state: ``ok``, ``partial`` or ``failed``.
        why: what is missing, and why there is no answer where there is none.
        curve: of its frames; without rows where it failed.
        own: mean probabilities of the network's own classes; None without a face.
        probabilities: of the seven classes, summing to 1; None without a face.
    """

    video: Path
    state: str
    why: tuple[str, ...]
    curve: Curve
    own: dict[str, float] | None
    probabilities: dict[str, float] | None

    @property
    def prediction(self) -> str | None:
        """The likeliest of the seven classes."""
        if self.probabilities is None:
            return None
        return max(self.probabilities.items(), key=lambda item: item[1])[0]

    def to_json(self) -> dict[str, Any]:
        """What the command prints of one video."""
        return {
            "video": str(self.video),
            "state": self.state,
            "why": list(self.why),
            "untrained": False,
            "prediction": self.prediction,
            "probabilities": self.probabilities,
            "network_probabilities": self.own,
            "frames": len(self.curve.times),
            "frames_with_face": int(self.curve.has_face.sum()),
            "curve": self.curve.to_json(),
        }


@dataclass(frozen=True)
class Answers:
    """What the default network says of some videos, and what it is.

    Attributes:
        videos: one answer each, in order.
        classifier: its classes, and what was measured on it.
        digest: of its weights.
    """

    videos: tuple[Answer, ...]
    classifier: StillClassifier
    digest: str

    @property
    def note(self) -> str:
        """What the answers come from, in one line."""
        accuracy = self.classifier.facts.accuracy
        return NOTE + (f"; it is right on {accuracy}" if accuracy else "")

    def to_json(self) -> dict[str, Any]:
        """What the command prints."""
        return {
            "run": None,
            "note": self.note,
            "network": self.classifier.facts.network,
            "weights": self.digest,
            "untrained": False,
            "classes": sorted(SEVEN.values()),
            "network_classes": list(self.classifier.classes),
            "heads": 0,
            "videos": [answer.to_json() for answer in self.videos],
        }


def ask_default_network(
    videos: Sequence[Path],
    *,
    settings: StageOneSettings | None = None,
    device: str = "auto",
    jobs: int = 0,
    cache: Path | None = None,
) -> Answers:
    """Find the faces of videos and classify each frame.

    Args:
        videos: any video files.
        settings: of stage one; the crop alone as the only view if left out.
        device: see ``plan_sets``.
        jobs: worker processes; 0 works in this one.
        cache: where the features go; a temporary folder if left out.

    Raises:
        PlanError: the default network can't be used, or a signal came.
        extractors.weights.files.WeightsError: its file is missing, damaged or of another network.
        OSError: something can't be read or written.
    """
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="avfuse-predict-") as folder:
            return ask_default_network(
                videos, settings=settings, device=device, jobs=jobs, cache=Path(folder)
            )
    choice = choose_default(DEFAULT_NETWORK)
    classifier = _load(choice)
    clips = [Clip(f"video-{number}", path.absolute()) for number, path in enumerate(videos)]
    settings = settings or StageOneSettings(network=NetworkSettings(views=VIEW_SETS["basic"]))
    plan = plan_sets(
        [DEFAULT_NETWORK], settings, {DEFAULT_NETWORK: choice}, cache=cache, device=device
    )
    summary = run_extract(clips, plan, jobs=jobs)
    if summary.interrupted:
        signal.raise_signal(summary.interrupted)
    results = {result.clip: result for result in summary.clips}
    answers = tuple(_answer(clip, results[clip.id], plan, classifier) for clip in clips)
    return Answers(answers, classifier, str(plan.sets[-1].spec.weights))


def seven_of(own: dict[str, float]) -> dict[str, float]:
    """Map the network's probabilities to the seven classes, rescaled to sum to 1; see ``SEVEN``."""
    kept = {name: own[theirs] for theirs, name in SEVEN.items() if theirs in own}
    total = sum(kept.values())
    return {name: kept[name] / total if total else 1 / len(kept) for name in sorted(kept)}


def _load(choice: WeightsChoice) -> StillClassifier:
    if choice.file is None:
        raise PlanError("the default network has a file")
    classifier = load_still_classifier(choice.file)
    lacking = sorted(set(SEVEN) - set(classifier.classes))
    if lacking:
        raise PlanError(f"{choice.file} can't tell {', '.join(lacking)}; install avfuse again")
    return classifier


def _answer(clip: Clip, result: ClipResult, plan: Plan, classifier: StillClassifier) -> Answer:
    made = result.sets.values()
    why = list(dict.fromkeys(reason for one in made for reason in one.why))
    if result.state == "failed":
        nothing = np.zeros((0, len(classifier.classes)))
        curve = Curve(nothing[:, 0], nothing[:, 0].astype(np.uint8), nothing, classifier.classes)
    else:
        entry = FeatureSet(plan.cache, plan.sets[-1].spec).read(clip.id)
        curve = Curve(
            entry.arrays["times"],
            entry.arrays["rung"],
            classifier.classify(entry.arrays["basic"]),
            classifier.classes,
        )
        if not curve.has_face.any():
            count = len(curve.times)
            why.append(
                f"no face was found in any of its {count} frames, so no emotion is named"
                if count
                else "it has no picture, and this network looks at faces only: no emotion is named"
            )
    own = curve.mean()
    return Answer(
        clip.path, result.state, tuple(why), curve, own, None if own is None else seven_of(own)
    )
