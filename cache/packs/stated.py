"""Header and tables of a pack, each field checked for presence and type where it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.codec import JsonFields, parse_object
from cache.entries.datasets import find_datasets
from cache.entries.entry import EntryState
from cache.entries.sealed import Header, SealError, read_header
from cache.manifest.clip_id import check_clip_id
from cache.packs.build import KIND
from cache.packs.sums import PackSums


@dataclass(frozen=True)
class _Fields(JsonFields):
    set: str
    key: str
    array: str
    dtype: str
    clips: str
    steps: int
    sums: PackSums


@dataclass(frozen=True)
class PackIndex(JsonFields):
    """Lists by clip of a pack, in the order that was asked for; all have one length.

    Args:
        clips: ids.
        states: ``ok`` or ``partial``; None for a clip without an entry.
        missing: what is missing.
        checksums: SHA-256 of the array in each clip's entry.
        entries: digest that each entry's header states.
    """

    clips: tuple[str, ...]
    states: tuple[EntryState | None, ...]
    missing: tuple[tuple[str, ...], ...]
    checksums: tuple[str | None, ...]
    entries: tuple[str | None, ...]

    def __post_init__(self) -> None:
        for clip in self.clips:
            check_clip_id(clip)
        lists = (self.clips, self.states, self.missing, self.checksums, self.entries)
        if len({len(each) for each in lists}) > 1:
            raise ValueError("the lists of its index have different lengths")
        if [s is None for s in self.states] != [c is None for c in self.checksums]:
            raise ValueError("its index has a state without a checksum")


def read_pack_header(path: Path) -> Header:
    """Read the header of a pack.

    Raises:
        SealError: it isn't a pack, or a field is missing or mistyped; says which.
        OSError: it can't be read.
    """
    header = read_header(path, KIND)
    if "sums" in header.fields:  # older versions wrote none; ``PackSums.of`` says so
        try:
            _Fields.from_json(header.fields)
        except (TypeError, ValueError) as error:
            raise SealError(f"its header is damaged: {error}") from error
    return header


@dataclass(frozen=True)
class PackTables:
    """Tables of a pack: all that it holds beside its values.

    Args:
        header: of the file.
        index: lists by clip.
        entry_stats: (N, 2) size and time of each entry's file when the pack was made.
        times: (sum T,), see ``Pack``.
        offsets: (N + 1,), see there.
        shape: of the values.
        dtype: of the values.
    """

    header: Header
    index: PackIndex
    entry_stats: np.ndarray
    times: np.ndarray
    offsets: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        num_clips = len(self.index.clips)
        num_present = sum(state is not None for state in self.index.states)
        offsets = self.offsets
        fits = (
            self.entry_stats.shape == (num_clips, 2)
            and offsets.dtype.kind == "i"
            and offsets.shape == (num_present + 1,)
            and offsets[0] == 0
            and (np.diff(offsets) >= 0).all()
            and (offsets[-1],) == self.times.shape == self.shape[:1]
        )
        if not fits:
            raise ValueError("its tables don't fit one another")


def read_tables(path: Path, header: Header) -> PackTables:
    """Read all of a pack but its values, with one look into the file.

    Raises:
        FileNotFoundError: it is gone.
        SealError: it is damaged.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            datasets = find_datasets(file, header.bytes)
            return PackTables(
                header=header,
                index=PackIndex.from_json(parse_object(bytes(datasets["index"][...]))),
                entry_stats=datasets["entry_stats"][...],
                times=datasets["times"][...],
                offsets=datasets["offsets"][...],
                shape=datasets["values"].shape,
                dtype=datasets["values"].dtype,
            )
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise SealError(str(error)) from error
