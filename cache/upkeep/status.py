"""Status: the contents of a cache, set by set, and the sets that look stale or orphaned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache.codec import fields_to_json
from cache.digest import JSON
from cache.entries.coverage import CorpusCoverage, Coverage, add_coverage
from cache.entries.entry import EntryError, EntryHeader, read_entry_header
from cache.entries.sealed import SealError
from cache.entries.source_check import SourceCheck
from cache.manifest.clip import Clip
from cache.packs.pack import PackVerdict, find_packs, judge_pack
from cache.sets.feature_set import FeatureSet, list_sets
from cache.sets.freshness import Freshness, check_freshness
from cache.sets.scan import (
    check_cache,
    count_bytes,
    find_broken_sets,
    find_removed,
    find_temporaries,
)
from cache.sets.spec import KEY_IN_NAME, explain_difference


@dataclass(frozen=True)
class SetStatus:
    """Contents and health of a feature set.

    Args:
        name: the set's name.
        folder: its folder's name.
        key: its key.
        created: when, as ISO 8601; empty if unknown.
        untrained: whether the weights are random.
        ok: number of entries with everything.
        partial: number of entries that lack something.
        failed: number of clips with a failure and no entry.
        damaged: number of entries whose header is damaged or size wrong; ``verify`` finds more.
        bytes: size of all entries.
        steps: length of all entries together.
        orphaned: upstream sets that the cache no longer has, as ``name-key``.
        newer: the newest set of the same name, if this isn't it.
        differences: what this set was made with, against that one: ``setting: old -> new``.
        manifest: with a manifest, its clips that are done, stale, failed and missing here; and of
            those done, how many couldn't be compared with their files (``unchecked``).
        stale: number of the manifest's stale clips by the reason.
        unchecked: number of its clips that couldn't be compared by the reason.
        plugin: name and version of the distribution that makes the set; empty for avfuse.
        coverage: frames with a face, of a set made from faces; with a manifest, of its clips.
    """

    name: str
    folder: str
    key: str
    created: str
    untrained: bool
    ok: int
    partial: int
    failed: int
    damaged: int
    bytes: int
    steps: int
    orphaned: tuple[str, ...]
    newer: str | None
    differences: tuple[str, ...]
    manifest: Mapping[str, int] | None
    coverage: CorpusCoverage | None = None
    stale: Mapping[str, int] = field(default_factory=dict)
    unchecked: Mapping[str, int] = field(default_factory=dict)
    plugin: str = ""

    @property
    def entries(self) -> int:
        """Number of entries that can be read."""
        return self.ok + self.partial

    def to_json(self) -> dict[str, JSON]:
        """Return the fields and the number of entries, ready for JSON."""
        return {**fields_to_json(self), "entries": self.entries}


@dataclass(frozen=True)
class CacheStatus:
    """Contents and health of a cache.

    Args:
        cache: its folder.
        sets: its sets.
        broken: folders of sets whose ``set.json`` is missing or damaged, and what is wrong.
        packs: number of packs.
        pack_bytes: their size.
        stale_packs: names of packs that can't be used as they are, and why.
        touched_packs: number of packs whose entries were copied or touched since; they hold what
            the entries hold, and are used as they are.
        temporaries: number of temporary files, of writers dead or alive.
        removed: number of sets whose removal was cut short.
    """

    cache: Path
    sets: tuple[SetStatus, ...]
    broken: Mapping[str, str]
    packs: int
    pack_bytes: int
    stale_packs: Mapping[str, str]
    touched_packs: int
    temporaries: int
    removed: int

    @property
    def healthy(self) -> bool:
        """Whether nothing is failed, damaged or broken."""
        return not self.broken and not any(item.failed or item.damaged for item in self.sets)

    def to_json(self) -> dict[str, JSON]:
        """Return the fields and whether all is well, ready for JSON."""
        return {**fields_to_json(self), "healthy": self.healthy}


def read_status(cache: Path, clips: Mapping[str, Clip] | None = None) -> CacheStatus:
    """Look through a cache; opens no entry with HDF5, so ten thousand take under a second.

    Args:
        cache: its folder.
        clips: a manifest's rows by id, to count the clips that are done and those that are stale.

    Raises:
        NotACacheError: the folder is not a cache.
        OSError: it can't be read.
    """
    check_cache(cache)
    sets = list_sets(cache)
    packs = find_packs(cache)
    verdicts = judge_packs(packs, sets)
    checks: dict[str, SourceCheck] = {}
    return CacheStatus(
        cache=cache,
        sets=tuple(_read_set(item, sets, clips, checks) for item in sets),
        broken={folder.name: reason for folder, reason in find_broken_sets(cache)},
        packs=len(packs),
        pack_bytes=count_bytes((cache / "packs").resolve()),
        stale_packs=find_stale_packs(verdicts),
        touched_packs=count_touched_packs(verdicts),
        temporaries=sum(1 for _ in find_temporaries(cache)),
        removed=len(find_removed(cache)),
    )


def judge_packs(packs: Sequence[Path], sets: Sequence[FeatureSet]) -> dict[str, PackVerdict]:
    """Say of each pack, by its name, whether it can be used as it is."""
    by_folder = {item.folder.name: item for item in sets}
    verdicts: dict[str, PackVerdict] = {}
    for path in packs:
        try:
            verdicts[path.name] = judge_pack(path, by_folder)
        except FileNotFoundError:
            continue  # removed meanwhile
        except (SealError, OSError) as error:
            verdicts[path.name] = PackVerdict("stale", f"damaged: {error}")
    return verdicts


def find_stale_packs(verdicts: Mapping[str, PackVerdict]) -> dict[str, str]:
    """Return the names of packs that can't be used as they are, and why."""
    return {name: one.reason for name, one in verdicts.items() if one.state == "stale"}


