"""Extract all clips: share them out, show progress, stop when asked, and sum up.

Each clip ends in a *result*; a run's results are its *summary*, which a person reads at the end and
which lies in the cache as the *report*, as JSON. A *record* is of a failure, beside the entries.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cache.commit import CacheWriteError, write_whole
from cache.manifest.manifest import Clip
from cache.progress import Progress
from cache.signals import StopRequest
from cache.upkeep.gc import find_garbage, remove_garbage
from extractors.running.device import check_precision
from pipeline.extract.blame import AGAIN, CHANGED, Blame
from pipeline.extract.choices import ConsumerChoice
from pipeline.extract.clip import extract_clip
from pipeline.extract.clusters import Engine
from pipeline.extract.display import Display
from pipeline.extract.job import ClipResult
from pipeline.extract.known import fail_clip
from pipeline.extract.networks import load_here
from pipeline.extract.plan import Plan
from pipeline.extract.summary import Summary, peak_memory
from pipeline.extract.versions import describe_versions
from pipeline.media.machine import has_memory
from pipeline.workers.consumer import Consumer
from pipeline.workers.cores import num_cores
from pipeline.workers.error import MachineError
from pipeline.workers.pool import EarlyWorkers, WorkerDied, map_clips

# Of a clip cut out of a longer file, so that it has a place among whole files: a common bit rate.
BYTES_PER_SECOND = 125_000
REPORT_NAME = "extract-report.json"
# Clips in a row that fail by the same fault of the machine: the next ten thousand would as well.
MAX_FAULTS = 10


class CacheFullError(OSError):
    """Error of a cache that can't be written, with the progress made and how to go on."""


