"""What the cache already says of a clip: entries to trust, failures not to retry; new failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cache.entries.coverage import Coverage, read_coverage
from cache.entries.entry import EntryError, read_entry_header
from cache.entries.failure import Failure
from cache.entries.source import Source, read_source
from cache.manifest.manifest import Clip
from cache.sets.feature_set import FeatureSet
from pipeline.extract.job import ClipResult, SetResult
from pipeline.extract.plan import Plan, PlannedSet
from pipeline.faces.overrides import OVERRIDES


def find_known(clip: Clip, plan: Plan, planned: PlannedSet) -> SetResult | None:
    """Return what the cache already holds for a clip; None if it must be computed."""
    feature_set = FeatureSet(plan.cache, planned.spec)
    start, end = clip.start_seconds, clip.end_seconds
    state = feature_set.trusted(clip.id, clip.path, start_seconds=start, end_seconds=end)
    by_hand = plan.by_hand(clip.id, planned.kind)
    if state is not None and _made_by_hand(feature_set, clip) != by_hand:
        state = None
    if state == "ok":
        return SetResult("ok", fresh=False)
    if state == "partial":
        try:
            entry = feature_set.read(clip.id, ())
        except (EntryError, OSError):
            return None  # damaged behind its header, which is all that trust looks at
        if _limits_hold(entry.missing, entry.provenance, plan):
            return SetResult("partial", entry.missing, fresh=False)
        return None
    failure = None if plan.retry_failed else feature_set.failure(clip.id)
    if (
        failure
        and failure.still_counts(clip.path, start_seconds=start, end_seconds=end)
        and _limits_hold((failure.reason,), failure.provenance, plan)
        and failure.provenance.get(OVERRIDES, "") == by_hand
    ):
        return SetResult("failed", (failure.reason,), fresh=False)
    return None


def _made_by_hand(feature_set: FeatureSet, clip: Clip) -> str:
    """Return the digest of the overrides that a clip's entry was made with; empty for none."""
    try:
        header = read_entry_header(feature_set.entry_path(clip.id))
    except (EntryError, OSError):
        return ""
    return str(header.facts.get(OVERRIDES, ""))


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
        feature_set = FeatureSet(plan.cache, planned.spec)
        by_hand = plan.by_hand(clip.id, planned.kind)
        provenance = {**plan.provenance, **({OVERRIDES: by_hand} if by_hand else {})}
        if _made_by_hand(feature_set, clip) != by_hand:
            feature_set.entry_path(clip.id).unlink(missing_ok=True)
        feature_set.record_failure(Failure(clip.id, stage, reason, source, provenance=provenance))
    return {planned.name: SetResult("failed", (reason,)) for planned in todo}


def find_coverage(clip: Clip, plan: Plan) -> Coverage | None:
    """Return a clip's coverage: of the faces that networks were given, else of all its faces.

    None where no set is made from faces, or its entry is not there or damaged; the failure is
    told elsewhere, and damage found by ``cache verify``.
    """
    for planned in (*plan.of_kind("network")[:1], *plan.of_kind("faces")):
        path = FeatureSet(plan.cache, planned.spec).entry_path(clip.id)
        try:
            return read_coverage(read_entry_header(path))
        except (OSError, ValueError):
            continue
    return None


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
    return ClipResult(clip.id, results | record_failures(clip, plan, todo, source, stage, reason))
