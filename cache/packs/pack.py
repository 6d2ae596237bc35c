"""Packs: one array of all entries of a feature set, as one ragged array that loads at disk speed.

A pack is a copy. It lies under ``CACHE/packs``, is written like an entry, and remembers the digest
that each entry's header states, so that ten thousand are compared without HDF5. It is built anew
when any differs, an entry came or went, or it is damaged; entries are verified for it. Entries that
were only copied or touched are the same entries.

Packs of several arrays are of one state of the entries if they are opened with the same headers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from cache.digest import digest_json
from cache.entries.entry import KIND as ENTRY
from cache.entries.entry import EntryHeader, EntryState
from cache.entries.sealed import Header, LayoutError, SealError, read_header, verify_body
from cache.packs.build import (
    EntryChangedError,
    PackError,
    PackPlan,
    build_pack,
    digest_entries,
    stat_entries,
)
from cache.packs.stated import PackTables, read_pack_header, read_tables
from cache.packs.sums import PackSums, check_mapped, check_rest, read_values
from cache.sets.feature_set import FeatureSet
from cache.sets.main_array import WHOLE
from cache.sets.scan import PACKS

__all__ = [
    "Pack",
    "PackError",
    "PackVerdict",
    "find_packs",
    "judge_pack",
    "open_pack",
    "until_unchanged",
    "verify_pack",
]

T = TypeVar("T")

_ATTEMPTS = 3
_SHOWN = 10


@dataclass(frozen=True)
class Pack:
    """One array of many clips, ragged; clip i has the rows ``offsets[i]`` to ``offsets[i + 1]``.

    Args:
        clip_ids: the N clips, in the order asked for.
        values: (sum T, ...), the array's rows; read-only.
        times: (sum T,), float64, seconds from each clip's start.
        offsets: (N + 1,), int64.
        states: ``ok`` or ``partial`` per clip.
        missing: what is missing, per clip.
        entry_checksums: SHA-256 of the array in each clip's entry.
        skipped: clips without an entry that were asked for, and why they have none.
        path: the pack's file.
        built: why the file was written just now; empty if it was there.
    """

    clip_ids: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray
    offsets: np.ndarray
    states: tuple[EntryState, ...]
    missing: tuple[tuple[str, ...], ...]
    entry_checksums: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()
    built: str = ""

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Each clip's number."""
        return {clip: number for number, clip in enumerate(self.clip_ids)}

    def rows(self, clip: str) -> slice:
        """Return the rows of a clip in ``values`` and ``times``.

        Raises:
            KeyError: the pack doesn't have the clip.
        """
        number = self.index[clip]
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))


