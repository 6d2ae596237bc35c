"""Decide which of a clip's sets must be computed, and record failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.commit import remove_durably
from cache.entries.entry import EntryError, EntryHeader, read_entry, read_entry_header
from cache.entries.failure import Failure
from cache.entries.source import Source
from cache.entries.source_check import SourceCheck
from cache.entries.trust import NO_ENTRY
from cache.manifest.manifest import Clip
from pipeline.choice.clip_persons import PERSONS
from pipeline.choice.overrides import OVERRIDES
from pipeline.extract.blame import Blame
from pipeline.extract.job import NOTED, ClipResult, SetResult
from pipeline.extract.plan import TOGETHER, Plan, PlannedSet
from pipeline.extract.versions import versions_for

# Facts of what decided an entry's faces beside its policy, and what it means that one differs.
CHOICES = {
    OVERRIDES: "other faces are chosen by hand",
    PERSONS: "the table of persons has it otherwise",
}


def find_known(
    clip: Clip,
    plan: Plan,
    check: SourceCheck,
    sets: Sequence[PlannedSet] | None = None,
    identities: Mapping[str, str] | None = None,
    again: dict[str, str] | None = None,
) -> dict[str, SetResult]:
    """Return what the cache already holds of a clip; sets that are left out must be computed.

    Args:
        clip: the clip.
        plan: the plan.
        check: the clip's file, as all its sets look at it.
        sets: those to look at, upstream first; None: all.
        identities: of entries that were made now, by the name of their set.
        again: filled with the reason why an entry that is there isn't of use, by its set.
    """
    seen = dict(identities or {})
    again = {} if again is None else again
    found: dict[str, SetResult] = {}
    for planned in plan.sets if sets is None else sets:
        result = _find_known(clip, plan, planned, check, seen, again)
        if result is not None:
            found[planned.name] = result
    together = [planned.name for planned in plan.of_kind(*TOGETHER)]
    lacking = [name for name in together if name not in found]
    if lacking:
        for name in found.keys() & set(together):
            del found[name]
            again.setdefault(name, f"it is made together with {lacking[0]}")
    return found


def _find_known(
    clip: Clip,
    plan: Plan,
    planned: PlannedSet,
    check: SourceCheck,
    seen: dict[str, str],
    again: dict[str, str],
) -> SetResult | None:
    """Look at one set; add the identity of a trusted entry to those seen, for sets made from it."""
    feature_set = plan.feature_sets[planned.name]
    path = feature_set.entry_path(clip.id)
    trust = feature_set.trust(clip.id, check, upstream=seen)
    if trust.header is not None and trust.header.identity:
        seen[planned.name] = trust.header.identity
    choices = plan.choices(clip.id, planned.kind)
    known = trust.reason if trust.header is None else _read_known(path, trust.header, plan, choices)
    if isinstance(known, SetResult):
        return known
    if known != NO_ENTRY:
        again.setdefault(planned.name, known)
    failure = None if plan.retry_failed else feature_set.failure(clip.id)
    if (
        failure
        and failure.still_counts(check)
        and _limits_hold((failure.reason,), failure.provenance, plan)
        and _choices_in(failure.provenance) == choices
        and failure.versions == versions_for(failure.stage, plan.provenance)
    ):
        return SetResult("failed", (failure.reason,), fresh=False)
    return None


def _read_known(
    path: Path, header: EntryHeader, plan: Plan, choices: Mapping[str, str]
) -> SetResult | str:
    """Return the result that a trusted entry stands for, or why it is of no use to this plan."""
    made_by = _choices_in(header.facts)
    for name, difference in CHOICES.items():
        if made_by.get(name) != choices.get(name):
            return difference
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if header.state == "partial" or NOTED in header.facts:
        try:
            entry = read_entry(path, ())
        except (EntryError, OSError) as error:  # behind its header, which is all that trust reads
            return f"the entry is damaged: {error}"
        if not _limits_hold(entry.missing, entry.provenance, plan):
            return "a limit that cut it short is another"
        missing, notes = entry.missing, tuple(entry.attributes.get("notes", ()))
    return SetResult(header.state, missing, False, header.coverage, notes)


def _choices_in(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of what decided an entry's faces, see ``Plan.choices``."""
    return {name: facts[name] for name in CHOICES if name in facts}


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
    why: Blame,
) -> dict[str, SetResult]:
    """Record why a clip has no entry in each of some sets, if the clip is to blame.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written.
    """
    for planned in () if why.fault else todo:
        feature_set = plan.feature_sets[planned.name]
        choices = plan.choices(clip.id, planned.kind)
        provenance = {**plan.provenance, **choices}
        path = feature_set.entry_path(clip.id)
        try:
            before = _choices_in(read_entry_header(path).facts)
        except (EntryError, OSError):
            before = {}
        if before != choices:  # an entry of another choice must not pass for this one's
            remove_durably(path)
        feature_set.record_failure(
            Failure(
                clip.id,
                stage,
                why.reason,
                None if why.unreadable else source,
                provenance=provenance,
                versions=versions_for(stage, plan.provenance),
            )
        )
    return {planned.name: SetResult("failed", (why.reason,), fault=why.fault) for planned in todo}


def fail_clip(clip: Clip, plan: Plan, stage: str, why: Blame) -> ClipResult:
    """Record a failure of every set that the clip lacks, if the clip is to blame.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written.
    """
    check = plan.check(clip)
    results = find_known(clip, plan, check)
    todo = [planned for planned in plan.sets if planned.name not in results]
    try:
        source = check.read()
    except OSError:
        source = None  # the record then counts for as long as the file can't be read
    return ClipResult(clip.id, results | record_failures(clip, plan, todo, source, stage, why))
