"""The world of the state machine: contents of clips, their files, and what fresh work yields."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.entries.entry import Entry
from cache.manifest.clip import Clip
from cache.manifest.manifest import Manifest, read_manifest, write_manifest
from cache.manifest.span import WHOLE_FILE, Span
from cache.sets.feature_set import FeatureSet
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import parse_weights
from tests.pipeline.videos import write_video
from trainer.runs.experiment import Protocol, run_experiment
from trainer.settings import load_settings as load_train_settings

CLIPS = ("c0", "c1", "c2", "c3")
CONTENTS = 5
SPANS = (WHOLE_FILE, Span(0.0, 0.08), Span(0.04, None))
RATE = 25
SETS = ("faces", "resnet18", "spectrogram")
# Whole frames where no face is, so that a network's numbers depend on the faces entry beside it.
SETTINGS = ("faces.ladder=papers", "network.image_size=64")
OTHERS: Mapping[str, tuple[str, ...]] = {
    "plain": (),
    "other faces": ("faces.threshold=0.125",),
}
# How long a file must not have changed for its times to vouch for its content; the real 2 s would
# let the machine see files that are hashed again and again, and no other.
CLOCK_NS = 20_000_000
# What fresh work yields: SHA-256 of each array, state, and what is missing.
Yield = tuple[dict[str, str], str, tuple[str, ...]]


@functools.cache
def contents() -> tuple[bytes, ...]:
    """Videos of other sizes, lengths and sounds, all of the same number of bytes but the last."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(CONTENTS):
            generator = np.random.default_rng(number)
            size = (62 + 8 * number, 94 - 6 * number, 3)
            images = [generator.integers(0, 256, size, np.uint8) for _ in range(2 + number)]
            seconds = np.arange(3_200) / 16_000
            sound = 0.3 * np.sin(2 * np.pi * (150 + 50 * number) * seconds, dtype=np.float32)
            path = Path(folder) / f"{number}.mp4"
            made.append(write_video(path, images, codec="mpeg4", sound=sound[None]).read_bytes())
    longest = max(map(len, made)) + 8
    return tuple(
        content + _free(longest - len(content) + 16 * (number == CONTENTS - 1))
        for number, content in enumerate(made)
    )


def _free(size: int) -> bytes:
    """Return a box that every reader of MP4 skips."""
    return size.to_bytes(4, "big") + b"free" + bytes(size - 8)


@functools.cache
def digests() -> tuple[str, ...]:
    """Return the SHA-256 of each content."""
    return tuple(hashlib.sha256(content).hexdigest() for content in contents())


