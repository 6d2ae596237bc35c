"""What the cache already says of a clip: entries to trust, failures not to retry; new failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cache.entry import EntryError
from cache.failure import Failure
from cache.feature_set import FeatureSet
from cache.manifest import Clip
from cache.source import Source, read_source
from pipeline.results import ClipResult, SetResult
from pipeline.rungs import Rung
from pipeline.sets import Plan, PlannedSet


def find_known(clip: Clip, plan: Plan, planned: PlannedSet) -> SetResult | None:
    """Return what the cache already holds for a clip; None if it must be computed."""
    feature_set = FeatureSet(plan.cache, planned.spec)
    start, end = clip.start_seconds, clip.end_seconds
    state = feature_set.trusted(clip.clip, clip.path, start_seconds=start, end_seconds=end)
    if state == "ok":
        return SetResult("ok", fresh=False)
    if state == "partial":
        try:
            entry = feature_set.read(clip.clip, ())
        except (EntryError, OSError):
            return None  # damaged behind its header, which is all that trust looks at
        if _limits_hold(entry.missing, entry.provenance, plan):
            return SetResult("partial", entry.missing, fresh=False)
        return None
    failure = None if plan.retry_failed else feature_set.failure(clip.clip)
    if (
        failure
        and failure.still_counts(clip.path, start_seconds=start, end_seconds=end)
        and _limits_hold((failure.reason,), failure.provenance, plan)
    ):
        return SetResult("failed", (failure.reason,), fresh=False)
    return None


def _limits_hold(why: Sequence[str], provenance: Mapping[str, Any], plan: Plan) -> bool:
    """Whether the limits that cut a clip short are still the same.

    They are in no key, because they change no clip that is within them; a reason that comes from
    one names it in parentheses.
    """
    before, now = provenance.get("limits", {}), plan.provenance.get("limits", {})
    named = [name for name in now if any(f"({name}" in text for text in why)]
    return all(before.get(name) == now[name] for name in named)


def record_failures(
    clip: Clip,
    plan: Plan,
    todo: Sequence[PlannedSet],
    source: Source | None,
    stage: str,
    reason: str,
) -> dict[str, SetResult]:
    """Record why a clip has no entry in each of some sets.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written.
    """
    for planned in todo:
        failure = Failure(clip.clip, stage, reason, source, provenance=plan.provenance)
        FeatureSet(plan.cache, planned.spec).record_failure(failure)
    return {planned.name: SetResult("failed", (reason,)) for planned in todo}


def count_rungs(clip: Clip, plan: Plan) -> dict[str, int]:
    """Count a clip's frames by how the face was had."""
    feature_set = FeatureSet(plan.cache, plan.of_kind("faces")[0].spec)
    try:
        rungs = feature_set.read(clip.clip, ("rung",)).arrays["rung"]
        numbers, counts = np.unique(rungs, return_counts=True)
        return {Rung(n).name.lower(): int(c) for n, c in zip(numbers, counts, strict=True)}
    except (OSError, ValueError):
        return {}  # none, whose failure is told elsewhere, or damaged, which `cache verify` finds


def fail_clip(clip: Clip, plan: Plan, stage: str, reason: str) -> ClipResult:
    """Record a failure of every set that the clip lacks.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written.
    """
    results = {p.name: r for p in plan.sets if (r := find_known(clip, plan, p)) is not None}
    todo = [planned for planned in plan.sets if planned.name not in results]
    try:
        source = read_source(
            clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds
        )
    except OSError:
        source = None  # the record then counts for as long as the file can't be read
    return ClipResult(clip.clip, results | record_failures(clip, plan, todo, source, stage, reason))
