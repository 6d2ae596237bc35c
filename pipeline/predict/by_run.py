"""Answers of a run's heads about any video: both stages, one after the other.

The features that the heads were trained on are extracted into a temporary cache, then each head
predicts from it.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.entries.coverage import Coverage
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.extract.job import SetResult
from pipeline.extract.plan import Plan
from pipeline.extract.run import run_extract
from pipeline.extract.weights import PlanError, WeightsChoice
from pipeline.faces.tracks import BoxSource, measure_coverage
from pipeline.predict.replay import Recorded, replay_plans
from trainer.data.corpus import load_corpus
from trainer.explain.cached import load_heads
from trainer.explain.explanation import Explanation
from trainer.explain.heads import explain_steps
from trainer.explain.steps import read_steps
from trainer.runs.folder import Run
from trainer.training.predict import Attention, HeadPredictions, predict_head
from trainer.training.trained import TrainedHead


@dataclass(frozen=True)
class Extracted:
    """Videos whose features lie in a cache, as long as it is there, and the heads to ask.

    Args:
        run: the run.
        heads: all of its heads.
        cache: the folder of the features.
        clips: the videos, in order; their ids are of this cache alone.
        made: clip and set to the result of extracting it.
        faces: a set whose entries say how the face of each frame was found; None without any.
    """

    run: Run
    heads: Sequence[TrainedHead]
    cache: Path
    clips: Sequence[Clip]
    made: Mapping[str, Mapping[str, SetResult]]
    faces: FeatureSet | None

    @property
    def readable(self) -> list[Clip]:
        """The videos that have features."""
        failed = {
            clip
            for clip, results in self.made.items()
            if any(result.state == "failed" for result in results.values())
        }
        return [clip for clip in self.clips if clip.id not in failed]

    def predict(self) -> dict[str, Any]:
        """Let the heads predict; see ``predict_videos``."""
        readable = self.readable
        answers = [_predict(head, self.cache, readable) for head in self.heads if readable]
        row = {clip.id: number for number, clip in enumerate(readable)}
        described = [
            _describe(
                clip,
                self.made[clip.id],
                self.heads,
                [_pick(answer, row[clip.id]) for answer in answers if clip.id in row],
                self.faces,
            )
            for clip in self.clips
        ]
        return {
            "run": str(self.run.path),
            "untrained": any(head.untrained for head in self.heads),
            "classes": list(self.run.classes),
            "heads": len(self.heads),
            "videos": described,
        }

    def explain(self, *, device: str = "cpu") -> dict[str, Explanation]:
        """Explain the videos that have features, by all heads; by the id of the clip."""
        readable = self.readable
        if not readable:
            return {}
        steps = read_steps(self.cache, [clip.id for clip in readable], self.heads[0].settings)
        explained = explain_steps(self.heads, steps, range(len(readable)), device=device)
        return {one.clip: one for one in explained}


def predict_videos(
    run: Run,
    videos: Sequence[Path],
    *,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
) -> dict[str, Any]:
    """Extract the features that a run was trained on and let its heads predict.

    Args and errors are those of ``extract_videos``.

    Returns:
        JSON: ``run``, ``untrained``, ``classes``, ``heads`` (the number averaged) and one object
        per video: its state and the reasons, its frames, those with a face, seen and followed,
        probabilities, and the attention weight of every frame and audio step with its time.
    """
    with extract_videos(run, videos, weights=weights, device=device, jobs=jobs) as extracted:
        return extracted.predict()


@contextmanager
def extract_videos(
    run: Run,
    videos: Sequence[Path],
    *,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
) -> Iterator[Extracted]:
    """Extract the features that a run was trained on into a cache that lasts for the ``with``.

    Args:
        run: a finished run; see ``read_run``.
        videos: any video files.
        weights: parameters per network, where they are not where the run found them; see
            ``parse_weights``.
        device: see ``plan_sets``.
        jobs: worker processes; 0 works in this one.

    Raises:
        RunError: the run has no checkpoints.
        CheckpointError: a checkpoint is damaged.
        PlanError: its features can't be made again.
        StaleError: a video changed meanwhile.
        SetError: the run's record of a set is damaged.
        WeightsError: weights don't fit.
        OSError: something can't be read or written.
    """
    heads = [head for own in load_heads(run).values() for head in own]
    recorded = {
        item["key"]: Recorded(SetSpec.from_json(item["spec"]), item["provenance"])
        for item in run.info["sets"]
    }
    keys = [key for head in heads for key in head.set_keys.values()]
    clips = [Clip(f"video-{number}", path.absolute()) for number, path in enumerate(videos)]
    with tempfile.TemporaryDirectory(prefix="avfuse-predict-") as folder:
        cache = Path(folder)
        plans = replay_plans(recorded, keys, weights or {}, cache=cache, device=device)
        made = _extract(clips, plans, jobs)
        yield Extracted(run, heads, cache, clips, made, _set_with_faces(plans))


def _extract(
    clips: Sequence[Clip], plans: Sequence[Plan], jobs: int
) -> dict[str, dict[str, SetResult]]:
    """Extract every plan's sets; return the results by clip and set."""
    made: dict[str, dict[str, SetResult]] = {clip.id: {} for clip in clips}
    for plan in plans:
        summary = run_extract(clips, plan, jobs=jobs, tell_failures=False)
        if summary.interrupted:
            signal.raise_signal(summary.interrupted)
        for result in summary.clips:
            made[result.clip].update(result.sets)
    return made