@dataclass
class Place:
    """A folder of clips and the manifest of them.

    Args:
        folder: of the files.
        content: number of each clip's content.
        span: part of each clip's file.
    """

    folder: Path
    content: dict[str, int] = field(default_factory=dict)
    span: dict[str, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for number, clip in enumerate(CLIPS):
            self.span[clip] = WHOLE_FILE
            self.put(clip, number % CONTENTS)

    def file(self, clip: str) -> Path:
        """Return a clip's file."""
        return self.folder / f"{clip}.mp4"

    def put(self, clip: str, content: int) -> None:
        """Write a content to a clip's file."""
        self.content[clip] = content
        self.file(clip).write_bytes(contents()[content])

    def replace(self, clip: str, content: int, how: str) -> None:
        """Replace a clip's file; ``how`` says which of its properties stay."""
        path = self.file(clip)
        if how == "rename":
            path = path.with_suffix(".new")
        before = self.file(clip).stat()
        self.content[clip] = content
        path.write_bytes(contents()[content])
        if how != "write":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        path.replace(self.file(clip))

    def touch(self, clip: str, how: str) -> None:
        """Change a file's properties, not its content."""
        path = self.file(clip)
        if how == "chmod":
            path.chmod(0o640 if path.stat().st_mode & 0o4 else 0o644)
        elif how == "copy":
            copy = Path(shutil.copy(path, path.with_suffix(".new")))
            copy.replace(path)
        else:
            path.touch()

    def clips(self) -> list[Clip]:
        """Return the rows of its manifest."""
        return [
            Clip(
                clip,
                self.file(clip),
                ("happy", "sad")[number % 2],
                start_seconds=self.span[clip].start,
                end_seconds=self.span[clip].end,
            )
            for number, clip in enumerate(CLIPS)
        ]

    def manifest(self) -> Path:
        """Write the manifest."""
        return write_manifest(self.folder / "manifest.csv", self.clips(), overwrite=True)

    def read(self) -> Manifest:
        """Write the manifest and read it."""
        return read_manifest(self.manifest())


def settle() -> None:
    """Wait until the files' times vouch for their content."""
    time.sleep(1.5 * CLOCK_NS / 1e9)


def options(sets: Sequence[str], other: str) -> list[str]:
    """Return the options of ``avfuse extract`` for what ``plan`` plans."""
    words = ["--sets", ",".join(sets), "--jobs", "0", "--threads", "1"]
    if "resnet18" in sets:
        words += ["--weights", "resnet18=random", "--views", "basic"]
    return [*words, *(word for key in (*SETTINGS, *OTHERS[other]) for word in ("--set", key))]


def plan(cache: Path, sets: Sequence[str], other: str) -> Plan:
    """Plan sets with other settings or without."""
    template = _plan(tuple(sets), other)
    return replace(template, cache=cache)


@functools.cache
def _plan(sets: tuple[str, ...], other: str) -> Plan:
    weights = parse_weights(("resnet18=random",) if "resnet18" in sets else ())
    settings = load_settings((*SETTINGS, *OTHERS[other]), views="basic")
    return plan_sets(sets, settings, weights, cache=Path(), device="cpu")


def extract(cache: Path, clips: Sequence[Clip], sets: Sequence[str], other: str) -> Any:
    """Extract in this process."""
    return run_extract(clips, plan(cache, sets, other), jobs=0, threads=1, tell_failures=False)


def yield_of(entry: Entry) -> Yield:
    """Return what an entry holds, without its source and provenance."""
    return entry.checksums, entry.state, entry.missing


@functools.cache
def expected(content: int, span: Span, other: str) -> Mapping[str, Yield]:
    """Return what a fresh extraction of a content yields, by set."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fresh.mp4"
        path.write_bytes(contents()[content])
        clip = Clip("fresh", path, start_seconds=span.start, end_seconds=span.end)
        cache = Path(folder) / "cache"
        made = plan(cache, SETS, other)
        summary = run_extract([clip], made, jobs=0, threads=1, tell_failures=False)
        assert not summary.failed
        return {
            name: yield_of(feature_set.read("fresh", verify=True))
            for name, feature_set in made.feature_sets.items()
        }


def folders(cache: Path, other: str) -> dict[str, FeatureSet]:
    """Return the feature sets of a choice of settings, by name."""
    return dict(plan(cache, SETS, other).feature_sets)


def train(cache: Path, manifest: Manifest, other: str, run: Path) -> bytes:
    """Train the smallest heads, and return their predictions."""
    sets = folders(cache, other)
    settings = load_train_settings(
        "icmi19",
        [
            f"video.set={sets['resnet18'].folder.name}",
            "video.hidden_dim=3",
            f"audio.set={sets['spectrogram'].folder.name}",
            "audio.encoder=none",
            "audio.hidden_dim=3",
            "fusion.kind=concat",
            "optim.epochs=1",
        ],
    )
    run_experiment(manifest, cache, settings, run, Protocol(folds="clip:2"), threads=1)
    return (run / "predictions.csv").read_bytes()


@functools.cache
def expected_predictions(jobs: tuple[tuple[int, Span], ...], other: str) -> bytes:
    """Return the predictions of heads that were trained from a fresh cache."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "clips")
        for clip, (content, span) in zip(CLIPS, jobs, strict=True):
            place.put(clip, content)
            place.span[clip] = span
        manifest = place.read()
        extract(Path(folder) / "cache", manifest.clips, SETS, other)
        return train(Path(folder) / "cache", manifest, other, Path(folder) / "run")
