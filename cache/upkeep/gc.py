"""Garbage: files and folders that nothing refers to any more, found first, removed on request."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cache.commit import is_alive, sync_folder, temporary_writer, this_host
from cache.entries.witness import WitnessError, find_witnesses, read_witness
from cache.packs.pack import find_packs
from cache.sets.feature_set import FeatureSet, list_sets
from cache.sets.scan import PACKS, REMOVED, check_cache, count_bytes, find_removed, find_temporaries
from cache.upkeep.status import find_orphaned, find_stale_packs

DAY_SECONDS = 86_400.0

Kind = Literal["temporary file", "pack", "set", "removed set", "witness"]


class SetInUseError(ValueError):
    """A set that is being written can't be removed."""


@dataclass(frozen=True)
class Garbage:
    """One file or folder that can be removed.

    Args:
        kind: what it is.
        path: where.
        reason: why nothing needs it.
        bytes: its size.
    """

    kind: Kind
    path: Path
    reason: str
    bytes: int


def find_garbage(
    cache: Path,
    *,
    older_than_seconds: float = DAY_SECONDS,
    orphaned: bool = False,
    sets: Sequence[FeatureSet] = (),
) -> list[Garbage]:
    """List what can be removed from a cache; removes nothing.

    That is: temporary files of writers that are dead, stale and damaged packs, witnesses of clips
    that no set has, what is left of sets whose removal was cut short, and, on request, sets.

    Args:
        cache: its folder.
        older_than_seconds: how long a temporary file of another host must not have changed for
            its writer to count as dead. On this host, whether the writer runs is known.
        orphaned: also sets made from sets that the cache no longer has.
        sets: sets to remove, whatever they hold.

    Raises:
        NotACacheError: the folder is not a cache.
        SetInUseError: a set that would be removed is being written.
        OSError: the cache can't be read.
    """
    check_cache(cache)
    there = list_sets(cache)
    found: list[Garbage] = []
    reasons = {item.folder.name: "asked for" for item in sets}
    if orphaned:
        for folder, upstream in find_orphaned(there).items():
            reasons.setdefault(folder, f"made from {', '.join(upstream)}, which is gone")
    temporaries = [(path, _death(path, older_than_seconds)) for path in find_temporaries(cache)]
    for folder, reason in reasons.items():
        path = cache / folder
        live = next((item for item, dead in temporaries if not dead and path in item.parents), None)
        if live:
            raise SetInUseError(
                f"{path} is being written: {live.name} belongs to a running process, or one on "
                "another host; end that first"
            )
        found.append(Garbage("set", path, reason, count_bytes(path)))
    removed = {item.path for item in found}
    for path, dead in temporaries:
        if dead and not removed & set(path.parents):
            found.append(_file("temporary file", path, dead))
    rest = [item for item in there if item.folder not in removed]
    for name, reason in find_stale_packs(find_packs(cache), rest).items():
        found.append(_file("pack", cache / PACKS / name, reason))
    for path in find_witnesses(cache):
        if _is_unused(path, rest):
            found.append(_file("witness", path, "no set has its clip any more"))
    for path in find_removed(cache):
        found.append(Garbage("removed set", path, "its removal was cut short", count_bytes(path)))
    return found


def remove_garbage(garbage: Sequence[Garbage]) -> int:
    """Remove what ``find_garbage`` listed and return the number of bytes set free.

    A set is first renamed, so that a kill leaves none that looks whole.

    Raises:
        OSError: something can't be removed.
    """
    freed = 0
    for item in garbage:
        if item.kind in ("temporary file", "pack", "witness"):
            if item.path.is_dir():
                shutil.rmtree(item.path)  # a set whose making was cut short
            else:
                item.path.unlink(missing_ok=True)
        else:
            _remove_folder(item.path)
        freed += item.bytes
    return freed


def _remove_folder(folder: Path) -> None:
    if not folder.name.startswith(REMOVED):
        aside = folder.with_name(f"{REMOVED}{folder.name}-{secrets.token_hex(3)}")
        folder.rename(aside)
        sync_folder(folder.parent)
        folder = aside
    shutil.rmtree(folder)


def _is_unused(witness: Path, sets: Sequence[FeatureSet]) -> bool:
    """Whether no set has an entry or a failure of the clip that a witness is of."""
    try:
        read_witness(witness)
    except (OSError, WitnessError):
        return False  # `cache verify` names it
    clip = witness.stem
    return not any(one.entry_path(clip).exists() or one.failure_path(clip).exists() for one in sets)


def _file(kind: Kind, path: Path, reason: str) -> Garbage:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0  # gone meanwhile; removing it is no error
    return Garbage(kind, path, reason, size)


def _death(path: Path, older_than_seconds: float) -> str:
    """Say how the writer of a temporary file is known to be dead; empty if it may be alive."""
    writer = temporary_writer(path)
    if writer is None:
        return ""
    if writer.host == this_host():
        return "" if is_alive(writer) else f"process {writer.pid}, which wrote it, is dead"
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return ""  # committed or removed meanwhile
    if age < older_than_seconds:
        return ""
    return f"written on another host, unchanged for {age / 3600:.1f} hours"