def open_pack(
    feature_set: FeatureSet,
    clip_ids: Sequence[str],
    array: str,
    *,
    headers: Mapping[str, EntryHeader] | None = None,
    dtype: str = "float32",
    missing: Literal["error", "skip"] = "error",
    verify: bool = True,
    in_memory: bool = True,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pack:
    """Open the pack of one array of the given clips; build it where there is none or a stale one.

    Args:
        feature_set: the set.
        clip_ids: the clips, in the order wanted.
        array: name of a top-level array of the entries, or of one with a row for the whole clip.
        headers: clip to the header of the entry that its rows shall come from, as
            ``FeatureSet.read_headers`` returned it; None: of the entries that are there now.
        dtype: what the values are stored as; every value must fit.
        missing: what to do about clips without an entry: refuse, or leave them out and name
            them in ``Pack.skipped``.
        verify: check the pack's content before use, the very bytes that are returned; see
            ``cache.packs.sums``. It costs a fifth of reading them.
        in_memory: read the values; False maps the file, for packs larger than the memory.
        folder: where packs are; None: ``CACHE/packs``. For a cache that can't be written.
        progress: called with the number of entries read and their total, while building.

    Raises:
        PackError: a clip has no entry, a clip is named twice, no clip has one, rows differ in
            shape between clips, or values don't fit ``dtype``.
        EntryError: an entry is damaged or lacks the array; names the clip.
        EntryChangedError: with ``headers``, an entry is no longer the one that they are of; see
            ``until_unchanged``.
        CacheWriteError: the pack can't be written.
        OSError: an entry can't be read.
    """

    def read(headers: Mapping[str, EntryHeader]) -> Pack:
        plan = _plan(feature_set, clip_ids, array, headers, dtype, folder)
        skipped = _explain_absent(plan, missing)
        try:
            reason, tables = _find_reason_to_build(plan, verify=verify)
            if tables and not reason:
                try:
                    return _load(plan.path, tables, skipped, verify=verify, in_memory=in_memory)
                except SealError as error:
                    reason = f"it was damaged: {error}"
            build_pack(plan, progress=progress)
            tables = read_tables(plan.path, read_pack_header(plan.path))
            if _find_change(tables, plan.seals):
                raise EntryChangedError(f"{plan.path} is of other entries again")
            return _load(
                plan.path, tables, skipped, built=reason, verify=False, in_memory=in_memory
            )
        except FileNotFoundError as error:
            raise EntryChangedError(str(error)) from error

    if headers is not None:
        return read(headers)
    return until_unchanged(feature_set.folder, lambda: read(feature_set.read_headers(clip_ids)))


def until_unchanged(folder: Path, read: Callable[[], T]) -> T:
    """Read what other processes may be writing, again if an entry changed between two looks.

    Args:
        folder: whose entries are read, for the message.
        read: reads headers, and packs of the entries that they are of.

    Raises:
        PackError: entries changed each time.
    """
    for _ in range(_ATTEMPTS):
        try:
            return read()
        except EntryChangedError:
            continue
    raise PackError(
        f"the entries of {folder} changed {_ATTEMPTS} times while being packed; "
        "wait until the extraction writing them has ended"
    )


def verify_pack(path: Path) -> None:
    """Read a pack through and compare everything that can be compared.

    Raises:
        SealError: it is damaged.
        OSError: it can't be read.
    """
    header = read_pack_header(path)
    verify_body(path, header)
    read_tables(path, header)


def find_packs(cache: Path) -> list[Path]:
    """Return the paths of all packs of a cache, sorted."""
    return sorted((cache / PACKS).glob("[!.]*.h5"))


@dataclass(frozen=True)
class PackVerdict:
    """Verdict on a pack: whether it can be used as it is.

    Args:
        state: ``copied or touched`` where the files of entries were, and hold what they held.
        reason: why it is stale; empty if it isn't.
    """

    state: Literal["fresh", "copied or touched", "stale"]
    reason: str = ""


def judge_pack(path: Path, sets: Mapping[str, FeatureSet]) -> PackVerdict:
    """Say whether a pack can be used as it is.

    Args:
        path: the pack.
        sets: the cache's sets by the name of their folder.

    Raises:
        SealError: the pack is damaged.
        OSError: it can't be read.
    """
    try:
        header = read_pack_header(path)
    except LayoutError as error:
        return PackVerdict("stale", str(error))
    tables = read_tables(path, header)
    clips = tables.index.clips
    feature_set = sets.get(header.fields["set"])
    if feature_set is None or feature_set.spec.key != header.fields["key"]:
        return PackVerdict("stale", f"its feature set {header.fields['set']} is gone")
    seals: dict[str, Header] = {}
    for clip in clips:
        # One that is gone or damaged can't be the one that was packed.
        with contextlib.suppress(FileNotFoundError, SealError):
            seals[clip] = read_header(feature_set.entry_path(clip), ENTRY)
    reason = _find_change(tables, seals)
    if reason:
        return PackVerdict("stale", reason)
    touched = (tables.entry_stats != stat_entries(clips, seals)).any()
    return PackVerdict("copied or touched" if touched else "fresh")


def _plan(
    feature_set: FeatureSet,
    clip_ids: Sequence[str],
    array: str,
    headers: Mapping[str, EntryHeader],
    dtype: str,
    folder: Path | None,
) -> PackPlan:
    clips = tuple(clip_ids)
    if len(set(clips)) != len(clips):
        twice = sorted({clip for clip in clips if clips.count(clip) > 1})
        raise PackError(f"a pack holds each clip once; twice here: {', '.join(twice[:_SHOWN])}")
    if "/" in array and not array.startswith(WHOLE):
        raise PackError(f"{array} is in a group and has no times; a pack holds top-level arrays")
    try:
        stored = np.dtype(dtype)
    except TypeError:
        stored = np.dtype(object)
    if stored.kind not in "fiub":
        raise PackError(f"a pack holds numbers, not {dtype}; use float32 or float16")
    digest = digest_json([feature_set.spec.key, array, str(stored), clips])
    return PackPlan(
        feature_set=feature_set,
        clips=clips,
        array=array,
        dtype=stored,
        path=(folder or feature_set.cache / PACKS) / f"{feature_set.spec.name}-{digest[:16]}.h5",
        headers=headers,
    )


def _explain_absent(plan: PackPlan, missing: str) -> dict[str, str]:
    """Say why clips have no entry, or refuse."""
    absent: dict[str, str] = {}
    for clip in plan.absent:
        failure = plan.feature_set.failure(clip)
        absent[clip] = f"failed ({failure.stage}): {failure.reason}" if failure else "no entry"
    if len(absent) == len(plan.clips) or (absent and missing != "skip"):
        lines = [f"  {clip}: {reason}" for clip, reason in list(absent.items())[:_SHOWN]]
        if len(absent) > _SHOWN:
            lines.append(f"  ... and {len(absent) - _SHOWN} more")
        raise PackError(
            f"{len(absent)} of {len(plan.clips)} clips have no entry in {plan.feature_set.folder}; "
            "extract them, or leave them out (--skip-missing):\n" + "\n".join(lines)
        )
    return absent


def _find_reason_to_build(plan: PackPlan, *, verify: bool) -> tuple[str, PackTables | None]:
    """Return why the pack must be built; no reason and its tables if the file there can be used."""
    try:
        header = read_pack_header(plan.path)
        stated = PackSums.of(header)
        if verify:
            check_rest(plan.path, stated)  # the values are checked as they are read
        if _without_sums(header) != plan.header_fields(header.fields["steps"]):
            return "the file there is another pack", None
        tables = read_tables(plan.path, header)
    except (FileNotFoundError, NotADirectoryError):
        return "there was none", None
    except LayoutError as error:
        return str(error), None
    except SealError as error:
        return f"it was damaged: {error}", None
    return _find_change(tables, plan.seals), tables


def _without_sums(header: Header) -> dict[str, Any]:
    return {name: value for name, value in header.fields.items() if name != "sums"}


def _find_change(tables: PackTables, seals: Mapping[str, Header]) -> str:
    """Say which entries are others than those packed; empty if none is."""
    clips, packed = tables.index.clips, tables.index.entries
    now = digest_entries(clips, seals)
    changed = [clip for clip, *pair in zip(clips, packed, now, strict=True) if len({*pair}) > 1]
    if not changed:
        return ""
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"the entry of clip {changed[0]}{more} changed"


def _load(
    path: Path,
    tables: PackTables,
    skipped: Mapping[str, str],
    *,
    built: str = "",
    verify: bool,
    in_memory: bool,
) -> Pack:
    stated = PackSums.of(tables.header)
    size = tables.dtype.itemsize * math.prod(tables.shape)
    if size != stated.bytes:
        raise SealError(f"its values have {size} bytes, its header says {stated.bytes}")
    # Past HDF5: one read of the whole, or none.
    if in_memory or 0 in tables.shape:
        values = read_values(path, stated, verify=verify).view(tables.dtype).reshape(tables.shape)
    else:
        values = np.memmap(path, tables.dtype, "r", stated.offset, tables.shape)
        if verify:
            check_mapped(values.reshape(-1).view(np.uint8), stated)
    if read_pack_header(path).body_sha256 != tables.header.body_sha256:
        raise EntryChangedError(f"{path} was replaced while it was read")
    values.flags.writeable = False
    index = tables.index
    present = [number for number, state in enumerate(index.states) if state is not None]
    return Pack(
        clip_ids=tuple(index.clips[number] for number in present),
        values=values,
        times=tables.times,
        offsets=tables.offsets,
        states=tuple(state for state in index.states if state is not None),
        missing=tuple(index.missing[number] for number in present),
        entry_checksums=tuple(sum_ for sum_ in index.checksums if sum_ is not None),
        skipped=skipped,
        path=path,
        built=built,
    )
