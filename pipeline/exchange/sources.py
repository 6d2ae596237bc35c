"""Sources of features: an npz, a folder of npy or csv files, a csv. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from cache.digest import digest_json
from cache.entries.source import Source, read_source
from cache.manifest.table import TableError, first_bad_byte, read_table
from pipeline.exchange.columns import ColumnError, Rows, choose_columns
from pipeline.exchange.settings import ImportRefusedError, ImportSettings


def read_csv_rows(
    path: Path, settings: ImportSettings, *, id_column: str | None
) -> dict[str, Rows]:
    """Read the rows of a csv by id; of its columns, only those that are wanted.

    Args:
        path: the file.
        settings: which columns.
        id_column: the column of the ids; None puts all rows under one empty id.

    Raises:
        ImportRefusedError: a column isn't there, a line has another number of fields than the
            header, or a field is no number.
    """
    try:
        records = read_table(path)
        header = next(records, (0, []))[1]
        names = [name.strip() for name in header]
        without = []
        place = -1
        if id_column is not None:
            if names.count(id_column) != 1:
                raise ColumnError(
                    f"{names.count(id_column)} columns are called {id_column}, which holds the "
                    f"ids; choose it by --id-column from {', '.join(names[:20])}"
                )
            place, without = names.index(id_column), [id_column]
        choice = choose_columns(names, settings, without=without)
        found: dict[str, list[list[float]]] = {} if id_column is not None else {"": []}
        for line, fields in records:
            if len(fields) != len(names) or first_bad_byte(fields) is not None:
                raise TableError(f"{len(fields)} fields, the header has {len(names)}", line)
            row = [_number(fields[i], names[i], line) for i in choice.positions]
            found.setdefault(fields[place].strip() if place >= 0 else "", []).append(row)
    except (TableError, ColumnError) as error:
        raise ImportRefusedError(str(path), [str(error)]) from error
    width = len(choice.positions)
    return {n: choice.take(np.array(rows).reshape(-1, width)) for n, rows in found.items()}


def _number(text: str, column: str, line: int) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise TableError(f"column {column}: {text!r} is not a number", line) from None


class FeatureSource(ABC):
    """Rows of features by id.

    Args:
        path: the file or folder.
        settings: how it is read.

    Attributes:
        ids: in the order of the source, each once.
    """

    ids: tuple[str, ...]

    def __init__(self, path: Path, settings: ImportSettings) -> None:
        self.path = path
        self.settings = settings

    @abstractmethod
    def rows(self, name: str) -> Rows:
        """Read the rows of an id.

        Raises:
            ValueError: they are not numbers, or lack a column.
            OSError: they can't be read.
        """

    def file(self, name: str) -> Path:
        """Return the file that holds an id."""
        del name
        return self.path

    def source(self, name: str) -> Source:
        """Return what that file held when the import began."""
        del name
        return self._whole

    def close(self) -> None:  # noqa: B027  # most sources have nothing open
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in the source."""
        return self._whole.sha256

    @cached_property
    def _whole(self) -> Source:
        return read_source(self.path)


class NpzSource(FeatureSource):
    """An npz with an array per clip, or with an array of ids beside one of their rows."""

    def __init__(self, path: Path, settings: ImportSettings) -> None:
        super().__init__(path, settings)
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ImportRefusedError(str(path), [f"is not an npz file: {error}"]) from error
        try:
            self._table: NDArray[np.generic] | None = None
            self.ids = self._find_ids()
        except BaseException:  # whatever it is, the file is closed
            self.close()
            raise
        self._place = {name: i for i, name in enumerate(self.ids)}

    def _find_ids(self) -> tuple[str, ...]:
        path, settings = self.path, self.settings
        names = self._names()
        column = settings.id_column or "clip"
        if column in names and (settings.id_column or self._array(column).dtype.kind == "U"):
            names = [str(name) for name in self._array(column).ravel()]
            self._table = self._array(self._value_array(column))
            if len(self._table) != len(names):
                raise ImportRefusedError(
                    str(path), [f"{column} has {len(names)} ids for {len(self._table)} rows"]
                )
        elif settings.id_column or settings.array:
            missing = settings.id_column or "clip"
            raise ImportRefusedError(str(path), [f"has no array {missing} with the clip ids"])
        _refuse_repeated(path, names)
        return tuple(names)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def rows(self, name: str) -> Rows:
        """Read the rows of an id."""
        if self._table is None:
            return _array_rows(self._array(name), self.settings)
        return _array_rows(self._table[self._place[name]], self.settings)

    def _array(self, name: str) -> NDArray[np.generic]:
        try:
            with self._archive.open(f"{name}.npy") as file:
                return _load_npy(file)
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise ImportRefusedError(str(self.path), [f"array {name}: {error}"]) from error

    def _names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self._archive.namelist()]

    def _value_array(self, column: str) -> str:
        others = [name for name in self._names() if name != column]
        if self.settings.array:
            if self.settings.array not in others:
                raise ImportRefusedError(
                    str(self.path),
                    [f"has no array {self.settings.array}; it has {', '.join(others)}"],
                )
            return self.settings.array
        if len(others) != 1:
            raise ImportRefusedError(
                str(self.path),
                [f"has the arrays {', '.join(others) or 'none'}; choose one by --array"],
            )
        return others[0]


