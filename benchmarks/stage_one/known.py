"""Another network on a corpus whose faces are known: decoding and cropping, frames a second a core.

    python -m benchmarks.stage_one.known MANIFEST --cache CACHE [-o FILE.json]

CACHE holds the faces. The other network costs nothing, so that what is left is stage one's own
work: reading the faces, decoding, cropping, writing the entries. Finding a face again would end the
benchmark: the function that does it is replaced by one that raises. Frames are counted by seconds
of processor time in one process, and the share of decoding alone stands beside it.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import shutil
import tempfile
import time
from pathlib import Path
from unittest import mock

import click
import torch

from benchmarks.machine import describe_machine, write_result
from benchmarks.stage_one.overhead import FreeNetwork
from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import FeatureSet
from pipeline.extract import picture as face_stages
from pipeline.extract.clip import extract_clip
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import parse_weights
from pipeline.media.frames import VideoReader


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--cache", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--profile", is_flag=True, help="Print where the time goes.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(manifest: Path, cache: Path, profile: bool, out: Path | None) -> None:
    """Measure a second network's part of stage one."""
    machine = describe_machine()
    torch.set_num_threads(1)
    clips = read_manifest(manifest).clips
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as name:
        copy = Path(name) / "cache"
        shutil.copytree(cache, copy, ignore=shutil.ignore_patterns("ir50-*", "packs"))
        plan = plan_sets(
            ["resnet18"], StageOneSettings(), parse_weights(["resnet18=random:7"]), cache=copy
        )
        for planned in plan.sets:
            FeatureSet(copy, planned.spec).create(plan.provenance)
        started = time.process_time()
        frames = sum(len(chunk) for clip in clips for chunk in VideoReader(clip.path))
        decoding = time.process_time() - started
        profiler = cProfile.Profile()
        with (
            mock.patch.object(face_stages, "use_network", return_value=FreeNetwork()),
            mock.patch.object(
                face_stages, "track_faces", side_effect=AssertionError("found again")
            ),
        ):
            started = time.process_time(), time.perf_counter()
            if profile:
                profiler.enable()
            results = [extract_clip(clip, plan) for clip in clips]
            profiler.disable()
            seconds = time.process_time() - started[0]
            wall = time.perf_counter() - started[1]
        failed = [result for result in results if result.state == "failed"]
        if failed:
            raise click.ClickException(f"not every clip's faces are known: {failed[0]}")
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    result = {
        "clips": len(clips),
        "frames": frames,
        "frames_per_second_a_core": round(frames / seconds, 1),
        "frames_per_second_wall": round(frames / wall, 1),
        "decoding_alone": round(frames / decoding, 1),
    }
    click.echo(json.dumps(result))
    if out:
        write_result(out, {"machine": machine, **result})


if __name__ == "__main__":
    main()
