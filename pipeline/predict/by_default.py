"""Answers of the network that avfuse ships, about any video or picture: no run, no training.

It was trained on still faces. Each frame with a face gets the probabilities of its eight classes,
from the frame and its mirror image; the video's are their mean over those frames.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from extractors.running.settings import NetworkSettings
from extractors.running.still_classifier import StillClassifier, load_still_classifier
from extractors.view_settings import PREDICTED_VIEWS, VIEW_SETS
from extractors.weights.class_names import SEVEN
from extractors.weights.default import DEFAULT_NETWORK
from pipeline.extract.job import ClipResult
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, WeightsChoice, choose_default
from pipeline.faces.settings import DETECTORS, PERSON
from pipeline.inspect.cells import read_faces
from pipeline.inspect.shown import find_shown
from pipeline.predict.answer import Answer, Curve, seven_of
from pipeline.predict.picture import Picture, film_pictures
from pipeline.predict.worth import Worth, describe_worth, worth_of_weights

NOTE = (
    "From the default network alone: trained on the still faces of FER+, frame by frame, no sound."
)
ADVICE = "Treat it as a hint."

BLOCK = 4096  # frames classified at a time


@dataclass(frozen=True)
class Answers:
    """Answers of the default network about some videos.

    Attributes:
        videos: one answer each, in order.
        classifier: the network, with its classes and what was measured on it.
        digest: of its weights.
    """

    videos: tuple[Answer, ...]
    classifier: StillClassifier
    digest: str

    @property
    def worth(self) -> Worth | None:
        """Worth of the answers, as the weight file states it; None where nothing was answered."""
        answered = [answer for answer in self.videos if answer.prediction is not None]
        film = any(not answer.is_picture for answer in answered)
        return worth_of_weights(self.classifier.facts, film=film) if answered else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Origin and worth of the answers, in sentences; none where nothing was answered."""
        return (NOTE, *describe_worth(self.worth), ADVICE) if self.worth else ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that ``avfuse predict`` prints."""
        facts = self.classifier.facts
        return {
            "run": None,
            "note": " ".join(self.notes) or None,
            "worth": self.worth and self.worth.to_json(),
            "network": facts.network,
            "weights": self.digest,
            "temperature": facts.temperature,
            "logit_bias": dict(zip(facts.classes, facts.logit_bias, strict=False)),
            "untrained": False,
            "classes": list(SEVEN),
            "network_classes": list(self.classifier.classes),
            "heads": 0,
            "videos": [answer.to_json() for answer in self.videos],
        }


def ask_default_network(
    videos: Sequence[Path],
    *,
    settings: StageOneSettings | None = None,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
    cache: Path | None = None,
) -> Answers:
    """Find the faces of videos and pictures and classify each frame, with avfuse's own network.

    Args:
        videos: any video files, and still pictures.
        settings: of stage one; ``PREDICTED_VIEWS`` of each crop if left out.
        weights: of the second detector of faces; see ``parse_weights``.
        device: see ``plan_sets``.
        jobs: worker processes; 0 works in this one.
        cache: where the features go; a temporary folder if left out.

    Raises:
        PlanError: the default network or the settings can't be used, weights are of another
            network, or a signal came.
        extractors.weights.files.WeightsError: its file is missing, damaged or of another network.
        OSError: something can't be read or written.
    """
    weights = weights or {}
    for name in weights.keys() - DETECTORS:
        raise PlanError(
            f"--weights {name}=...: without a run the network is the one that avfuse ships; only a "
            f"detector of faces ({', '.join(DETECTORS)}) can be given, or name a run"
        )
    settings = settings or StageOneSettings(
        network=NetworkSettings(views=VIEW_SETS[PREDICTED_VIEWS])
    )
    policy = settings.faces.policy
    if cache is None and policy.startswith(PERSON):
        raise PlanError(
            f"faces.policy={policy} needs a cache whose persons are known, and single files have "
            "none; take another policy, such as largest or central"
        )
    choice = choose_default(DEFAULT_NETWORK)
    classifier = _load(choice)
    with tempfile.TemporaryDirectory(prefix="avfuse-predict-") as folder:
        own = Path(folder)
        plan = plan_sets(
            [DEFAULT_NETWORK],
            settings,
            {**weights, DEFAULT_NETWORK: choice},
            cache=cache or own / "cache",
            device=device,
        )
        clips = [Clip(f"video-{number}", path.absolute()) for number, path in enumerate(videos)]
        results: dict[str, ClipResult] = {}
        pictures: dict[str, Picture] = {}
        for batch, filmed in film_pictures(clips, own, settings.decode.max_pixels):
            summary = run_extract(batch, plan, jobs=jobs, tell_failures=False)
            if summary.interrupted:
                signal.raise_signal(summary.interrupted)
            results |= {result.clip: result for result in summary.clips}
            pictures |= filmed
        answers = tuple(
            _answer(clip.path, results.get(clip.id), pictures.get(clip.id), plan, classifier)
            for clip in clips
        )
    return Answers(answers, classifier, str(plan.sets[-1].spec.weights))


def _load(choice: WeightsChoice) -> StillClassifier:
    if choice.file is None:
        raise PlanError("the default network has a file")
    classifier = load_still_classifier(choice.file)
    lacking = sorted(set(SEVEN) - set(classifier.classes))
    if lacking:
        raise PlanError(f"{choice.file} can't tell {', '.join(lacking)}; install avfuse again")
    return classifier


def _answer(
    path: Path,
    result: ClipResult | None,
    picture: Picture | None,
    plan: Plan,
    classifier: StillClassifier,
) -> Answer:
    """Answer about one file; ``result`` is None for a picture that can't be read."""
    faces = None
    made = result.sets.values() if result is not None else ()
    why = list(dict.fromkeys(reason for one in made for reason in one.why))
    state = "failed" if result is None else result.state
    if picture is not None and state != "failed":
        why = []  # what is left of one frame is said below
    if result is None or state == "failed":
        nothing = np.zeros((0, len(classifier.classes)))
        curve = Curve(nothing[:, 0], nothing[:, 0].astype(np.uint8), nothing, classifier.classes)
    else:
        feature_set = FeatureSet(plan.cache, plan.sets[-1].spec)
        curve = _read_curve(feature_set, result.clip, classifier)
        if picture is None and len(curve.times):
            faces = read_faces(
                Clip(result.clip, path), find_shown(plan.cache, feature_set.folder.name)
            )
        if not curve.has_face.any():
            why.append(_no_face(curve, picture))
    own = curve.mean()
    seven = None if own is None else seven_of(np.array([[*own.values()]]), [*own])[0].tolist()
    return Answer(
        path,
        state,
        (*(picture.why if picture else ()), *why),
        curve,
        own,
        None if seven is None else dict(zip(SEVEN, seven, strict=True)),
        notes=result.notes if result is not None and picture is None else (),
        is_picture=picture is not None,
        faces=faces,
    )


def _read_curve(feature_set: FeatureSet, clip: str, classifier: StillClassifier) -> Curve:
    """Classify the frames of an entry; the embeddings of hours are not read at once.

    Where a crop has several views, it is the mean of their embeddings that is classified: as the
    classifier is linear, the mean of their logits, and so the geometric mean of their odds.
    """
    with feature_set.open_entry(clip) as opened:
        rows = opened.rows["mean" if "mean" in opened.rows else "basic"]
        parts = [np.zeros((0, len(classifier.classes)))]
        for start in range(0, len(rows), BLOCK):
            parts.append(classifier.classify(rows[slice(start, start + BLOCK)]))
        times, rung = (opened.rows[name][slice(None)] for name in ("times", "rung"))
    return Curve(times, rung, np.concatenate(parts), classifier.classes)


def _no_face(curve: Curve, picture: Picture | None) -> str:
    count = len(curve.times)
    if picture is not None:
        return "no face was found in it, so no emotion is named"
    if count:
        return f"no face was found in any of its {count} frames, so no emotion is named"
    return "it has no picture, and this network looks at faces only: no emotion is named"
