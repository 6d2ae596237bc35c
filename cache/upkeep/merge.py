"""Merge: bring the entries of other caches into one, each verified on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from cache.codec import JsonFields
from cache.commit import make_folder, make_last_folder, remove_durably, whole_file, write_error
from cache.entries.entry import KIND as ENTRY
from cache.entries.entry import EntryError, EntryHeader, read_entry, verify_entry
from cache.entries.failure import FailureRecordError, read_failure
from cache.entries.sealed import SealError, read_header, verify_body
from cache.entries.trust import find_upstream_problem
from cache.sets.feature_set import FAILURES, FeatureSet, SetError, list_sets
from cache.sets.scan import check_cache, find_broken_sets

Outcome: TypeAlias = Literal["conflict", "damaged"]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LeftOut:
    """One file of another cache that was not taken over.

    Args:
        outcome: ``conflict``: something else is there; ``damaged``: it isn't whole.
        path: the file, or a set's folder.
        reason: what is wrong with it or differs; names the clip.
    """

    outcome: Outcome
    path: Path
    reason: str


@dataclass
class MergedSet(JsonFields):
    """Counts of one set's clips.

    Args:
        copied: entries that were written.
        same: entries that were there already, with the same content.
        failures: records of failures that were written.
    """

    copied: int = 0
    same: int = 0
    failures: int = 0


@dataclass(frozen=True)
class MergeReport(JsonFields):
    """Outcome of a merge.

    Args:
        into: the cache that was added to.
        sets: folder of a set -> counts.
        left_out: what was not taken over, and why.
    """

    into: Path
    sets: dict[str, MergedSet] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


class SameCacheError(ValueError):
    """A cache can't be merged into itself."""


