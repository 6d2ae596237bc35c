"""Profile of stage one: the share of each step, of processor time in one process.

    python -m benchmarks.stage_one.profile MANIFEST [--network ir50] [--views basic]

Each step is charged what is spent in it and not in a step inside it. Clips go through
``extract_clip`` with everything that a worker does to them, entries flushed to the disk included
(which takes wall time and next to no processor time, and is shown as such).
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch

from benchmarks.machine import describe_machine, write_result
from cache.entries.writer import EntryWriter
from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import FeatureSet
from extractors.running import face_network
from extractors.views import VIEW_SETS
from pipeline.extract import clip as extract
from pipeline.extract import picture as face_stages
from pipeline.extract.clip import extract_clip
from pipeline.extract.job import Job
from pipeline.extract.networks import load_here
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import NetworkSettings, StageOneSettings
from pipeline.extract.weights import parse_weights
from pipeline.media.frames import VideoReader


class Stopwatch:
    """Seconds of processor and wall time per step, without those of steps inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._steps = ["rest"]
        self._last = time.process_time(), time.perf_counter()

    def switch(self) -> None:
        """Charge what was spent since the last switch to the step at hand."""
        now = time.process_time(), time.perf_counter()
        for index in (0, 1):
            self.spent[self._steps[-1]][index] += now[index] - self._last[index]
        self._last = now

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that charges a step."""

        @functools.wraps(function)
        def inner(*arguments: Any, **options: Any) -> Any:
            self.switch()
            self._steps.append(step)
            try:
                return function(*arguments, **options)
            finally:
                self.switch()
                self._steps.pop()

        return inner

    def iterated(self, step: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
        """Return a generator function whose every item charges a step."""

        def inner(*arguments: Any) -> Iterator[Any]:
            iterator = function(*arguments)
            following = self.timed(step, lambda: next(iterator, None))
            while (item := following()) is not None:
                yield item

        return inner


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--network", default="ir50", show_default=True)
@click.option("--views", type=click.Choice(list(VIEW_SETS)), default="basic", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(manifest: Path, network: str, views: str, out: Path | None) -> None:
    """Print what share of the time goes where."""
    machine = describe_machine()
    torch.set_num_threads(1)
    clips = read_manifest(manifest).clips
    watch = Stopwatch()
    steps = {
        "find and follow faces": [(face_stages, "track_faces")],
        "crop": [(face_stages, "crop_faces")],
        "network": [(face_network.FaceNetwork, "embed")],
        "views": [(face_network, "make_views")],
        "digest and probe the file": [(extract, "read_source"), (extract, "probe")],
        "entries": [(EntryWriter, "__enter__"), (EntryWriter, "append"), (EntryWriter, "finish")],
    }
    settings = StageOneSettings(network=NetworkSettings(views=VIEW_SETS[views]))
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as name, ExitStack() as stack:
        plan = plan_sets(
            [network], settings, parse_weights([f"{network}=random"]), cache=Path(name)
        )
        for planned in plan.sets:
            FeatureSet(plan.cache, planned.spec).create(plan.provenance)
        load_here(plan.of_kind("network")[0], plan)
        for step, places in steps.items():
            for place, attribute in places:
                timed = watch.timed(step, getattr(place, attribute))
                stack.enter_context(mock.patch.object(place, attribute, timed))
        decoding = watch.iterated("decode, twice", VideoReader.__iter__)
        stack.enter_context(mock.patch.object(VideoReader, "__iter__", decoding))
        # On a thread beside the network, as it is, it would be charged to both.
        stack.enter_context(
            mock.patch.object(Job, "commit_in_background", lambda _, commit: commit())
        )
        watch.switch()
        watch.spent.clear()
        results = [extract_clip(clip, plan) for clip in clips]
        watch.switch()
    failed = [result.clip for result in results if result.state == "failed"]
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")
    total = sum(cpu for cpu, _ in watch.spent.values())
    rows = {
        step: {"share": round(cpu / total, 4), "cpu_seconds": round(cpu, 2), "wall": round(wall, 2)}
        for step, (cpu, wall) in sorted(watch.spent.items(), key=lambda item: -item[1][0])
    }
    for step, row in rows.items():
        click.echo(f"| {step} | {100 * row['share']:.1f} % | {row['cpu_seconds']} s |")
    if out:
        result = {"machine": machine, "network": network, "views": views, "steps": rows}
        write_result(out, result)


if __name__ == "__main__":
    main()
