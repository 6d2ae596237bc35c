"""Runs, explanations and pictures for tests of pages, made of arithmetic: nothing is trained."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from trainer.explain.explanation import Explanation, Windows
from trainer.runs.folder import Run
from trainer.runs.predictions import Predictions
from trainer.runs.report import make_report
from trainer.training.predict import Attention

MARKUP = "<script>boom()</script>"
CLASSES = ("angry", "happy", "neutral", "sad", MARKUP)
STEPS, WINDOWS = 125, 17  # of five seconds at 25 frames a second


def make_run(
    folder: Path, name: str, num_clips: int, *, seed: int = 0, with_manifest: bool = True
) -> Run:
    """A run in memory, and its manifest on disk; about half of its clips are right.

    Clip i has class i modulo 5, speaker i modulo 7 and fold i modulo 3; every eleventh is called as
    no clip should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    clips = tuple(f"clip-{i:05}{'-<b>' * (i % 11 == 5)}" for i in range(num_clips))
    labels = np.arange(num_clips) % len(CLASSES)
    scores = generator.random((num_clips, len(CLASSES)))
    scores[np.arange(num_clips), labels] += 0.5
    table = Predictions(
        classes=CLASSES,
        clips=clips,
        labels=tuple(CLASSES[i] for i in labels),
        probabilities=scores / scores.sum(axis=1, keepdims=True),
        folds=tuple(i % 3 for i in range(num_clips)),
        splits=(None,) * num_clips,
        modalities=("audio+video",) * num_clips,
        speakers=tuple(f"s{i % 7} {MARKUP}" for i in range(num_clips)),
    )
    info: dict[str, Any] = {
        "kind": "train", "members": [], "members_are": "seeds", "warnings": [MARKUP],
        "cache": str(folder / "gone"), "sets": [],
    }  # fmt: skip
    if with_manifest:
        files = {clip: folder / f"{i}.mp4" for i, clip in enumerate(clips) if "<" not in clip}
        manifest = write_manifest(
            folder / f"{name}.csv", [Clip(*item) for item in files.items()], overwrite=True
        )
        info["manifest"] = {"path": str(manifest), "sha256": "ab" * 32, "clips": num_clips}
    metrics = make_report(table, {}, title=MARKUP, info=info)
    return Run(folder / name, info, metrics, table)


def explain(run: Run, clips: Sequence[str], *, cache: Path | None = None) -> dict[str, Explanation]:
    """Stand in for ``explain_run``: curves of five seconds for each clip."""
    times = np.arange(STEPS) / 25
    middles = 0.5 + np.arange(WINDOWS) / 4
    explained = {}
    for number, clip in enumerate(clips):
        row = run.predictions.clips.index(clip)
        generator = np.random.default_rng(number)
        shares = generator.random((WINDOWS, len(CLASSES)))
        weights = generator.random((2, STEPS))
        explained[clip] = Explanation(
            clip=clip,
            label=run.predictions.labels[row],
            prediction=run.predictions.predictions[row],
            probabilities=run.predictions.probabilities[row],
            classes=CLASSES,
            attention={
                name: Attention(times, part / part.sum())
                for name, part in zip(("audio", "video"), weights, strict=True)
            },
            windows=Windows(middles, shares / shares.sum(axis=1, keepdims=True), 1.0),
            num_heads=2,
        )
    return explained


@dataclass(frozen=True)
class Drawn:
    """Pictures of a clip, as ``pipeline.inspect.thumbnails.ClipPictures`` has them."""

    strip: bytes
    times: tuple[float, ...]
    spectrogram: bytes | None
    spectrogram_span: tuple[float, float] = (0.0, 5.0)
    why: str = ""


def draw(clips: Sequence[Clip]) -> Mapping[str, Drawn]:
    """Stand in for ``draw_thumbnails``: noise, of about the size of real pictures."""
    times = tuple(0.3 + 0.6 * i for i in range(8))
    return {
        clip.id: Drawn(_noise((56, 448), 40, number), times, _noise((40, 200), 30, number))
        for number, clip in enumerate(clips)
    }


def _noise(size: tuple[int, int], spread: int, seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    grey = generator.integers(128 - spread, 128 + spread, size, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="JPEG", quality=42)
    return buffer.getvalue()
