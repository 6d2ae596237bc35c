"""A labelled corpus on disk, already extracted: a manifest and a cache, without any media."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest.manifest import Clip, Manifest, read_manifest, write_manifest
from tests.trainer.corpus_helper import write_set
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import Run, read_run
from trainer.settings import load_settings

CLASSES = ("angry", "happy", "sad")
NUM_CLIPS, NUM_SPEAKERS, VIDEO_DIM = 24, 4, 11
# AlexNet-FCN yields nothing under 67 steps.
SOUND_STEPS, BINS = 80, 200
SPEAKERS = Protocol(folds="speaker:2")
# The smallest head that still has an audio encoder's shape of input; trains in milliseconds.
SMALL = (
    "video.set=resnet18",
    "video.hidden_dim=8",
    "audio.set=spectrogram",
    "audio.encoder=none",
    "audio.hidden_dim=8",
    "fusion.out_dim=11",
    "fusion.rank=2",
    "optim.epochs=3",
    "optim.learning_rate=0.02",
)


def make_clips(
    folder: Path, *, num_clips: int = NUM_CLIPS, classes: tuple[str, ...] = CLASSES
) -> list[Clip]:
    """Speakers talk in turn; the first two thirds of the clips are train, the rest test."""
    return [
        Clip(
            f"c{i:02}",
            folder / f"c{i:02}.mp4",
            classes[i % len(classes)],
            "train" if i < num_clips * 2 // 3 else "test",
            f"s{i * NUM_SPEAKERS // num_clips}",
        )
        for i in range(num_clips)
    ]


def make_cache(
    cache: Path,
    clips: list[Clip],
    *,
    failed: dict[str, str] | None = None,
    never: tuple[str, ...] = (),
    silent: tuple[str, ...] = (),
    untrained: bool = False,
    same_file: Mapping[str, str] | None = None,
) -> Path:
    """Write ``resnet18`` and ``spectrogram``; a clip's class shows in the mean of both.

    Args:
        cache: the folder to write.
        clips: the clips.
        failed: clip to the reason why it failed, in both sets.
        never: clips without an entry in either set.
        silent: clips without sound.
        untrained: whether the weights of ``resnet18`` are random.
        same_file: clip to another one of which its file is a copy.
    """
    classes = sorted({clip.label or "" for clip in clips})
    video: dict[str, Any] = dict(failed or {})
    sound: dict[str, Any] = dict(failed or {})
    for number, clip in enumerate(clips):
        if clip.id in video or clip.id in never:
            continue
        generator = np.random.default_rng(number)
        label = classes.index(clip.label or "")
        basic = generator.normal(size=(7 + number % 3, VIDEO_DIM)).astype(np.float32)
        basic[:, label] += 3.0
        steps = 0 if clip.id in silent else SOUND_STEPS
        spectrogram = generator.normal(size=(steps, BINS)).astype(np.float32)
        spectrogram[:, 20 * label : 20 * label + 20] += 1.0
        video[clip.id] = {"basic": basic}
        sound[clip.id] = {"spectrogram": spectrogram}
    write_set(cache, "resnet18", video, same_file, weights="a" * 64, untrained=untrained)
    write_set(cache, "spectrogram", sound, same_file)
    return cache


def make_manifest(folder: Path, clips: list[Clip]) -> Manifest:
    """Write the manifest and read it back; the files of the clips do not exist."""
    path = write_manifest(folder / "manifest.csv", clips, overwrite=True)
    return read_manifest(path, check_files=False)


def make_corpus(folder: Path) -> Manifest:
    """Write a manifest, and beside it a cache in which no clip lacks anything."""
    clips = make_clips(folder)
    make_cache(folder / "cache", clips)
    return make_manifest(folder, clips)


def train(
    manifest: Manifest,
    cache: Path,
    run: Path,
    protocol: Protocol = SPEAKERS,
    overrides: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Train small heads, and read back what the report says of them."""
    settings = load_settings("icmi19", [*SMALL, *overrides])
    report = run_experiment(
        manifest, cache, settings, run, protocol, preset="icmi19", threads=1, **options
    )
    read = read_run(run)
    assert read.metrics == json.loads(json.dumps(report))
    return read
