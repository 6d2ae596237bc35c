"""Verify: read a whole cache through and compare everything that can be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from cache.codec import JsonFields
from cache.entries.entry import EntryError, read_entry_header, verify_entry
from cache.entries.failure import FailureRecordError, read_failure
from cache.entries.sealed import LayoutError, SealError, read_unchanged
from cache.entries.trust import find_upstream_problem
from cache.entries.witness import WitnessError, find_witnesses, read_witness
from cache.packs.pack import find_packs, verify_pack
from cache.sets.feature_set import FAILURES, FeatureSet, list_sets, shard_name
from cache.sets.scan import check_cache, find_broken_sets, find_temporaries, leads_out
from cache.upkeep.rounds import Round
from cache.upkeep.status import count_touched_packs, find_stale_packs, judge_packs

_BATCH = 64  # files a process is given at once, between two looks at the clock
Kind = Literal["entry", "failure", "pack", "set", "witness"]


@dataclass(frozen=True)
class Damage:
    """One file of a cache that isn't what it must be.

    Args:
        kind: what it is.
        path: the file.
        reason: what is wrong; names the clip.
    """

    kind: Kind
    path: Path
    reason: str


@dataclass(frozen=True)
class VerifyReport(JsonFields):
    """Findings of a verification.

    Args:
        cache: the cache's folder.
        entries: number of entries read.
        failures: number of failure records read.
        packs: number of packs read.
        damage: the damaged files.
        removed: those of them that were removed.
        stale_packs: names of packs that are whole and can't be used as they are, and why.
        touched_packs: number of packs whose entries were copied or touched since.
        temporaries: temporary files, of writers dead or alive; ``gc`` removes the dead ones.
        left: files that the round still has to read; 0 where no limit of time was set.
        round_started: when the round began, as ISO 8601; empty where no limit was set.
        superseded: entries that are whole, and made from others than those that are there now, and
            why; extract makes them again.
    """

    cache: Path
    entries: int
    failures: int
    packs: int
    damage: tuple[Damage, ...]
    removed: tuple[Path, ...]
    stale_packs: dict[str, str]
    touched_packs: int
    temporaries: tuple[Path, ...]
    left: int = 0
    round_started: str = ""
    superseded: dict[str, str] = field(default_factory=dict)


def verify_cache(
    cache: Path,
    *,
    sets: Sequence[FeatureSet] | None = None,
    remove: bool = False,
    jobs: int = 1,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Recompute every checksum of a cache, or as many as a limit of time allows.

    Args:
        cache: its folder.
        sets: the sets to look at; None: all, and the packs.
        remove: remove damaged files, except those of sets, so that they are made anew.
        jobs: number of processes that read.
        seconds: end after about as long, and go on there the next time, see
            ``cache.upkeep.rounds``; not together with ``sets``. None: read everything.
        progress: called with the number of files read and their total.

    Raises:
        NotACacheError: the folder is not a cache.
        CacheWriteError: how far it came can't be noted.
        OSError: it can't be read.
        ValueError: ``seconds`` and ``sets`` are both given.
    """
    if seconds is not None and sets is not None:
        raise ValueError("a limit of time goes round the whole cache; leave out the sets")
    check_cache(cache)
    there = list_sets(cache)
    chosen = there if sets is None else list(sets)
    files = [file for item in chosen for file in _files(item)]
    packs = find_packs(cache) if sets is None else []
    files += [_File("pack", path) for path in packs]
    if sets is None:
        files += [_File("witness", path) for path in find_witnesses(cache)]
    damage: list[Damage] = []
    if sets is None:
        damage += [Damage("set", path, reason) for path, reason in find_broken_sets(cache)]
    round_ = None if seconds is None else Round(cache, [file.path for file in files], seconds)
    if round_ is not None:
        by_path = {file.path: file for file in files}
        files = [by_path[path] for path in round_.todo]
    num_read = 0
    with _mapping(jobs) as run, round_ or contextlib.nullcontext():
        for start in range(0, len(files), batch := jobs * _BATCH):
            for found in run(files[start : start + batch]):
                num_read += 1
                if found:
                    damage.append(found)
                if progress:
                    progress(num_read, len(files))
            if round_ is not None and round_.is_over(num_read):
                break
    num_left, files = len(files) - num_read, files[:num_read]
    removed = _remove_damaged(cache, damage, files) if remove else []
    damaged = {item.path for item in damage}
    kinds = [file.kind for file in files]
    verdicts = judge_packs([path for path in packs if path not in damaged], there)
    return VerifyReport(
        cache=cache,
        entries=kinds.count("entry"),
        failures=kinds.count("failure"),
        packs=kinds.count("pack"),
        damage=tuple(damage),
        removed=tuple(removed),
        stale_packs=find_stale_packs(verdicts),
        touched_packs=count_touched_packs(verdicts),
        temporaries=tuple(find_temporaries(cache)),
        left=num_left,
        round_started=round_.started if round_ else "",
        superseded=_find_superseded(chosen, files, damaged),
    )


