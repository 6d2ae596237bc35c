"""Write an entry: arrays come in parts, the file appears when all is there.

Each array is held back until it fills a chunk of ``CHUNK_BYTES``, so that memory does not depend on
a clip's length. An array that never fills a chunk, as most don't, is stored contiguously.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from cache.commit import make_last_folder, write_error
from cache.digest import JSON, canonical_json, finish_array_digest
from cache.entries.entry import (
    KIND,
    TIMES,
    EntryError,
    EntryState,
    attributes_checksum,
    entry_identity,
    find_length_problem,
)
from cache.entries.sealed import SealedFile
from cache.entries.source import Source

CHUNK_BYTES = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})?")


class EntryWriter:
    """Writes one clip's entry; use it in a ``with``, and end with ``finish``.

    The entry appears complete or not at all. Left without ``finish``, nothing has happened.
    Processes may write the same clip at once: the last one's entry stays, and each was whole.

    Args:
        path: where the entry shall appear; the folder two levels up (the set's) exists.
        clip: the clip's id.
        key: the set's key.
        source: the file that the arrays are made from.
        provenance: versions, host, date, command.
        upstream: name of each set that they are made from to the identity of the entry there.
        superseded: the record of an earlier failure, to be removed once the entry is there.
        confirm: called last before the entry appears; raises where it must not.

    Attributes:
        identity: the entry's own, once ``finish`` has returned.
    """

    identity = ""

    def __init__(
        self,
        path: Path,
        *,
        clip: str,
        key: str,
        source: Source,
        provenance: Mapping[str, JSON],
        upstream: Mapping[str, str] | None = None,
        superseded: Path | None = None,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._superseded = superseded
        self._upstream = dict(upstream or {})
        self._confirm = confirm
        self.clip = clip
        self._key = key
        self._source = source
        self._provenance = canonical_json(provenance)
        self._file = SealedFile(path, KIND, f"clip {clip}: its entry")
        self._columns: dict[str, _Column] = {}
        self._last_time = -np.inf

    def __enter__(self) -> Self:
        try:
            make_last_folder(self.path)
        except OSError as error:
            raise write_error(self._file.what, self.path, error) from error
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def append(self, **arrays: np.ndarray) -> None:
        """Add to the end of each array, along its first axis.

        Args:
            **arrays: name to the array's next rows. ``times`` are seconds from the clip's start,
                float64, strictly increasing, also across calls. An array in a group is named
                ``group/name``.

        Raises:
            EntryError: an array has another dtype or row shape than before, a dtype that can't be
                stored, a number that isn't finite, or times that don't increase.
            CacheWriteError: a write failed.
        """
        for name, array in arrays.items():
            self._check(name, array)
        with self._file.writing():
            for name, array in arrays.items():
                column = self._columns.get(name)
                if column is None:
                    column = self._columns[name] = _Column(name, array.dtype, array.shape[1:])
                column.append(array, self._file)

    def finish(
        self,
        *,
        missing: Sequence[str] = (),
        attributes: Mapping[str, JSON] | None = None,
        facts: Mapping[str, JSON] | None = None,
    ) -> Path:
        """Write what was held back and let the entry appear, durably.

        Args:
            missing: what the entry lacks, for a user: ``no audio stream``. Makes it ``partial``.
            attributes: facts about the clip, as JSON.
            facts: more of them, a few short ones, which the header repeats.

        Returns:
            The entry's path.

        Raises:
            EntryError: ``times`` is missing, or arrays differ in length.
            ValueError: ``attributes`` or ``facts`` are not JSON, or the facts too long.
            SourceChangedError: what ``confirm`` raised.
            CacheWriteError: a write failed; an entry that was there before is unchanged.
        """
        problem = find_length_problem(
            {name: column.length for name, column in self._columns.items()}
        )
        if problem:
            raise EntryError(f"clip {self.clip}: {problem}")
        state: EntryState = "partial" if missing else "ok"
        source, stated = self._source.to_json(), {**(attributes or {}), **(facts or {})}
        values = {
            "clip": self.clip,
            "key": self._key,
            "state": state,
            "missing": canonical_json(list(missing)),
            "source": canonical_json(source),
            "upstream": canonical_json(self._upstream),
            "attributes": canonical_json(stated),
            "provenance": self._provenance,
        }
        with self._file.writing():
            checksums = {
                name: self._columns[name].finish(self._file) for name in sorted(self._columns)
            }
            values["checksum"] = attributes_checksum(values, checksums)
            for name, value in values.items():
                self._file.h5.attrs[name] = np.bytes_(value)
        identity = entry_identity(missing, self._source, stated, checksums)
        self._confirm()
        self._file.commit(
            {
                "clip": self.clip,
                "key": self._key,
                "state": state,
                "steps": self._columns[TIMES].length,
                "source": source,
                "upstream": self._upstream,
                "identity": identity,
                **({"facts": dict(facts)} if facts else {}),
            }
        )
        self.identity = identity
        if self._superseded:
            # The entry is committed, and counts for more than a record that can't be removed.
            with contextlib.suppress(OSError):
                self._superseded.unlink(missing_ok=True)
        return self.path

    def _check(self, name: str, array: np.ndarray) -> None:
        where = f"clip {self.clip}: array {name}"
        if not _NAME.fullmatch(name):
            raise EntryError(f"{where}: a name has letters, digits, '_', '.', '-' and one '/'")
        dtype = array.dtype
        if array.ndim < 1 or dtype.kind not in "fiub" or dtype.itemsize > 8 or not dtype.isnative:
            raise EntryError(
                f"{where} must have a first axis and real numbers of at most 64 bits or bools, "
                f"in this machine's byte order, got shape {array.shape} and dtype {dtype.str}"
            )
        before = self._columns.get(name)
        if before and (array.dtype, array.shape[1:]) != (before.dtype, before.row_shape):
            raise EntryError(
                f"{where} began with rows of shape {before.row_shape} and dtype {before.dtype}, "
                f"goes on with {array.shape[1:]} and {array.dtype}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0]) + (before.length if before else 0)
            raise EntryError(f"{where} has nan or inf in row {row}; only finite numbers are stored")
        if name == TIMES:
            self._check_times(array, where, before.length if before else 0)

    def _check_times(self, times: np.ndarray, where: str, start: int) -> None:
        if times.ndim != 1 or times.dtype != np.float64:
            raise EntryError(
                f"{where} must be (T,) float64, got shape {times.shape} and dtype {times.dtype}"
            )
        steps = np.diff(times, prepend=self._last_time)
        if not (steps > 0).all():
            row = int(np.argmin(steps > 0))
            earlier = times[row - 1] if row else self._last_time
            raise EntryError(
                f"{where} must strictly increase; step {start + row} is at {times[row]} s, "
                f"the one before at {earlier} s"
            )
        if len(times):
            self._last_time = float(times[-1])


class _Column:
    """One array on its way to the disk."""

    def __init__(self, name: str, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        self.name = name
        self.dtype = dtype
        self.row_shape = row_shape
        self.length = 0
        row_bytes = dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        self._chunk_rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        self._digest = hashlib.sha256()
        self._held: list[np.ndarray] = []
        self._num_held = 0
        self._num_written = 0

    def append(self, array: np.ndarray, file: SealedFile) -> None:
        """Digest the rows and hold them back until a chunk is full."""
        start = 0
        while start < len(array):
            # A copy: the caller may use its array again.
            part = np.array(array[start : start + self._chunk_rows - self._num_held], order="C")
            self._digest.update(part.reshape(-1).view(np.uint8).data)
            self._held.append(part)
            self._num_held += len(part)
            self.length += len(part)
            start += len(part)
            if self._num_held == self._chunk_rows:
                self._write_chunk(file)

    def finish(self, file: SealedFile) -> str:
        """Write what is held back and return the array's SHA-256."""
        shape = (self.length, *self.row_shape)
        if self._num_written:
            if self._num_held:
                self._write_chunk(file)
            dataset = file.h5[self.name]
            dataset.resize(shape)
        else:
            dataset = file.h5.create_dataset(self.name, data=self._take(self.length))
        checksum = finish_array_digest(self._digest, self.dtype, shape)
        dataset.attrs["sha256"] = np.bytes_(checksum)
        return checksum

    def _write_chunk(self, file: SealedFile) -> None:
        if self._num_written == 0:
            file.h5.create_dataset(
                self.name,
                shape=(0, *self.row_shape),
                maxshape=(None, *self.row_shape),
                chunks=(self._chunk_rows, *self.row_shape),
                dtype=self.dtype,
            )
        dataset = file.h5[self.name]
        dataset.resize(self._num_written + self._chunk_rows, axis=0)
        offset = (self._num_written, *(0 for _ in self.row_shape))
        # Past HDF5's chunk cache, straight into the file.
        dataset.id.write_direct_chunk(offset, self._take(self._chunk_rows))
        self._num_written += self._chunk_rows

    def _take(self, rows: int) -> np.ndarray:
        """Return the rows that are held back, with zeros up to ``rows``."""
        taken = np.zeros((rows, *self.row_shape), self.dtype)
        np.concatenate([taken[:0], *self._held], out=taken[: self._num_held])
        self._held, self._num_held = [], 0
        return taken