def merge_caches(
    into: Path,
    sources: Sequence[Path],
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> MergeReport:
    """Copy every set, entry and record of a failure that a cache lacks from other caches.

    Every entry is verified before it is copied, and what was written is compared with it. Nothing
    is overwritten: what differs from an entry that is there, or is made from one that does, is a
    conflict and left out. A failure is taken over only for a clip of which nothing is known, and
    an entry counts for more. Packs are not copied, because training builds them.

    Args:
        into: the cache to add to; made if it doesn't exist.
        sources: the other caches; the first that has an entry gives it.
        dry_run: verify and compare, and write nothing.
        progress: called with the number of files done and their total.

    Raises:
        NotACacheError: a source is not a cache.
        SameCacheError: a source is ``into``.
        CacheWriteError: ``into`` can't be written; what was copied stays, and the same call goes
            on.
        OSError: a source can't be read.
    """
    report = MergeReport(into)
    found: list[tuple[FeatureSet, FeatureSet, list[Path], list[Path]]] = []
    for source in sources:
        check_cache(source)
        if source.resolve() == into.resolve():
            raise SameCacheError(f"{source} and {into} are one cache; name another to merge from")
        report.left_out.extend(
            LeftOut("damaged", path, reason) for path, reason in find_broken_sets(source)
        )
        for theirs in _upstream_first(list_sets(source)):
            ours = FeatureSet(into, theirs.spec)
            failures = sorted(theirs.folder.glob(f"{FAILURES}/[!.]*.json"))
            found.append((ours, theirs, sorted(theirs.entry_paths()), failures))
    total = sum(len(entries) + len(failures) for *_, entries, failures in found)
    done = 0
    for ours, theirs, entries, failures in found:
        try:
            if not dry_run:
                make_folder(into)
                ours.create(theirs.provenance)
        except SetError as error:
            report.left_out.append(LeftOut("conflict", theirs.folder, str(error)))
            done += len(entries) + len(failures)
            continue
        counts = report.sets.setdefault(ours.folder.name, MergedSet())
        for path in [*entries, *failures]:
            one = _merge_entry if path.suffix == ".h5" else _merge_failure
            left_out = one(ours, theirs, path, counts, dry_run=dry_run)
            if left_out:
                report.left_out.append(left_out)
            done += 1
            if progress:
                progress(done, total)
    return report


def _upstream_first(sets: Sequence[FeatureSet]) -> Iterator[FeatureSet]:
    """Yield sets so that each follows those it is made from: so are they committed as well."""
    left = {item.spec.key: item for item in sets}

    def take(item: FeatureSet) -> Iterator[FeatureSet]:
        for key in item.spec.upstream.values():
            if key in left:
                yield from take(left.pop(key))
        yield item

    while left:
        yield from take(left.pop(next(iter(left))))


def _merge_entry(
    ours: FeatureSet, theirs: FeatureSet, path: Path, counts: MergedSet, *, dry_run: bool
) -> LeftOut | None:
    try:
        header = verify_entry(path)
        target = ours.entry_path(header.clip)
        if header.key != theirs.spec.key or path != theirs.entry_path(header.clip):
            raise EntryError(f"clip {header.clip}: entry {path} is not of this set or folder")
    except FileNotFoundError:
        return None  # removed meanwhile
    except EntryError as error:
        return LeftOut("damaged", path, str(error))
    if target.exists():
        try:
            difference = _find_difference(target, path)
        except EntryError as error:
            difference = str(error)
        if difference:
            reason = f"clip {header.clip}: {path} was not taken, {target} stays: {difference}"
            return LeftOut("conflict", path, reason)
        counts.same += 1
        return None
    upstream = {name: one for name, one in ours.upstream_paths(header.clip).items() if one.exists()}
    if problem := find_upstream_problem(header, upstream):
        return LeftOut("conflict", path, f"clip {header.clip}: {path}: {problem} in {ours.cache}")
    if not dry_run:
        try:
            _copy(path, target, header)
        except (EntryError, SealError) as error:
            return LeftOut("damaged", path, f"clip {header.clip}: {path}: {error}")
        remove_durably(ours.failure_path(header.clip))
    counts.copied += 1
    return None


def _find_difference(ours: Path, theirs: Path) -> str:
    """Say in what an entry differs from another of its clip and set; empty if in nothing.

    Who made it, when and with which versions doesn't count.

    Raises:
        EntryError: one of them is damaged.
    """
    here, there = read_entry(ours, ()), read_entry(theirs, ())
    if (here.identity, here.upstream) == (there.identity, there.upstream):
        return ""
    if not here.source.same_content(there.source):
        return "they were made from different files, or parts of one"
    names = sorted({*here.checksums, *there.checksums})
    other = [name for name in names if here.checksums.get(name) != there.checksums.get(name)]
    if other:
        return f"they differ in the values of {', '.join(other)}"
    if here.upstream != there.upstream:
        return "they have the same values, but were made from different entries"
    return "they have the same values, but differ in what is missing or odd of the clip"


def _copy(path: Path, target: Path, header: EntryHeader) -> None:
    """Copy an entry, durably, and compare what was written with what was verified.

    Raises:
        EntryError: the entry can't be read.
        SealError: it was replaced meanwhile, or the disk wrote something else.
        CacheWriteError: it can't be written.
    """
    try:
        make_last_folder(target)
        with whole_file(target) as temporary:
            with temporary.open("wb") as file:
                for chunk in _read_chunks(path):
                    file.write(chunk)
            written = read_header(temporary, ENTRY)
            if written.fields != header.seal.fields:
                raise SealError("another process replaced it while it was copied; merge again")
            verify_body(temporary, written)
    except OSError as error:
        raise write_error(f"clip {header.clip}: its entry", target, error) from error


def _read_chunks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes; what fails is an error of this file, not of the one written to."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise EntryError(f"it can't be read: {error}") from error


def _merge_failure(
    ours: FeatureSet, theirs: FeatureSet, path: Path, counts: MergedSet, *, dry_run: bool
) -> LeftOut | None:
    try:
        failure = read_failure(path)
    except FileNotFoundError:
        return None  # removed meanwhile
    except FailureRecordError as error:
        return LeftOut("damaged", path, str(error))
    known = (
        theirs.entry_path(failure.clip),
        ours.entry_path(failure.clip),
        ours.failure_path(failure.clip),
    )
    if not any(item.exists() for item in known):
        if not dry_run:
            ours.record_failure(failure)
        counts.failures += 1
    return None
