"""Statements of a pack about itself, each checked for presence and type where it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.codec import JsonFields, parse_object
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
class _Index(JsonFields):
    """Lists by clip; all have one length."""

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


def read_index(text: bytes) -> dict[str, Any]:
    """Read a pack's index.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    index = parse_object(text)
    _Index.from_json(index)
    return index
