"""Stage one for one clip: video -> faces -> crops -> views -> embeddings -> entries.

``extract_clip`` brings every planned set of a clip up to date and says what became of each. It
streams: frames arrive in chunks, features leave in chunks, and memory doesn't grow with length.
What looks at the picture is in ``pipeline.extract.picture``.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from cache.commit import CacheWriteError
from cache.entries.source import Source, read_source
from cache.manifest.manifest import Clip
from pipeline.extract.job import ClipResult, Compute, Job, SetResult
from pipeline.extract.known import find_coverage, find_known, record_failures
from pipeline.extract.picture import extract_faces, extract_networks
from pipeline.extract.plan import Kind, Plan, PlannedSet
from pipeline.extract.sound import _extract_audio, _extract_grids
from pipeline.faces.choice import MisfitError
from pipeline.media.frames import MediaError, probe
from pipeline.workers.watchdog import time_limit


def extract_clip(clip: Clip, plan: Plan) -> ClipResult:
    """Compute what is missing of one clip's sets and commit each as an entry.

    A clip that can't be read becomes a recorded failure, never an exception: a run goes on.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written; going on would lose every clip.
    """
    started = time.monotonic()
    results = {p.name: r for p in plan.sets if (r := find_known(clip, plan, p)) is not None}
    if len(results) < len(plan.sets):
        source: Source | None = None
        try:
            source = read_source(
                clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds
            )
            with time_limit(plan.settings.hang_seconds):
                info = probe(clip.path, plan.settings.decode)
            job = Job(clip, plan, source, info)
            if job.info.video is None and job.info.audio is None:
                raise MediaError(f"{clip.path} has neither picture nor sound")
        except Exception as error:  # noqa: BLE001 - see _reason
            todo = [planned for planned in plan.sets if planned.name not in results]
            results |= record_failures(clip, plan, todo, source, "open", _reason(error))
        else:
            try:
                for stage, compute in STAGES:
                    todo = [p for p in plan.of_kind(stage) if p.name not in results]
                    if todo:
                        results |= _attempt(job, stage, todo, compute, results)
            finally:
                job.settle()
    coverage = find_coverage(clip, plan)
    return ClipResult(clip.id, results, coverage, time.monotonic() - started)


STAGES: tuple[tuple[Kind, Compute], ...] = (
    ("faces", extract_faces),
    ("network", extract_networks),
    ("audio", _extract_audio),
    ("grid", _extract_grids),
)


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
    except CacheWriteError:
        raise
    except Exception as error:  # noqa: BLE001 - see _reason
        return record_failures(job.clip, job.plan, todo, job.source, stage, _reason(error))


def _reason(error: Exception) -> str:
    """Say why a clip failed.

    Five libraries in C look at its bytes, each with exceptions of its own (cv2.error is no
    RuntimeError). What was not foreseen is recorded with its place, and the night's run goes on.
    """
    if isinstance(error, MediaError | MisfitError | OSError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"{type(error).__name__}: {error} ({where})"
