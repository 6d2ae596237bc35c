"""Entries: one clip's arrays in one HDF5 file, with where they came from and what they add up to.

Root attributes, all ASCII: ``clip``, ``key``, ``state``, and as JSON ``missing``, ``source``,
``upstream``, ``attributes``, ``provenance``; ``checksum`` is the SHA-256 over all of these and over
the ``sha256`` that each dataset carries. The header in front (``cache.entries.sealed``) repeats
clip, key, state, source, upstream and the number of steps, so that they can be read without HDF5.

An entry has an *identity*, a digest of what it holds whoever made it and when. An entry that is
made from another states the other's, and is of use only beside that one.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import h5py
import numpy as np

from cache.codec import JsonFields, fields_from_json, parse_json
from cache.commit import CacheWriteError, named_errors
from cache.digest import JSON, digest_array, digest_json
from cache.entries.coverage import Coverage, read_coverage
from cache.entries.datasets import find_datasets
from cache.entries.sealed import Header, SealError, read_header, read_unchanged, verify_body
from cache.entries.source import Source
from cache.manifest.clip_id import check_clip_id

__all__ = [
    "CacheWriteError",
    "Entry",
    "EntryError",
    "EntryHeader",
    "EntryState",
    "read_entry",
    "read_entry_header",
    "verify_entry",
]

EntryState: TypeAlias = Literal["ok", "partial"]

KIND = "entry"
TIMES = "times"
_ATTRIBUTES = ("clip", "key", "state", "missing", "source", "upstream", "attributes", "provenance")


class EntryError(ValueError):
    """An entry is damaged or refused; names the clip."""


@dataclass(frozen=True)
class Entry:
    """A clip's features, read from the disk.

    Args:
        clip: the clip's id.
        arrays: name to array; those that were asked for.
        state: ``partial`` if something is missing, else ``ok``.
        missing: what is missing, for a user.
        attributes: facts about the clip, such as ``duration_seconds``.
        source: the file that they were made from.
        provenance: versions, host, date, command.
        checksums: name to SHA-256 of each of the entry's arrays.
        upstream: name of each set that it was made from to the identity of the clip's entry there.
    """

    clip: str
    arrays: dict[str, np.ndarray]
    state: EntryState
    missing: tuple[str, ...]
    attributes: dict[str, Any]
    source: Source
    provenance: dict[str, Any]
    checksums: dict[str, str]
    upstream: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """See ``entry_identity``."""
        return entry_identity(self.missing, self.source, self.attributes, self.checksums)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one of the arrays that were read."""
        return self.arrays[name]


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """Header of an entry: what its first bytes state, readable without HDF5.

    Args:
        clip: the clip's id.
        key: its set's key.
        state: ``ok`` or ``partial``.
        steps: length T of ``times``.
        source: the file that it was made from.
        seal: the general header: size, time, digest.
        facts: those of its attributes that its writer put here too.
        upstream: see ``Entry``; empty in layout 1, which knew none.
        identity: the entry's own; empty in layout 1.
        coverage: frames with a face, from ``facts``; None for one that isn't made from faces.
    """

    clip: str
    key: str
    state: EntryState
    steps: int
    source: Source
    seal: Header
    facts: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    coverage: Coverage | None = None


