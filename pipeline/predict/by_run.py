"""Answers of a run's heads about any video: both stages, one after the other.

The features that the heads were trained on are extracted into a temporary cache, then each head
predicts from it.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cache.entries.coverage import Coverage
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.extract.job import SetResult
from pipeline.extract.plan import Plan
from pipeline.extract.run import run_extract
from pipeline.extract.weights import WeightsChoice
from pipeline.faces.tracks import BoxSource, measure_coverage
from pipeline.predict.replay import Recorded, replay_plans
from pipeline.predict.worth import SPEAKERS, Worth, describe_worth, worth_of_clips
from trainer.explain.cached import group_by_fold, pin_sets
from trainer.explain.explanation import Explanation
from trainer.explain.heads import explain_steps
from trainer.explain.steps import read_steps
from trainer.runs.folder import Run
from trainer.runs.heads import load_heads
from trainer.runs.terminal import choose_interval


def predict_videos(
    run: Run,
    videos: Sequence[Path],
    *,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
    look: Callable[[Sequence[Clip], Path, Answered], None] | None = None,
) -> dict[str, Any]:
    """Extract the features that a run was trained on and let its heads predict.

    Args:
        run: a finished run; see ``read_run``.
        videos: any video files.
        weights: parameters per network, where they are not where the run found them; see
            ``parse_weights``.
        device: see ``plan_sets``.
        jobs: worker processes; 0 works in this one.
        look: called with the clips, the cache and the answers, windows over time among them, while
            the cache is there; a clip's id is of this cache alone.

    Returns:
        JSON: ``run``, what its answers are worth (``note`` in words, ``worth`` in figures; None of
        an untrained run), ``untrained``, ``classes``, ``heads`` (the number averaged) and one
        object per video: its state and the reasons, its frames, those with a face, seen and
        followed, probabilities, and the attention weight of every frame and audio step with its
        time.

    Raises:
        RunError: the run has no checkpoints, or lacks one.
        CheckpointError: a checkpoint is damaged.
        PlanError: its features can't be made again.
        StaleError: a video changed meanwhile.
        SetError: the run's record of a set is damaged.
        WeightsError: weights don't fit.
        OSError: something can't be read or written.
    """
    clips = [Clip(f"video-{number}", path.absolute()) for number, path in enumerate(videos)]
    with tempfile.TemporaryDirectory(prefix="avfuse-predict-") as folder:
        answered = answer_clips(
            run,
            clips,
            Path(folder),
            weights=weights,
            device=device,
            jobs=jobs,
            windows=look is not None,
        )
        if look is not None:
            look(clips, Path(folder), answered)
        described = [_describe(clip, answered) for clip in clips]
    worth = None if answered.untrained else _worth(run)
    return {
        "run": str(run.path),
        "note": worth and " ".join(describe_worth(worth)),
        "worth": worth and worth.to_json(),
        "untrained": answered.untrained,
        "classes": list(run.classes),
        "heads": answered.num_heads,
        "videos": described,
    }


def _worth(run: Run) -> Worth:
    """Read what a run's answers are worth from its figures."""
    figures = run.metrics["all"]["ensemble"]
    drawn = SPEAKERS if figures.get("by_speaker") else "each"  # which older runs don't have
    return worth_of_clips(figures, run.classes, choose_interval(figures), drawn)


@dataclass(frozen=True)
class Answered:
    """Answers of a run's heads about videos.

    Args:
        explanations: clip to its answer; only of those that could be read.
        made: clip and set to what the extraction says of them.
        faces: a set whose entries say how the face of each frame was found; None without any.
        num_heads: number of heads averaged.
        untrained: whether random weights stand behind their features.
    """

    explanations: Mapping[str, Explanation]
    made: Mapping[str, Mapping[str, SetResult]]
    faces: FeatureSet | None
    num_heads: int
    untrained: bool

    def state(self, clip: str) -> str:
        """Return the state of a clip: "ok", "partial" or "failed", the worst of its sets."""
        states = {result.state for result in self.made[clip].values()}
        return next((state for state in ("failed", "partial") if state in states), "ok")

    def why(self, clip: str) -> list[str]:
        """List what a clip lacks, or why it failed."""
        return list(dict.fromkeys(why for one in self.made[clip].values() for why in one.why))