def _set_with_faces(plans: Sequence[Plan]) -> FeatureSet | None:
    """Return a set whose entries say how the face of each frame was found; None without any."""
    for plan in plans:
        for planned in plan.of_kind("network"):
            return FeatureSet(plan.cache, planned.spec)
    return None


def _predict(head: TrainedHead, cache: Path, clips: Sequence[Clip]) -> HeadPredictions:
    ids = [clip.id for clip in clips]
    rows = {clip.id: clip for clip in clips}
    corpus = load_corpus(cache, ids, head.settings, clips=rows, classes=head.classes)
    if dict(corpus.set_keys) != dict(head.set_keys):
        raise PlanError("the features made for these videos are not those the head was trained on")
    return predict_head(head, corpus, range(len(clips)), attention=True)


def _pick(answer: HeadPredictions, row: int) -> tuple[np.ndarray, dict[str, Attention]]:
    """Return one clip's probabilities and attention; weights of a grid at one time are added up."""
    attention: dict[str, Attention] = {}
    for modality, per_clip in answer.attention.items():
        times, place = np.unique(per_clip[row].times, return_inverse=True)
        weights = np.zeros(len(times))
        np.add.at(weights, place, per_clip[row].weights)
        attention[modality] = Attention(times, weights)
    return answer.probabilities[row], attention


def _describe(
    clip: Clip,
    results: Mapping[str, SetResult],
    heads: Sequence[TrainedHead],
    answers: Sequence[tuple[np.ndarray, dict[str, Attention]]],
    faces: FeatureSet | None,
) -> dict[str, Any]:
    """Write one video's part of the answer; a video without features has no prediction."""
    states = {result.state for result in results.values()}
    described: dict[str, Any] = {
        "video": str(clip.path),
        "state": next((s for s in ("failed", "partial") if s in states), "ok"),
        "why": list(dict.fromkeys(why for result in results.values() for why in result.why)),
        "notes": list(dict.fromkeys(note for result in results.values() for note in result.notes)),
        "untrained": any(head.untrained for head in heads),
        "prediction": None,
        "probabilities": None,
        "attention": {},
        **Coverage({}, 0.0).count_frames(),
    }
    attention = answers[0][1] if answers else {}
    if not any(len(part.times) for part in attention.values()):
        return described
    probabilities = np.mean([answer[0] for answer in answers], axis=0)
    classes = heads[0].classes
    described["prediction"] = classes[int(probabilities.argmax())]
    described["probabilities"] = dict(zip(classes, probabilities.tolist(), strict=True))
    for modality, part in attention.items():
        weights = np.mean([answer[1][modality].weights for answer in answers], axis=0)
        described["attention"][modality] = [
            {"time_seconds": round(float(time), 6), "weight": float(weight)}
            for time, weight in zip(part.times, weights, strict=True)
        ]
    seen = described["attention"].get("video", [])
    if faces is not None and seen:
        arrays = faces.read(clip.id, ("times", "rung")).arrays
        sources = arrays["rung"]
        described |= measure_coverage(sources, arrays["times"]).count_frames()
        for step, source in zip(seen, sources, strict=False):
            step["face"] = BoxSource(source).name.lower()
    return described
