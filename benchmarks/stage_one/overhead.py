"""Overhead of a clip of 25 frames: milliseconds above decoding and faces.

    python -m benchmarks.stage_one.overhead [-o FILE.json] [--profile]

The network costs nothing: it returns zeros at once. The same clips are brought through ``avfuse``'s
own stage one (two sets: faces and network; entries flushed to the disk) and through the bare loop
of what has to be done: decode, find and follow faces, decode again, crop. The difference of the two
is the overhead, here in one process, where nothing else hides it. The 256 folders that a set's
entries lie in exist already, as they do after some hundred clips.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import click
import numpy as np

from benchmarks.machine import describe_machine
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import FeatureSet
from pipeline.choice.choice import choose_faces
from pipeline.commands import demo_corpus
from pipeline.extract import picture as face_stages
from pipeline.extract.clip import extract_clip
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import parse_weights
from pipeline.faces.crops import crop_faces
from pipeline.faces.search import track_faces
from pipeline.media.frames import VideoReader

FRAMES = 25
FEW = demo_corpus.DemoSettings(speakers=4)  # 24 clips
DIM = 512


class FreeNetwork:
    """Returns zeros for every crop."""

    deviation = None

    def extract(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Embed nothing."""
        return {"basic": np.zeros((len(crops), DIM), np.float32)}


def bare(clip: Clip, settings: StageOneSettings) -> int:
    """Do to a clip what has to be done, and nothing else; returns its number of frames."""
    tracks = track_faces(VideoReader(clip.path, settings.decode), settings.faces)
    faces = choose_faces(tracks, settings.faces.policy, ())
    done = 0
    for frames in VideoReader(clip.path, settings.decode):
        rows = slice(done, done + len(frames))
        done = rows.stop
        crop_faces(
            frames.images,
            faces.landmarks[rows],
            faces.box[rows],
            faces.rung[rows],
            settings.crops,
        )
    return done


def measure(clips: list[Clip], plan: Plan) -> dict[str, float]:
    """Time both ways for each clip, one after the other, so that a busy machine slows both."""
    bare(clips[0], plan.settings)  # loads dlib's models
    rows = []
    for clip in clips:
        started = time.perf_counter(), time.process_time()
        frames = bare(clip, plan.settings)
        between = time.perf_counter(), time.process_time()
        result = extract_clip(clip, plan)
        ended = time.perf_counter(), time.process_time()
        if result.state == "failed" or frames != FRAMES:
            raise click.ClickException(f"{clip.id}: {result}")
        rows.append([b - a for a, b in zip(started + between, between + ended, strict=True)])
    bare_wall, bare_cpu, whole_wall, whole_cpu = (
        statistics.median(c) for c in zip(*rows, strict=True)
    )
    return {
        "clips": len(clips),
        "decode_faces_crop_ms": round(1000 * bare_wall, 2),
        "whole_ms": round(1000 * whole_wall, 2),
        "overhead_ms": round(1000 * (whole_wall - bare_wall), 2),
        "overhead_cpu_ms": round(1000 * (whole_cpu - bare_cpu), 2),
    }


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
@click.option("--profile", is_flag=True, help="Print where the time of stage one goes.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Disk to measure on; default: TMPDIR."
)
def main(out: Path | None, profile: bool, folder: Path | None) -> None:
    """Measure the overhead of a clip."""
    machine = describe_machine()
    with (
        tempfile.TemporaryDirectory(prefix="avfuse-bench-", dir=folder) as name,
        mock.patch.object(demo_corpus, "NUM_FRAMES", FRAMES),
        mock.patch.object(face_stages, "use_network", return_value=FreeNetwork()),
    ):
        clips = list(read_manifest(demo_corpus.make_demo_corpus(Path(name) / "corpus", FEW)).clips)
        settings = StageOneSettings()
        plan = plan_sets(
            ["resnet18"], settings, parse_weights(["resnet18=random"]), cache=Path(name) / "cache"
        )
        for planned in plan.sets:
            feature_set = FeatureSet(plan.cache, planned.spec).create(plan.provenance)
            for clip in clips:
                feature_set.entry_path(clip.id).parent.mkdir(exist_ok=True)
        if profile:
            profiler = cProfile.Profile()
            for clip in clips:
                profiler.runcall(extract_clip, clip, plan)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
            return
        row = measure(clips, plan)
    click.echo("  ".join(f"{key} {value}" for key, value in row.items()))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"machine": machine, "rows": [row]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
