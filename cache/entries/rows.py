"""Rows of entries too long for the memory, read from the disk as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.entries.datasets import find_datasets
from cache.entries.entry import Entry, EntryError, read_entry, read_entry_header
from cache.entries.sealed import read_unchanged


class Rows:
    """One array of an open entry; a slice of it is read when it is asked for.

    Args:
        dataset: the array in the open file.
        path: of the entry, for errors.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path) -> None:
        self._dataset = dataset
        self._path = path
        self.shape: tuple[int, ...] = dataset.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return the rows of a slice.

        Raises:
            EntryError: they can't be read: the disk fails, or the file changed while it was open.
        """
        try:
            values: np.ndarray = self._dataset[rows]
        except (OSError, RuntimeError, ValueError) as error:
            raise EntryError(
                f"clip {self._path.stem}: rows of {self._path} can't be read: {error}; check the "
                "disk, then run the same command again"
            ) from error
        return values


@dataclass(frozen=True)
class OpenEntry:
    """An entry while its file is open.

    Args:
        entry: what it says of itself; it holds no arrays.
        rows: name to array on the disk.
    """

    entry: Entry
    rows: dict[str, Rows]


@contextmanager
def open_entry(path: Path, *, verify: bool = False) -> Iterator[OpenEntry]:
    """Open an entry to read its arrays in parts, in memory that doesn't grow with their length.

    Args:
        path: its file.
        verify: first read the file through, in parts too, and compare its SHA-256.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: it is damaged.
        OSError: it can't be read.
    """
    entry, header, file = read_unchanged(
        path,
        lambda: (
            read_entry(path, (), verify=verify),
            read_entry_header(path),
            h5py.File(path, "r", locking=False),
        ),
    )
    with file:
        datasets = find_datasets(file, header.seal.bytes)
        yield OpenEntry(entry, {name: Rows(item, path) for name, item in datasets.items()})