def answer_clips(
    run: Run,
    clips: Sequence[Clip],
    cache: Path,
    *,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
    windows: bool = True,
    folds: Mapping[str, int | None] | None = None,
) -> Answered:
    """Extract clips as those of a run were, and explain them by the mean of its heads.

    Args:
        run: a finished run.
        clips: the files, under ids of their own.
        cache: folder for the features; sets that it has are not made again.
        weights: see ``predict_videos``.
        device: see there.
        jobs: see there.
        windows: also ask about windows; see ``explain_steps``.
        folds: clip to the fold whose heads answer for it; all heads answer for the others.

    Raises:
        As ``predict_videos``.
    """
    by_fold = group_by_fold(load_heads(run))
    heads = [head for of_fold in by_fold.values() for head in of_fold]
    recorded = {
        item["key"]: Recorded(SetSpec.from_json(item["spec"]), item["provenance"])
        for item in run.info["sets"]
    }
    keys = [key for head in heads for key in head.set_keys.values()]
    plans = replay_plans(recorded, keys, weights or {}, cache=cache, device=device)
    made = _extract(clips, plans, jobs)
    readable = {
        clip.id: clip
        for clip in clips
        if all(result.state != "failed" for result in made[clip.id].values())
    }
    folds = folds or {}
    explained = []
    if readable:
        steps = read_steps(cache, list(readable), pin_sets(heads[0]), clips=readable)
        others = [row for row, clip in enumerate(readable) if clip not in folds]
        explained += explain_steps(heads, steps, others, windows=windows) if others else []
        for fold in dict.fromkeys(folds[clip] for clip in readable if clip in folds):
            own = [row for row, clip in enumerate(readable) if folds.get(clip, ...) == fold]
            answers = explain_steps(by_fold[fold], steps, own, windows=windows)
            explained += [replace(one, fold=fold) for one in answers]
    return Answered(
        explanations={one.clip: one for one in explained},
        made=made,
        faces=_set_with_faces(plans),
        num_heads=len(heads),
        untrained=any(head.untrained for head in heads),
    )


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


def _describe(clip: Clip, answered: Answered) -> dict[str, Any]:
    """Write one video's part of the answer; a video without features has no prediction."""
    results = answered.made[clip.id].values()
    described: dict[str, Any] = {
        "video": str(clip.path),
        "state": answered.state(clip.id),
        "why": answered.why(clip.id),
        "notes": list(dict.fromkeys(note for result in results for note in result.notes)),
        "untrained": answered.untrained,
        "prediction": None,
        "probabilities": None,
        "attention": {},
        **Coverage({}, 0.0).count_frames(),
    }
    found = answered.explanations.get(clip.id)
    if found is None or found.prediction is None:
        return described
    described["prediction"] = found.prediction
    probabilities = found.probabilities.tolist()
    described["probabilities"] = dict(zip(found.classes, probabilities, strict=True))
    for modality, part in found.attention.items():
        described["attention"][modality] = [
            {"time_seconds": round(float(time), 6), "weight": float(weight)}
            for time, weight in zip(part.times, part.weights, strict=True)
        ]
    seen = described["attention"].get("video", [])
    if answered.faces is not None and seen:
        arrays = answered.faces.read(clip.id, ("times", "rung")).arrays
        sources = arrays["rung"]
        described |= measure_coverage(sources, arrays["times"]).count_frames()
        for step, source in zip(seen, sources, strict=False):
            step["face"] = BoxSource(source).name.lower()
    return described