@dataclass(frozen=True)
class Resources:
    """Cores and GPU of a run, with what ``auto`` leaves open.

    Measured on two cores (benchmarks/NOTES.md): a process a core, each with one thread, one decoder
    thread and networks of its own, beats fewer processes with more threads.

    Args:
        jobs: worker processes; None is one per core and no more than clips, 0 works in this
            process.
        threads: PyTorch threads of each worker, or of the consumer; None is one per worker, more
            only where there are fewer clips than cores and ``jobs`` is left open.
        consumer: ``own`` lets each worker run the networks, ``shared`` one consumer for all, which
            fills batches across clips; ``auto`` shares a GPU and no CPU.

    Raises:
        ValueError: ``jobs`` is below 0, ``threads`` below 1, or ``consumer`` none of these.
    """

    jobs: int | None = None
    threads: int | None = None
    consumer: ConsumerChoice = "auto"

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 0:
            raise ValueError(f"jobs must not be negative, got {self.jobs}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if self.consumer not in get_args(ConsumerChoice):
            raise ValueError(
                f"consumer must be one of {', '.join(get_args(ConsumerChoice))}, "
                f"got {self.consumer!r}"
            )

    def share(self, num_clips: int, device: str) -> Share:
        """Settle what is left open, for a number of clips on a device."""
        cores = num_cores()
        jobs = min(cores if self.jobs is None else self.jobs, num_clips)
        threads = self.threads
        if threads is None:
            threads = max(1, cores // max(1, jobs)) if self.jobs is None else 1
        shared = self.consumer == "shared" or (self.consumer == "auto" and device != "cpu")
        return Share(jobs, threads, shared=shared and jobs > 0)


@dataclass(frozen=True)
class Share:
    """Worker and thread counts after ``auto`` is resolved; whether networks are shared."""

    jobs: int
    threads: int
    shared: bool


def run_extract(
    clips: Sequence[Clip],
    plan: Plan,
    *,
    jobs: int | None = None,
    threads: int | None = None,
    consumer: ConsumerChoice = "auto",
    report: Path | None = None,
    engine: Engine | None = None,
    stop: StopRequest | None = None,
    early: EarlyWorkers | None = None,
    tell_failures: bool = True,
) -> Summary:
    """Bring every planned set of every clip up to date.

    Args:
        clips: the clips, each in exactly one state afterwards.
        plan: the sets to make.
        jobs: see ``Resources``, as the next two.
        threads: PyTorch threads.
        consumer: who computes networks.
        report: where the JSON report goes; by default into the cache's folder.
        engine: works on the clips in place of workers of this process.
        stop: a caller's own, if it goes on noting signals after the run.
        early: workers that are starting already.
        tell_failures: write a line for each clip that fails, with its id; for a caller whose user
            knows no ids, False.

    Returns:
        What became of every clip. If SIGINT or SIGTERM ended the run early, ``interrupted`` is its
        number, and everything committed before stays.

    Raises:
        CacheFullError: the cache can't be written.
        MachineError: this machine, or what is installed on it, fails every clip from here on.
        EngineError: the engine can't be reached, or lost shards.
        ValueError: this machine's processor has no instructions for the networks' precision, and
            no engine is to compute. Nothing has been written then.
    """
    started = time.monotonic()
    if plan.of_kind("network") and engine is None:  # another machine may well have them
        check_precision(plan.settings.network.precision, plan.device)
    # An engine's work is done elsewhere: this process has no workers.
    share = Resources(0 if engine else jobs, threads, consumer).share(len(clips), plan.device)
    begun = started
    results: list[ClipResult] = []
    row = FaultsInARow()
    stop = stop or StopRequest()
    try:
        with stop.noted():
            for planned in plan.sets:
                plan.feature_sets[planned.name].create(
                    {**plan.provenance, **planned.facts, "weights": str(planned.choice or "")}
                )
            with (
                stop.breaks_off(at=0 if share.jobs else 2),
                _serving(plan, share) as server,
                Progress("clips") as progress,
            ):
                load = server.describe_load if server else None
                display = Display(progress, len(clips), load, tell_failures=tell_failures)
                stream = (
                    engine.map_clips(len(clips))
                    if engine
                    else _map_here(clips, plan, share, stop, server, early, display)
                )
                with contextlib.closing(stream):
                    for result in stream:
                        if not results:
                            begun = time.monotonic() - result.seconds
                        results.append(result)
                        display.result(result)
                        row.add(result)
                        if engine and stop.asked():
                            break
            if stop.asked():  # the workers were killed in the middle of what they wrote
                left = [item for item in find_garbage(plan.cache) if item.kind == "temporary file"]
                remove_garbage(left)
    except (CacheWriteError, OSError) as error:
        raise CacheFullError(
            f"the cache can't be written: {error}\n{_progress(results, clips)} Make room or give "
            "access, then run the same command again to go on."
        ) from error
    except MachineError as error:
        raise MachineError(
            f"{error}\n{_progress(results, clips)} Run the same command again to go on."
        ) from error
    order = {clip.id: number for number, clip in enumerate(clips)}
    reached = {result.clip for result in results}
    results.sort(key=lambda result: order[result.clip])
    summary = Summary(
        sets={planned.name: planned.spec.folder for planned in plan.sets},
        untrained=tuple(planned.name for planned in plan.sets if planned.spec.untrained),
        clips=tuple(results),
        not_reached=tuple(clip.id for clip in clips if clip.id not in reached),
        interrupted=stop.number,
        seconds=time.monotonic() - started,
        peak_memory_bytes=engine.peak_memory_bytes if engine else peak_memory(),
        start_seconds=max(0.0, begun - started),
        consumer_seconds=server.seconds_by_step() if server else None,
    )
    try:
        text = json.dumps(summary.to_json(), indent=2) + "\n"
        write_whole(report or plan.cache / REPORT_NAME, text, what="the report")
    except OSError as error:
        raise CacheFullError(f"the report can't be written: {error}") from error
    return summary


@dataclass
class FaultsInARow:
    """Count of clips, one after another, that failed by the same fault of the machine."""

    fault: str = ""
    count: int = 0

    def add(self, result: ClipResult) -> None:
        """Count a clip's result; a file that changed, or what the cache had already, says nothing.

        Raises:
            MachineError: ``MAX_FAULTS`` of them.
        """
        if result.fault == CHANGED or not any(one.fresh for one in result.sets.values()):
            return
        same = result.fault and result.fault == self.fault
        self.fault, self.count = result.fault, self.count + 1 if same else 1
        if self.fault and self.count == MAX_FAULTS:
            raise MachineError(
                f"{MAX_FAULTS} clips in a row failed by the same fault, which lies in this machine "
                f"or in what is installed: {result.reason}\nInstalled are {describe_versions()}. "
                "Nothing was recorded of these clips."
            )


def _progress(results: Sequence[ClipResult], clips: Sequence[Clip]) -> str:
    done = sum(not result.fault for result in results)
    return f"{done} of {len(clips)} clips are done and stay."


def _map_here(
    clips: Sequence[Clip],
    plan: Plan,
    share: Share,
    stop: StopRequest,
    server: Consumer | None,
    early: EarlyWorkers | None,
    display: Display,
) -> Generator[ClipResult]:
    """Extract clips in workers of this process, or in itself."""
    return map_clips(
        functools.partial(extract_clip, plan=plan),
        largest_first(clips) if share.jobs > 1 else clips,
        jobs=share.jobs,
        failed=functools.partial(_died, plan=plan),
        stopped=stop.asked,
        threads=1 if share.shared else share.threads,
        setup=server.setup if server else None,
        early=early,
        pace=display.pace,
    )


@contextlib.contextmanager
def _serving(plan: Plan, share: Share) -> Iterator[Consumer | None]:
    """Serve networks to the workers, if they share them."""
    if not (share.shared and plan.of_kind("network")):
        yield None
        return
    planned = {item.name: item for item in plan.of_kind("network")}
    with Consumer(
        lambda name: load_here(planned[name], plan), threads=share.threads, device=plan.device
    ) as consumer:
        yield consumer


def _died(clip: Clip, died: WorkerDied, *, plan: Plan) -> ClipResult:
    of_clip = died.of_clip and has_memory()  # libraries in C crash where they get none
    why = Blame(str(died)) if of_clip else Blame(f"{died}; {AGAIN}", "worker")
    return fail_clip(clip, plan, "worker", why)


def largest_first(clips: Sequence[Clip]) -> list[Clip]:
    """Sort clips by falling size, so that at the end no worker is left alone with a long one."""
    return sorted(clips, key=_size, reverse=True)


def _size(clip: Clip) -> float:
    try:
        size = clip.path.stat().st_size
    except (OSError, ValueError):
        return 0.0  # extracting it records the failure
    if clip.span.end is None:
        return size
    return min(size, (clip.span.end - clip.span.begin) * BYTES_PER_SECOND)