def count_touched_packs(verdicts: Mapping[str, PackVerdict]) -> int:
    """Count the packs whose entries were copied or touched since, and hold what they held."""
    return sum(one.state == "copied or touched" for one in verdicts.values())


def find_orphaned(sets: Sequence[FeatureSet]) -> dict[str, tuple[str, ...]]:
    """Return the folders of sets that rest on sets which are gone, with those.

    A set whose upstream is itself orphaned is not: its upstream's entries are there.
    """
    keys = {item.spec.key for item in sets}
    gone = {
        item.folder.name: tuple(
            f"{name}-{key[:KEY_IN_NAME]}"
            for name, key in item.spec.upstream.items()
            if key not in keys
        )
        for item in sets
    }
    return {folder: upstream for folder, upstream in gone.items() if upstream}


def _read_set(
    feature_set: FeatureSet,
    sets: Sequence[FeatureSet],
    clips: Mapping[str, Clip] | None,
    checks: dict[str, SourceCheck],
) -> SetStatus:
    spec = feature_set.spec
    counts = {"ok": 0, "partial": 0, "damaged": 0}
    num_bytes = steps = 0
    done: set[str] = set()
    headers: dict[str, EntryHeader] = {}
    covered: dict[str, Coverage] = {}
    for path in feature_set.entry_paths():
        try:
            header = read_entry_header(path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except (EntryError, OSError):
            counts["damaged"] += 1
            continue
        counts[header.state] += 1
        num_bytes += header.seal.bytes
        steps += header.steps
        done.add(header.clip)
        if clips is not None and header.clip not in clips:
            continue
        headers[header.clip] = header
        if header.coverage is not None:
            covered[header.clip] = header.coverage
    failed = {failure.clip for failure in feature_set.failures()} - done
    newest = max(
        (item for item in sets if item.spec.name == spec.name), key=lambda item: _created(item)
    )
    older = newest.spec.key != spec.key
    specs = {item.spec.key: item.spec for item in sets}
    manifest = None
    found = Freshness()
    if clips is not None:
        found = check_freshness([(feature_set, headers)], clips, checks)
        manifest = {
            "clips": len(clips),
            "done": len(headers) - len(found.stale),
            "stale": len(found.stale),
            "unchecked": len(found.unchecked.keys() - found.stale.keys()),
            "failed": len(clips.keys() & failed),
            "missing": len(clips.keys() - done - failed),
            "others": len(done - clips.keys()),
        }
    return SetStatus(
        name=spec.name,
        folder=feature_set.folder.name,
        key=spec.key,
        created=_created(feature_set)[0],
        untrained=spec.untrained,
        plugin=spec.plugin,
        failed=len(failed),
        bytes=num_bytes,
        steps=steps,
        orphaned=find_orphaned(sets).get(feature_set.folder.name, ()),
        newer=newest.folder.name if older else None,
        differences=tuple(explain_difference(spec, newest.spec, specs)) if older else (),
        manifest=manifest,
        coverage=add_coverage(covered) if covered else None,
        stale=Counter(found.stale.values()),
        unchecked=Counter(why for clip, why in found.unchecked.items() if clip not in found.stale),
        **counts,
    )


def _created(feature_set: FeatureSet) -> tuple[str, str]:
    # Two sets of one second: the folder's name decides, so that exactly one is the newest.
    return str(feature_set.provenance.get("date", "")), feature_set.folder.name
