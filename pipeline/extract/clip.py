"""Extract one clip: video -> faces -> crops -> views -> embeddings -> entries.

``extract_clip`` brings every planned set of a clip up to date. What the cache knows of the clip is
looked up in ``pipeline.extract.known``, the stages are in ``picture`` and ``sound``, and what they
share of the clip is in ``job``. All of it streams: frames arrive in chunks, features leave in
chunks, and memory doesn't grow with length.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from cache.commit import CacheWriteError
from cache.entries.coverage import Coverage
from cache.entries.source import Source, SourceChangedError
from cache.entries.source_check import SourceCheck
from cache.manifest.manifest import Clip
from extractors.running.faults import describe_fault
from pipeline.extract.job import ClipResult, Compute, Job, SetResult
from pipeline.extract.known import find_known, record_failures
from pipeline.extract.picture import extract_faces, extract_networks
from pipeline.extract.plan import Kind, Plan, PlannedSet
from pipeline.extract.sound import extract_audio, extract_grids
from pipeline.faces.choice import MisfitError
from pipeline.media.declared import check_any_stream
from pipeline.media.frames import MediaError, probe
from pipeline.workers.error import MachineError
from pipeline.workers.remote import is_connected
from pipeline.workers.stopwatch import Stopwatch
from pipeline.workers.watchdog import time_limit

STAGES: tuple[tuple[Kind, Compute], ...] = (
    ("faces", extract_faces),
    ("network", extract_networks),
    ("audio", extract_audio),
    ("grid", extract_grids),
)


def extract_clip(clip: Clip, plan: Plan) -> ClipResult:
    """Compute what is missing of one clip's sets and commit each as an entry.

    A clip that can't be read becomes a recorded failure, never an exception: a run goes on. The
    result says what each step took: ``decode``, ``faces`` (find and follow them), ``crops``,
    ``network``, with a consumer ``queue`` and ``transfer`` (crops to it and embeddings back),
    ``sound``, ``load`` (networks, by a process's first clip), ``commit`` (entries) and ``other``.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written; going on would lose every clip.
        MachineError: what no clip is to blame for: weights that changed meanwhile, or a device that
            computes no more.
    """
    started = time.monotonic()
    watch, check = Stopwatch(), plan.check(clip)
    with watch.step("other"):
        try:
            results = find_known(clip, plan, check)
            if len(results) < len(plan.sets):
                _compute(clip, plan, results, watch, check)
        except SourceChangedError as error:  # no record: the next run finds another file
            results = {planned.name: SetResult("failed", (str(error),)) for planned in plan.sets}
    seconds = time.monotonic() - started
    return ClipResult(clip.id, results, _coverage(plan, results), seconds, watch.seconds)


def _compute(
    clip: Clip, plan: Plan, results: dict[str, SetResult], watch: Stopwatch, check: SourceCheck
) -> None:
    """Compute the sets that have no result yet, and add theirs."""
    source: Source | None = None
    try:
        source = check.read()
        with time_limit(plan.settings.hang_seconds):
            info = probe(clip.path, plan.settings.decode)
        job = Job(clip, plan, check, info, watch)
        check_any_stream(info)
    except SourceChangedError:
        raise
    except Exception as error:  # noqa: BLE001 - see _reason
        todo = [planned for planned in plan.sets if planned.name not in results]
        results |= record_failures(clip, plan, todo, source, "open", _reason(error))
        return
    try:
        for stage, compute in STAGES:
            planned = plan.of_kind(stage)
            # What is made from an entry that was made just now is of use only if that is the same.
            again = [p for p in planned if p.spec.upstream.keys() & job.identities.keys()]
            for name in {p.name for p in again} & results.keys():
                del results[name]
            results |= find_known(clip, plan, check, again, job.identities)
            todo = [p for p in planned if p.name not in results]
            if todo:
                results |= _attempt(job, stage, todo, compute, results)
    finally:
        job.wait_for_commits()


def _attempt(
    job: Job,
    stage: str,
    todo: Sequence[PlannedSet],
    compute: Compute,
    results: dict[str, SetResult],
) -> dict[str, SetResult]:
    """Run one stage; whatever goes wrong with the clip becomes its recorded failure."""
    for name in {name for planned in todo for name in planned.spec.upstream}:
        upstream = results.get(name)
        if upstream is not None and upstream.state == "failed":
            return record_failures(
                job.clip, job.plan, todo, job.source, name, "; ".join(upstream.why)
            )
    try:
        return compute(job, todo)
    except (CacheWriteError, MachineError, SourceChangedError):
        raise
    except Exception as error:
        # A GPU is tried where this process uses it: a try takes some of its memory.
        job.check.confirm()  # else it is no failure of what is there now
        uses = not is_connected() or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # PyTorch's own
        if uses and (fault := describe_fault(error, job.plan.device)):
            raise MachineError(fault) from error
        return record_failures(job.clip, job.plan, todo, job.source, stage, _reason(error))


def _coverage(plan: Plan, results: Mapping[str, SetResult]) -> Coverage | None:
    """Return a clip's coverage: of the faces that networks were given, else of all its faces."""
    sets = (*plan.of_kind("network")[:1], *plan.of_kind("faces"))
    found = [results[planned.name].coverage for planned in sets]
    return next((coverage for coverage in found if coverage is not None), None)


def _reason(error: Exception) -> str:
    """Say why a clip failed.

    Five libraries in C look at its bytes, each with exceptions of its own (cv2.error is no
    RuntimeError). What was not foreseen is recorded with its place, and the night's run goes on.
    """
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist"
    if isinstance(error, MediaError | MisfitError | OSError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"{type(error).__name__}: {error} ({where})"