def read_entry_header(path: Path) -> EntryHeader:
    """Read what an entry states about itself; finds truncation, costs some 20 microseconds.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: its header is damaged, or its size isn't as stated.
        OSError: it can't be read.
    """
    try:
        seal = read_header(path, KIND)
    except SealError as error:
        raise _damaged(path, error) from error
    try:
        facts = seal.fields.get("facts")
        coverage = read_coverage(facts) if isinstance(facts, dict) else None
        stated = {**seal.fields, "seal": seal, "coverage": coverage}
        header = fields_from_json(EntryHeader, stated)
        check_clip_id(header.clip)
        if not 0 <= header.steps <= seal.bytes // 8:
            raise ValueError(f"steps is {header.steps}, expected as many as {TIMES} has")
    except (TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return header


def read_identity(path: Path) -> str:
    """Return an entry's identity: from its header, or of layout 1 from its attributes.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: it is damaged.
        OSError: it can't be read.
    """
    return read_entry_header(path).identity or read_entry(path, ()).identity


def read_entry(path: Path, names: Sequence[str] | None = None, *, verify: bool = False) -> Entry:
    """Read an entry.

    Args:
        path: its file.
        names: the arrays to read; None: all.
        verify: read the whole file and compare every checksum of what is returned.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: it is damaged, or has no array of that name.
        OSError: it can't be read.
    """
    return read_unchanged(
        path, lambda: _read(path, read_entry_header(path), names, verify=verify)[0]
    )


def verify_entry(path: Path) -> EntryHeader:
    """Read an entry through and compare everything that can be compared.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: a bit differs, or header, attributes, arrays and file name disagree.
        OSError: it can't be read.
    """
    return read_unchanged(path, lambda: _verify(path))


def _verify(path: Path) -> EntryHeader:
    header = read_entry_header(path)
    # Its own name is part of what an entry promises: a renamed file is another clip's.
    if path.name != f"{header.clip}.h5":
        raise _damaged(path, f"it belongs to clip {header.clip}")
    entry, values = _read(path, header, None, verify=True)
    facts = {name: entry.attributes.get(name) for name in header.facts}
    if (values["clip"], values["key"], entry.state, entry.source, entry.upstream, facts) != (
        header.clip,
        header.key,
        header.state,
        header.source,
        header.upstream,
        header.facts,
    ):
        raise _damaged(path, "its header and its attributes disagree")
    if values["checksum"] != attributes_checksum(values, entry.checksums):
        raise _damaged(path, "its attributes don't match their checksum")
    if header.identity not in ("", entry.identity):
        raise _damaged(path, "its identity isn't that of what it holds")
    problem = find_length_problem({name: len(array) for name, array in entry.arrays.items()})
    if problem or len(entry.arrays[TIMES]) != header.steps:
        raise _damaged(path, problem or f"{TIMES} doesn't have {header.steps} steps")
    return header


def entry_identity(
    missing: Sequence[str],
    source: Source,
    attributes: Mapping[str, JSON],
    checksums: Mapping[str, str],
) -> str:
    """Return the digest of what an entry holds: the same for equal arrays of the same content.

    Provenance and dates are left out, so that an entry that is made again needn't change it.

    Args:
        missing: what the entry lacks.
        source: the file that it was made from.
        attributes: facts about the clip.
        checksums: name to SHA-256 of each of its arrays.
    """
    return digest_json(
        {
            "missing": list(missing),
            "source": [source.sha256, source.start_seconds, source.end_seconds],
            "attributes": dict(attributes),
            "checksums": dict(checksums),
        }
    )


def attributes_checksum(values: Mapping[str, str], checksums: Mapping[str, str]) -> str:
    """Return the digest of an entry's root attributes and its arrays' checksums."""
    parts: dict[str, JSON] = {
        name: values[name]
        for name in _ATTRIBUTES
        if name in values  # layout 1 had no upstream
    }
    return digest_json({**parts, "checksums": dict(checksums)})


def find_length_problem(lengths: Mapping[str, int]) -> str | None:
    """Say which array has another length than it must; None if all agree.

    Args:
        lengths: array name to length of its first axis.
    """
    if TIMES not in lengths:
        return f"it has no array {TIMES}"
    first: dict[str, str] = {"": TIMES}
    for name, length in lengths.items():
        group = name.rpartition("/")[0]
        other = first.setdefault(group, name)
        if length != lengths[other]:
            return f"array {name} has {length} steps, {other} has {lengths[other]}"
    return None


@dataclass(frozen=True)
class _Stated(JsonFields):
    """Root attributes of an entry."""

    clip: str
    key: str
    state: EntryState
    missing: tuple[str, ...]
    source: Source
    attributes: dict[str, Any]
    provenance: dict[str, Any]
    checksum: str
    upstream: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Read them from what is written; those that aren't plain text are JSON.

        Raises:
            TypeError, ValueError: one is unknown, missing or of another type.
        """
        plain = ("clip", "key", "state", "checksum")
        return cls.from_json(
            {name: value if name in plain else parse_json(value) for name, value in values.items()}
        )


def _read(
    path: Path, header: EntryHeader, names: Sequence[str] | None, *, verify: bool
) -> tuple[Entry, dict[str, str]]:
    """Return the entry, and its root attributes as they are written."""
    with _damage_named(path):
        if verify:
            verify_body(path, header.seal)
        with h5py.File(path, "r", locking=False) as file:
            datasets = find_datasets(file, header.seal.bytes)
            values = {name: value.decode("ascii") for name, value in file.attrs.items()}
            stated = _Stated.of(values)
            wanted = list(datasets) if names is None else list(names)
            unknown = [name for name in wanted if name not in datasets]
            entry = Entry(
                clip=stated.clip,
                arrays={name: datasets[name][...] for name in wanted if name in datasets},
                state=stated.state,
                missing=stated.missing,
                attributes=stated.attributes,
                source=stated.source,
                provenance=stated.provenance,
                checksums={
                    name: dataset.attrs["sha256"].decode("ascii")
                    for name, dataset in datasets.items()
                },
                upstream=stated.upstream,
            )
    if unknown:
        raise EntryError(
            f"clip {entry.clip}: entry {path} has no array {', '.join(unknown)}; "
            f"it has {', '.join(entry.checksums)}"
        )
    if verify:
        for name, array in entry.arrays.items():
            if digest_array(array) != entry.checksums[name]:
                raise _damaged(path, f"array {name} doesn't match its checksum")
    return entry, values


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn what damage looks like from inside HDF5 and JSON into an error that names the clip."""
    try:
        with named_errors(path):
            yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The system's errors are no damage, but for a place that only a damaged file sends it to.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> EntryError:
    return EntryError(
        f"clip {path.stem}: entry {path} is damaged: {reason}; "
        "remove it with 'avfuse cache verify --remove' and extract again"
    )
