"""Extract one clip: video -> faces -> crops -> views -> embeddings -> entries.

``extract_clip`` brings every planned set of a clip up to date. What the cache knows of the clip is
looked up in ``pipeline.extract.known``, the stages are in ``picture`` and ``sound``, and what they
share of the clip is in ``job``. All of it streams: frames arrive in chunks, features leave in
chunks, and memory doesn't grow with length.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from cache.commit import CacheWriteError
from cache.entries.coverage import Coverage
from cache.entries.source import Source, SourceChangedError
from cache.entries.source_check import SourceCheck
from cache.manifest.manifest import Clip
from pipeline.extract.blame import CHANGED, Blame, blame
from pipeline.extract.job import ClipResult, Compute, Job, SetResult
from pipeline.extract.known import find_known, record_failures
from pipeline.extract.picture import extract_faces, extract_networks
from pipeline.extract.plan import TOGETHER, Kind, Plan, PlannedSet
from pipeline.extract.sound import extract_audio, extract_grids
from pipeline.media.container import readable
from pipeline.media.declared import check_any_stream
from pipeline.media.frames import probe
from pipeline.media.machine import ReadAgainError
from pipeline.workers.error import MachineError
from pipeline.workers.pulse import begin_clip
from pipeline.workers.remote import is_connected
from pipeline.workers.stopwatch import Stopwatch
from pipeline.workers.watchdog import time_limit

STAGES: tuple[tuple[tuple[Kind, ...], Compute], ...] = (
    (TOGETHER, extract_faces),
    (("network",), extract_networks),
    (("audio",), extract_audio),
    (("grid",), extract_grids),
)


def extract_clip(clip: Clip, plan: Plan) -> ClipResult:
    """Compute what is missing of one clip's sets and commit each as an entry.

    A clip that can't be read becomes a recorded failure, never an exception: a run goes on. A fault
    of the machine is a failure too, of which nothing is recorded. The result says what each step
    took: ``decode``, ``faces`` (find and follow them), ``crops``, ``network``, with a consumer
    ``queue`` and ``transfer`` (crops to it and embeddings back), ``sound``, ``load`` (networks, by
    a process's first clip), ``commit`` (entries) and ``other``.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written; going on would lose every clip.
        MachineError: what will meet every clip: weights that changed meanwhile, a library that is
            missing or too old, or a device that computes no more.
    """
    started, watch = time.monotonic(), Stopwatch()
    begin_clip()
    with watch.step("other"):
        try:
            results = _extract(clip, plan, watch)
        except SourceChangedError:  # or only its rights did: at once again, with what is there now
            try:
                results = _extract(clip, plan, watch)
            except SourceChangedError as error:  # no record: the next run finds another file
                failed = SetResult("failed", (str(error),), fault=CHANGED)
                results = {planned.name: failed for planned in plan.sets}
    seconds = time.monotonic() - started
    return ClipResult(clip.id, results, _coverage(plan, results), seconds, watch.seconds)


def _extract(clip: Clip, plan: Plan, watch: Stopwatch) -> dict[str, SetResult]:
    """Return a result for every set.

    Raises:
        cache.entries.source.SourceChangedError: the clip's file changed meanwhile.
    """
    results, check = dict[str, SetResult](), plan.check(clip)
    again: dict[str, str] = {}
    try:
        results |= find_known(clip, plan, check, again=again)
        if len(results) < len(plan.sets):
            _compute(clip, plan, results, watch, check, again)
    except SourceChangedError:
        raise
    except Exception as error:  # noqa: BLE001 - see _blame
        todo = [planned for planned in plan.sets if planned.name not in results]
        results |= record_failures(clip, plan, todo, None, "open", _blame(error, clip, plan))
    return {
        name: replace(result, again=again.get(name, "")) if result.fresh else result
        for name, result in results.items()
    }


def _compute(
    clip: Clip,
    plan: Plan,
    results: dict[str, SetResult],
    watch: Stopwatch,
    check: SourceCheck,
    again: dict[str, str],
) -> None:
    """Compute the sets that have no result yet; add theirs, and why an entry was made again."""
    source: Source | None = None
    try:
        with readable(clip.path):
            source = check.read()
        with time_limit(plan.settings.hang_seconds):
            info = probe(clip.path, plan.settings.decode)
        job = Job(clip, plan, check, info, watch)
        check_any_stream(info)
        passes = sum(
            any(planned.name not in results for planned in plan.of_kind(*kinds))
            for kinds in (TOGETHER, ("network",))
        )
        begin_clip(passes * info.expect_frames(clip.span))
    except SourceChangedError:
        raise
    except Exception as error:  # noqa: BLE001 - see _blame
        todo = [planned for planned in plan.sets if planned.name not in results]
        results |= record_failures(clip, plan, todo, source, "open", _blame(error, clip, plan))
        return
    try:
        for kinds, compute in STAGES:
            planned = plan.of_kind(*kinds)
            # What is made from an entry that was made just now is of use only if that is the same.
            rest = [p for p in planned if p.spec.upstream.keys() & job.identities.keys()]
            for name in {p.name for p in rest} & results.keys():
                del results[name]
            results |= find_known(clip, plan, check, rest, job.identities, again)
            todo = [p for p in planned if p.name not in results]
            if todo:
                results |= _attempt(job, kinds[0], todo, compute, results)
    finally:
        results |= _attempt(job, "faces", plan.of_kind(*TOGETHER), _wait, results)


def _wait(job: Job, _: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Wait for the faces that are committed in the background."""
    job.wait_for_commits()
    return {}


def _attempt(
    job: Job,
    stage: str,
    todo: Sequence[PlannedSet],
    compute: Compute,
    results: dict[str, SetResult],
) -> dict[str, SetResult]:
    """Run one stage; whatever goes wrong becomes a failure of its sets."""
    upstream_names = {name for planned in todo for name in planned.spec.upstream}
    for name in upstream_names - {planned.name for planned in todo}:
        upstream = results.get(name)
        if upstream is not None and upstream.state == "failed":
            why = Blame("; ".join(upstream.why), upstream.fault)
            return record_failures(job.clip, job.plan, todo, job.source, name, why)
    try:
        try:
            return compute(job, todo)
        except ReadAgainError:
            return compute(job, todo)
    except (CacheWriteError, MachineError, SourceChangedError):
        raise
    except Exception as error:  # noqa: BLE001 - see _blame
        job.check.confirm()  # else it is no failure of what is there now
        why = _blame(error, job.clip, job.plan)
        return record_failures(job.clip, job.plan, todo, job.source, stage, why)


def _blame(error: Exception, clip: Clip, plan: Plan) -> Blame:
    """Find what is to blame for an error.

    Five libraries in C look at a clip's bytes, each with exceptions of its own (cv2.error is no
    RuntimeError). A GPU is tried where this process uses it: a try takes some of its memory.

    Raises:
        cache.commit.CacheWriteError: it is the error.
        MachineError: it is the error, or meets every clip.
    """
    if isinstance(error, CacheWriteError | MachineError):
        raise error
    uses = not is_connected() or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # PyTorch's own
    return blame(error, clip.path, plan.device if uses else None)


def _coverage(plan: Plan, results: Mapping[str, SetResult]) -> Coverage | None:
    """Return a clip's coverage: of the faces that networks were given, else of all its faces."""
    sets = (*plan.of_kind("network")[:1], *plan.of_kind("faces"))
    found = [results[planned.name].coverage for planned in sets]
    return next((coverage for coverage in found if coverage is not None), None)
