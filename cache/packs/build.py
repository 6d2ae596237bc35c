"""Build a pack: every entry is verified, copied, and let go before the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.commit import make_folder, write_error
from cache.digest import JSON, canonical_json, digest_json
from cache.entries.entry import TIMES, Entry, EntryHeader, read_entry_header
from cache.entries.sealed import Header, SealedFile
from cache.packs.sums import add_up, find_values
from cache.sets.feature_set import FeatureSet
from cache.sets.main_array import WHOLE, row_times

KIND = "pack"


class PackError(ValueError):
    """A pack can't be made of what was asked for."""


class EntryChangedError(Exception):
    """Another process replaced a file while it was read; looking again helps."""


@dataclass(frozen=True)
class PackPlan:
    """Plan of a pack: what it shall hold, and where.

    Args:
        feature_set: the set.
        clips: the M clips asked for.
        array: name of the array.
        dtype: what its values are stored as.
        path: the pack's file.
        headers: clip to the header of the entry that its rows shall come from; none of a clip
            without an entry.
    """

    feature_set: FeatureSet
    clips: tuple[str, ...]
    array: str
    dtype: np.dtype[Any]
    path: Path
    headers: Mapping[str, EntryHeader]

    @property
    def seals(self) -> dict[str, Header]:
        """Seals of the clips' entries."""
        return {clip: header.seal for clip, header in self.headers.items()}

    @property
    def present(self) -> list[str]:
        """The clips with an entry."""
        return [clip for clip in self.clips if clip in self.headers]

    @property
    def absent(self) -> list[str]:
        """The clips without one."""
        return [clip for clip in self.clips if clip not in self.headers]

    def rows_of(self, clip: str) -> int:
        """Count the rows of a clip's array."""
        steps = self.headers[clip].steps
        return min(steps, 1) if self.array.startswith(WHOLE) else steps

    def header_fields(self, steps: int) -> dict[str, JSON]:
        """Return what the pack's header states."""
        return {
            "set": self.feature_set.folder.name,
            "key": self.feature_set.spec.key,
            "array": self.array,
            "dtype": str(self.dtype),
            "clips": digest_json(self.clips),
            "steps": steps,
        }


def build_pack(plan: PackPlan, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a pack; memory holds one entry at a time.

    Raises:
        PackError: rows differ in shape between clips, or values don't fit the dtype.
        EntryError: an entry is damaged or lacks the array; names the clip.
        EntryChangedError: an entry was replaced meanwhile.
        CacheWriteError: the pack can't be written.
        OSError: an entry can't be read.
    """
    what = f"the pack of {plan.array} of {plan.feature_set.folder.name}"
    # The cache itself must be there: if it is gone, its disk may be unmounted.
    try:
        if not plan.path.parent.parent.is_dir():
            raise FileNotFoundError(2, os.strerror(2))
        make_folder(plan.path.parent)
    except OSError as error:
        raise write_error(what, plan.path, error) from error
    present = plan.present
    steps = [plan.rows_of(clip) for clip in present]
    offsets = np.concatenate([[0], np.cumsum(steps, dtype=np.int64)]).astype(np.int64)
    entries: dict[str, Entry] = {}
    with SealedFile(plan.path, KIND, what) as file:
        row_shape: tuple[int, ...] | None = None
        for number, clip in enumerate(present):
            entry = _read_entry(plan, clip)
            values = entry[plan.array]
            if len(values) != steps[number]:
                raise EntryChangedError(clip)
            if row_shape is None:
                row_shape = values.shape[1:]
                with file.writing():
                    _create(file.h5, plan, (int(offsets[-1]), *row_shape))
            if values.shape[1:] != row_shape:
                raise PackError(
                    f"clip {clip}: array {plan.array} has rows of shape {values.shape[1:]}, "
                    f"those of {present[0]} have {row_shape}; a pack needs one shape"
                )
            rows = slice(int(offsets[number]), int(offsets[number + 1]))
            converted = _convert(values, plan, clip)
            with file.writing():
                file.h5["values"][rows] = converted
                file.h5["times"][rows] = row_times(plan.array, entry[TIMES])
            entries[clip] = replace(entry, arrays={})
            if progress:
                progress(number + 1, len(steps))
        with file.writing():
            file.h5.create_dataset("offsets", data=offsets)
            file.h5.create_dataset("entry_stats", data=stat_entries(plan.clips, plan.seals))
            file.h5.create_dataset("index", data=_format_index(plan, entries))
        where = find_values(file.h5)
        steps_in_all = int(offsets[-1])
        file.commit(
            lambda path: {
                **plan.header_fields(steps_in_all),
                "sums": add_up(path, *where).to_json(),
            }
        )


def digest_entries(clips: Sequence[str], seals: Mapping[str, Header]) -> list[str | None]:
    """Return the SHA-256 that tells each clip's entry from any other; None where there is none."""
    return [seals[clip].body_sha256 if clip in seals else None for clip in clips]


def stat_entries(clips: Sequence[str], seals: Mapping[str, Header]) -> np.ndarray:
    """Return (M, 2) int64: size and time of each clip's entry, -1 where there is none."""
    found = map(seals.get, clips)
    rows = [(seal.bytes, seal.mtime_ns) if seal else (-1, -1) for seal in found]
    return np.array(rows, np.int64).reshape(-1, 2)


def _read_entry(plan: PackPlan, clip: str) -> Entry:
    """Read and verify an entry, and check that it is the one that was planned."""
    try:
        entry = plan.feature_set.read(clip, [plan.array, TIMES], verify=True)
        header = read_entry_header(plan.feature_set.entry_path(clip))
    except FileNotFoundError as error:
        raise EntryChangedError(clip) from error
    if header.seal.body_sha256 != plan.headers[clip].seal.body_sha256:
        raise EntryChangedError(clip)
    return entry


def _create(file: h5py.File, plan: PackPlan, shape: tuple[int, ...]) -> None:
    file.create_dataset("values", shape=shape, dtype=plan.dtype)
    file.create_dataset("times", shape=shape[:1], dtype=np.float64)


def _convert(values: np.ndarray, plan: PackPlan, clip: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        result = values.astype(plan.dtype, copy=False)
        fits = np.isfinite(result) if plan.dtype.kind == "f" else result == values
    if not fits.all():
        raise PackError(
            f"clip {clip}: array {plan.array} has values up to {np.abs(values).max():g}, which "
            f"{plan.dtype} can't hold; use a wider dtype"
        )
    return result


def _format_index(plan: PackPlan, entries: dict[str, Entry]) -> np.ndarray:
    found = [entries.get(clip) for clip in plan.clips]
    index: dict[str, JSON] = {
        "clips": plan.clips,
        "entries": digest_entries(plan.clips, plan.seals),
        "states": [entry.state if entry else None for entry in found],
        "missing": [entry.missing if entry else () for entry in found],
        "checksums": [entry.checksums[plan.array] if entry else None for entry in found],
    }
    return np.frombuffer(canonical_json(index).encode(), np.uint8)
