"""Garbage: files and folders that nothing refers to any more, found first, removed on request."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cache.commit import find_death, is_alive, sync_folder, temporary_writer
from cache.entries.witness import WitnessError, find_witnesses, read_witness
from cache.packs.pack import find_packs
from cache.sets.feature_set import FeatureSet, list_sets
from cache.sets.scan import (
    PACKS,
    REMOVED,
    check_cache,
    count_bytes,
    find_removed,
    find_temporaries,
    leads_out,
)
from cache.upkeep.status import find_orphaned, find_stale_packs, judge_packs

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
        older_than_seconds: how long a temporary file of another host or container must not have
            changed for its writer to count as dead. Here, whether the writer runs is known.
        orphaned: also sets made from sets that the cache no longer has.
        sets: sets to remove, whatever they hold.

    Raises:
        NotACacheError: the folder is not a cache.
        SetInUseError: a set that would be removed is being written.
        NotADirectoryError: one is a link to a folder elsewhere.
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
        _refuse_link(path)
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
            found.append(Garbage("temporary file", path, dead, count_bytes(path)))
    rest = [item for item in there if item.folder not in removed]
    for name, reason in find_stale_packs(judge_packs(find_packs(cache), rest)).items():
        path = cache / PACKS / name
        if not leads_out(cache, path):
            found.append(Garbage("pack", path, reason, count_bytes(path)))
    for path in find_witnesses(cache):
        if not leads_out(cache, path) and _is_unused(path, rest):
            reason = "no set has its clip any more"
            found.append(Garbage("witness", path, reason, count_bytes(path)))
    for path in find_removed(cache):
        found.append(Garbage("removed set", path, "its removal was cut short", count_bytes(path)))
    return found


def remove_garbage(garbage: Sequence[Garbage]) -> int:
    """Remove what ``find_garbage`` listed and return the number of bytes set free.

    A set is first renamed, so that a kill leaves none that looks whole. Links are removed, never
    what they lead to. What can't be removed doesn't keep the rest.

    Raises:
        OSError: something can't be removed; all else is.
    """
    freed = 0
    kept: list[str] = []
    for item in garbage:
        try:
            path = _put_aside(item.path) if item.kind == "set" else item.path
            _remove(path)
        except OSError as error:
            kept.append(f"{item.path}: {error}")
        else:
            freed += item.bytes
    if kept:
        raise OSError(
            f"{len(kept)} of {len(garbage)} can't be removed, the rest is: {'; '.join(kept)}; "
            "remove them by hand"
        )
    return freed


def _put_aside(folder: Path) -> Path:
    """Give a set the name of one that is being removed."""
    aside = folder.with_name(f"{REMOVED}{folder.name}-{secrets.token_hex(3)}")
    _refuse_link(folder)
    folder.rename(aside)
    sync_folder(folder.parent)
    return aside


def _is_unused(witness: Path, sets: Sequence[FeatureSet]) -> bool:
    """Whether no set has an entry or a failure of the clip that a witness is of."""
    try:
        read_witness(witness)
    except (OSError, WitnessError):
        return False  # `cache verify` names it
    clip = witness.stem
    return not any(one.entry_path(clip).exists() or one.failure_path(clip).exists() for one in sets)


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise NotADirectoryError(
            f"{folder} is a link to {folder.readlink()}, which isn't removed through it; remove "
            "the link and, if nothing else needs it, that folder by hand"
        )


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds; nothing happens if it is gone."""
    with contextlib.suppress(FileNotFoundError):  # another process removes it too
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        try:
            shutil.rmtree(path)
        except PermissionError:  # folders in it that their owner may not read or change
            path.chmod(0o700)
            for top, names, _ in os.walk(path):
                for folder in (Path(top) / name for name in names):
                    if not folder.is_symlink():
                        folder.chmod(0o700)
            shutil.rmtree(path)


def _death(path: Path, older_than_seconds: float) -> str:
    """Say how the writer of a temporary file is known to be dead; empty if it may be alive."""
    writer = temporary_writer(path)
    if writer is None:
        return ""
    death = find_death(path, writer)
    if death or is_alive(writer):
        return death
    try:
        age = time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return ""  # committed or removed meanwhile
    if age < older_than_seconds:
        return ""
    return f"written on another host or in another container, unchanged for {age / 3600:.1f} hours"