@dataclass(frozen=True, slots=True)
class _File:
    kind: Kind
    path: Path
    key: str = ""


def _files(feature_set: FeatureSet) -> Iterator[_File]:
    for path in sorted(feature_set.entry_paths()):
        yield _File("entry", path, feature_set.spec.key)
    for path in sorted(feature_set.folder.glob(f"{FAILURES}/[!.]*")):
        yield _File("failure", path)


def _find_damage(file: _File) -> Damage | None:
    try:
        return _read_through(file)
    except OSError as error:
        return Damage(file.kind, file.path, str(error))


def _read_through(file: _File) -> Damage | None:
    try:
        if file.kind == "entry":
            header = verify_entry(file.path)
            if header.key != file.key:
                raise EntryError(
                    f"clip {header.clip}: entry {file.path} has key {header.key[:12]}, "
                    f"its set has {file.key[:12]}"
                )
            if file.path.parent.name != shard_name(header.clip):
                raise EntryError(f"clip {header.clip}: entry {file.path} is in the wrong folder")
        elif file.kind == "failure":
            read_failure(file.path)
        elif file.kind == "witness":
            read_witness(file.path)
        else:
            read_unchanged(file.path, lambda: verify_pack(file.path))
    except FileNotFoundError:
        return None  # removed meanwhile
    except LayoutError:
        return None  # a pack of another version, whole or not; it is built anew
    except SealError as error:
        return Damage(file.kind, file.path, f"pack {file.path} is damaged: {error}")
    except (EntryError, FailureRecordError, WitnessError) as error:
        return Damage(file.kind, file.path, str(error))
    return None


def _find_superseded(
    sets: Sequence[FeatureSet], files: Sequence[_File], damaged: Set[Path]
) -> dict[str, str]:
    """Say which whole entries are of no use beside those that they must be made from."""
    found: dict[str, str] = {}
    by_key = {item.spec.key: item for item in sets if item.spec.upstream}
    for file in files:
        if file.key in by_key and file.path not in damaged:
            clip = file.path.stem
            with contextlib.suppress(EntryError, OSError):  # removed or damaged meanwhile
                header = read_entry_header(file.path)
                problem = find_upstream_problem(header, by_key[file.key].upstream_paths(clip))
                if problem:
                    found[str(file.path)] = f"clip {clip}: {problem}"
    return found


def _remove_damaged(cache: Path, damage: list[Damage], files: Sequence[_File]) -> list[Path]:
    """Remove damaged files and return their paths; the reasons of others say why they stay."""
    by_path = {file.path: file for file in files}
    removed: list[Path] = []
    for number, item in enumerate(damage):
        file = by_path.get(item.path)
        try:
            if file is None or _read_through(file) is None:
                continue  # another process has replaced it by a whole one
            if leads_out(cache, item.path):
                raise OSError("a folder above it is a link out of the cache")
            item.path.unlink(missing_ok=True)
            removed.append(item.path)
        except OSError as error:
            damage[number] = replace(item, reason=f"{item.reason}; it isn't removed: {error}")
    return removed


@contextlib.contextmanager
def _mapping(
    jobs: int,
) -> Iterator[Callable[[Sequence[_File]], Iterator[Damage | None]]]:
    if jobs <= 1:
        yield lambda files: map(_find_damage, files)
        return
    try:
        executor = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    except OSError as error:
        raise OSError(
            f"several processes need semaphores, which Linux keeps in /dev/shm ({error.strerror}): "
            "make room or give access there, or use --jobs 1"
        ) from error
    with executor as pool:
        yield lambda files: pool.map(_find_damage, files, chunksize=16)
