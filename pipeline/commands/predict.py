"""``avfuse predict``: classify any video file, with a run or with the default network alone."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetError, SetSpec
from cache.signals import ends_by_signal
from extractors.weights.files import WeightsError
from pipeline.extract.job import ClipResult
from pipeline.extract.run import run_extract
from pipeline.extract.weights import PlanError, parse_weights
from pipeline.faces.tracks import BoxSource
from pipeline.predict.by_default import ask_default_network
from pipeline.predict.curve import CurveError, check_suffix, format_answer, write_curves
from pipeline.predict.replay import replay_plan
from trainer.data.corpus import load_corpus
from trainer.runs.folder import Run, RunError, read_run
from trainer.training.predict import Attention, HeadPredictions, predict_head
from trainer.training.trained import CheckpointError, TrainedHead, load_checkpoint


@click.command()
@click.argument("paths", metavar="[RUN] VIDEO...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--weights", multiple=True, metavar="NAME=FILE", help="Where a network's weights are now."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--jobs", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with RUN it always is.")
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    help="Without RUN: also write every frame's probabilities to a .csv or .png.",
)
@ends_by_signal("Nothing was predicted.")
def predict(
    paths: tuple[Path, ...],
    weights: tuple[str, ...],
    device: str,
    jobs: int,
    as_json: bool,
    curve: Path | None,
) -> None:
    """Classify VIDEOS with the heads of RUN, or with the default network where no run is named.

    With RUN, a folder that `avfuse train` wrote, each video gets its probabilities (the mean over
    the run's heads), the state it was extracted in, and the attention weight of every frame and
    audio step with its time, as JSON. Exit code 1 if a video could not be read.

    Without it, the network that comes with avfuse looks at the face in every frame: seven classes,
    the mean over the frames with a face, and the curve over time. It was trained on still faces
    and hears nothing. Exit code 1 if a video could not be read or shows no face.
    """
    run, videos = split_run(paths)
    if run is None:
        if weights:
            raise click.UsageError("--weights says where a run's weights are now; no run is named")
        _ask_default(videos, device=device, jobs=jobs, as_json=as_json, curve=curve)
        return
    if curve is not None:
        raise click.UsageError("--curve is of the default network; leave out the run")
    try:
        answer = predict_videos(run, videos, weights=weights, device=device, jobs=jobs)
    except (RunError, CheckpointError, PlanError, SetError, WeightsError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if answer["untrained"]:
        click.echo(
            "Warning: the features of this run come from random weights. Its predictions are "
            "marked untrained and say nothing about emotions.",
            err=True,
        )
    click.echo(json.dumps(answer, indent=2, allow_nan=False))
    sys.exit(1 if any(video["state"] == "failed" for video in answer["videos"]) else 0)


def split_run(paths: Sequence[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """Part a run from the videos after it: a run is a folder, a video has a suffix.

    Raises:
        click.UsageError: there is no path, or no video after the run.
    """
    if not paths:
        raise click.UsageError("name a video, or a run and a video")
    first, *rest = paths
    if not first.is_dir() and (first.exists() or first.suffix):
        return None, tuple(paths)
    if not rest:
        raise click.UsageError(
            f"{first}: expected a video; after a run folder, name the videos to classify"
        )
    return first, tuple(rest)


def _ask_default(
    videos: Sequence[Path], *, device: str, jobs: int, as_json: bool, curve: Path | None
) -> None:
    """Let the default network answer, print it and exit."""
    try:
        if curve is not None:
            check_suffix(curve)
        answers = ask_default_network(videos, device=device, jobs=jobs)
        if curve is not None:
            write_curves(curve, answers.videos)
    except (PlanError, WeightsError, CurveError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(answers.to_json(), indent=2, allow_nan=False))
    else:
        encoding = (sys.stdout.encoding or "ascii").lower()
        for answer in answers.videos:
            click.echo(format_answer(answer, ascii_only=not encoding.startswith("utf")))
        click.echo(f"From {answers.note}.")
    sys.exit(1 if any(answer.prediction is None for answer in answers.videos) else 0)


def predict_videos(
    run: Path,
    videos: Sequence[Path],
    *,
    weights: Sequence[str] = (),
    device: str = "auto",
    jobs: int = 0,
) -> dict[str, Any]:
    """Extract the features that the run was trained on and let its heads predict.

    Returns:
        What the command prints: ``run``, ``untrained``, ``classes``, ``heads`` (how many were
        averaged) and one object per video.

    Raises:
        RunError: ``run`` is not a finished run with checkpoints.
        CheckpointError: a checkpoint is damaged.
        PlanError: its features can't be made again.
        SetError: the run's record of a set is damaged.
        WeightsError: weights don't fit.
        OSError: something can't be read or written.
    """
    finished = read_run(run)
    heads = _load_heads(finished)
    recorded = {
        item["key"]: (SetSpec.from_json(item["spec"]), item["provenance"])
        for item in finished.info["sets"]
    }
    choices = parse_weights(weights)
    clips = [Clip(f"video-{number}", path.absolute()) for number, path in enumerate(videos)]
    results: list[dict[str, ClipResult]] = []
    with tempfile.TemporaryDirectory(prefix="avfuse-predict-") as folder:
        cache = Path(folder)
        faces: FeatureSet | None = None
        for key in dict.fromkeys(key for head in heads for key in head.set_keys.values()):
            plan = replay_plan(recorded, key, choices, cache=cache, device=device)
            summary = run_extract(clips, plan, jobs=jobs)
            if summary.interrupted:
                signal.raise_signal(summary.interrupted)
            results.append({result.clip: result for result in summary.clips})
            for planned in plan.of_kind("network"):
                faces = FeatureSet(cache, planned.spec)
        readable = [c for c in clips if all(r[c.id].state != "failed" for r in results)]
        row = {clip.id: number for number, clip in enumerate(readable)}
        answers = [_predict(head, cache, readable) for head in heads] if readable else []
        videos_json = [
            _describe(
                clip,
                [found[clip.id] for found in results],
                heads,
                [_answer(answer, row[clip.id]) for answer in answers if clip.id in row],
                faces,
            )
            for clip in clips
        ]
    return {
        "run": str(run),
        "untrained": any(head.untrained for head in heads),
        "classes": list(finished.classes),
        "heads": len(heads),
        "videos": videos_json,
    }


def _load_heads(run: Run) -> list[TrainedHead]:
    checkpoints = run.info.get("checkpoints", [])
    if not checkpoints:
        raise RunError(
            f"{run.path} holds no heads (it is of kind {run.info.get('kind')}); "
            "predict with the runs that it was made from"
        )
    return [load_checkpoint(run.path / item["file"]) for item in checkpoints]


def _predict(head: TrainedHead, cache: Path, clips: Sequence[Clip]) -> HeadPredictions:
    ids = [clip.id for clip in clips]
    corpus = load_corpus(cache, ids, head.settings, classes=head.classes)
    if dict(corpus.set_keys) != dict(head.set_keys):
        raise PlanError("the features made for these videos are not those the head was trained on")
    return predict_head(head, corpus, range(len(clips)), attention=True)


def _answer(answer: HeadPredictions, row: int) -> tuple[np.ndarray, dict[str, Attention]]:
    """A head's probabilities and one weight per time: grid elements at one time are added up."""
    result: dict[str, Attention] = {}
    for modality, per_clip in answer.attention.items():
        times, place = np.unique(per_clip[row].times, return_inverse=True)
        weights = np.zeros(len(times))
        np.add.at(weights, place, per_clip[row].weights)
        result[modality] = Attention(times, weights)
    return answer.probabilities[row], result


def _describe(
    clip: Clip,
    results: Sequence[ClipResult],
    heads: Sequence[TrainedHead],
    answers: Sequence[tuple[np.ndarray, dict[str, Attention]]],
    faces: FeatureSet | None,
) -> dict[str, Any]:
    """One video's part of the answer; a video without features has no prediction."""
    sets = {name: made for result in results for name, made in result.sets.items()}
    states = {made.state for made in sets.values()}
    state = next((s for s in ("failed", "partial") if s in states), "ok")
    described: dict[str, Any] = {
        "video": str(clip.path),
        "state": state,
        "why": list(dict.fromkeys(why for made in sets.values() for why in made.why)),
        "untrained": any(head.untrained for head in heads),
        "prediction": None,
        "probabilities": None,
        "attention": {},
    }
    attention = answers[0][1] if answers else {}
    if not any(len(part.times) for part in attention.values()):
        return described
    probabilities = np.mean([answer[0] for answer in answers], axis=0)
    classes = heads[0].classes
    described["prediction"] = classes[int(probabilities.argmax())]
    described["probabilities"] = dict(zip(classes, probabilities.tolist(), strict=True))
    rungs: list[str] = []
    if faces is not None and len(attention.get("video", Attention(*[np.zeros(0)] * 2)).times):
        stored = faces.read(clip.id, ("rung",)).arrays["rung"]
        rungs = [BoxSource(number).name.lower() for number in stored]
    for modality, part in attention.items():
        weights = np.mean([answer[1][modality].weights for answer in answers], axis=0)
        described["attention"][modality] = [
            {"time_seconds": round(float(time), 6), "weight": float(weight)}
            for time, weight in zip(part.times, weights, strict=True)
        ]
    for step, rung in zip(described["attention"].get("video", ()), rungs, strict=False):
        step["face"] = rung
    return described