class FolderSource(FeatureSource):
    """A folder with a file per clip, whose path without the ending is the id."""

    def __init__(self, path: Path, settings: ImportSettings) -> None:
        super().__init__(path, settings)
        self.ending = ".csv" if settings.format == "csv" else ".npy"
        files = sorted(p for p in path.rglob(f"*{self.ending}") if p.is_file())
        if not files:
            raise ImportRefusedError(str(path), [f"holds no file that ends in {self.ending}"])
        self._files = {p.relative_to(path).with_suffix("").as_posix(): p for p in files}
        self.ids = tuple(self._files)

    def rows(self, name: str) -> Rows:
        """Read the file of an id."""
        path = self._files[name]
        if self.ending == ".csv":
            (found,) = read_csv_rows(path, self.settings, id_column=None).values()
            return found
        with path.open("rb") as file:
            return _array_rows(_load_npy(file), self.settings)

    def file(self, name: str) -> Path:
        """Return an id's file."""
        return self._files[name]

    def source(self, name: str) -> Source:
        """Return what an id's file held when the import began."""
        return self._sources[name]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the ids and of what their files hold."""
        return digest_json({name: item.sha256 for name, item in self._sources.items()})

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return {name: read_source(path) for name, path in self._files.items()}


class CsvSource(FeatureSource):
    """A csv with the ids in a column; one row an id, or several with times."""

    def __init__(self, path: Path, settings: ImportSettings) -> None:
        super().__init__(path, settings)
        self._rows = read_csv_rows(path, settings, id_column=settings.id_column or "clip")
        if not settings.time_column and settings.rate is None:
            _refuse_repeated(path, [n for n, r in self._rows.items() for _ in r.values])
        self.ids = tuple(self._rows)

    def rows(self, name: str) -> Rows:
        """Return the rows of an id."""
        return self._rows[name]


def open_source(path: Path, settings: ImportSettings) -> FeatureSource:
    """Open a source of the format that its settings name.

    Raises:
        ImportRefusedError: it has another form, repeats ids, or holds pickled objects.
        OSError: it can't be read.
    """
    folder = path.is_dir()
    if settings.format == "npy-folder" and not folder:
        raise ImportRefusedError(str(path), ["is not a folder; expected one npy file a clip"])
    if settings.format == "npz" and folder:
        raise ImportRefusedError(str(path), ["is a folder; for npy files pass --from npy-folder"])
    if folder:
        return FolderSource(path, settings)
    return NpzSource(path, settings) if settings.format == "npz" else CsvSource(path, settings)


def _load_npy(file: IO[bytes]) -> NDArray[np.generic]:
    # np.load would try other formats too.
    array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _array_rows(array: NDArray[np.generic], settings: ImportSettings) -> Rows:
    """Part one clip's array: (D,), a single row, or (T, D)."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {array.dtype}")
    if array.ndim not in (1, 2):
        raise ValueError(f"expected shape (D,) or (T, D), got {array.shape}")
    table = np.atleast_2d(array)
    choice = choose_columns([str(i) for i in range(table.shape[1])], settings)
    return choice.take(table[:, list(choice.positions)].astype(np.float64))


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ImportRefusedError(str(path), [f"id {name} occurs twice" for name in repeated])
