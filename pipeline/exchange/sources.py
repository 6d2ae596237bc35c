"""Sources of features: an npz, a folder of npy or csv files, a csv. Nothing is ever unpickled."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cache.digest import digest_json
from cache.entries.source_check import SourceCheck
from pipeline.exchange.arrays import Npz, check_limit, read_npy
from pipeline.exchange.columns import Rows, choose_columns
from pipeline.exchange.layouts import layout_of
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.tables import read_rows

MODALITIES = ("vision", "audio", "text")
MAX_FEATURES = 1_000_000  # of a step; they get names
PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))


class FeatureSource(ABC):
    """Rows of features by id.

    Args:
        path: the file or folder.
        settings: how it is read.
        limit: bytes of memory that what is read at once may take.

    Attributes:
        ids: in the order of the source, each once.
    """

    ids: tuple[str, ...]

    def __init__(self, path: Path, settings: ImportSettings, limit: int) -> None:
        self.path = path
        self.settings = settings
        self.limit = limit
        self._check = SourceCheck(path)
        if path.is_file():
            _ = self._check.stamp  # before anything of it is read

    @abstractmethod
    def rows(self, name: str) -> Rows:
        """Read the rows of an id.

        Raises:
            ValueError: they are not numbers, or lack a column.
            OSError: they can't be read.
        """

    def check(self, name: str) -> SourceCheck:
        """Return the file that holds an id, as it was when the import began."""
        del name
        return self._check

    def close(self) -> None:  # noqa: B027  # most sources have nothing open
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in the source."""
        return self._check.read().sha256


class NpzSource(FeatureSource):
    """An npz with an array per clip, or with an array of ids beside one of their rows."""

    def __init__(self, path: Path, settings: ImportSettings, limit: int) -> None:
        super().__init__(path, settings, limit)
        self._archive = Npz(path, limit)
        try:
            self._table: NDArray[np.generic] | None = None
            self.ids = self._find_ids()
        except BaseException:  # whatever it is, the file is closed
            self.close()
            raise
        self._place = {name: i for i, name in enumerate(self.ids)}

    def _find_ids(self) -> tuple[str, ...]:
        path, settings = self.path, self.settings
        names = self._archive.names
        column = settings.id_column or "clip"
        if column in names and (settings.id_column or _are_texts(self._archive.read(column))):
            rows = self._value_array(column)
            ids, self._table = self._archive.read_together([column, rows])
            names = _texts(ids, self.limit)
            if self._table.ndim == 0 or len(self._table) != len(names):
                raise _unequal(path, column, len(names), self._table)
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
            return _array_rows(self._archive.read(name), self.settings)
        return _array_rows(self._table[self._place[name]], self.settings)

    def _value_array(self, column: str) -> str:
        others = [name for name in self._archive.names if name != column]
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


class MmsaSource(FeatureSource):
    """MMSA's features as an npz: for each part of the corpus ``id`` (N,) and ``vision`` (N, T, D).

    The part's name stands in front, as in ``train/id``, or there is but one. Rows behind a clip's
    length (``vision_lengths``) are padding, or those before it; where there are no lengths, rows of
    zeros at both ends are.
    """

    def __init__(self, path: Path, settings: ImportSettings, limit: int) -> None:
        super().__init__(path, settings, limit)
        self._clips: dict[str, tuple[NDArray[np.generic], int | None]] = {}
        archive = Npz(path, limit)
        try:
            parts = [n.removesuffix("id") for n in archive.names if n == "id" or n.endswith("/id")]
            if not parts:
                raise ImportRefusedError(
                    str(path), [f"has no array id; it has {', '.join(archive.names[:20])}"]
                )
            name = self._modality(archive.names, parts)
            wanted = [f"{part}{item}" for part in parts for item in ("id", name)]
            lengths = [f"{part}{name}_lengths" for part in parts]
            wanted += [item for item in lengths if item in archive.names]
            arrays = dict(zip(wanted, archive.read_together(wanted), strict=True))
        finally:
            archive.close()
        ids: list[str] = []
        for part in parts:
            ids += self._add_part(_texts(arrays[f"{part}id"], limit), f"{part}{name}", arrays)
        _refuse_repeated(path, ids)
        self.ids = tuple(ids)

    def _modality(self, names: Sequence[str], parts: Sequence[str]) -> str:
        found = [name for name in MODALITIES if f"{parts[0]}{name}" in names]
        if self.settings.array:
            return self.settings.array
        if len(found) != 1:
            raise ImportRefusedError(
                str(self.path), [f"has {', '.join(found) or 'none'}; choose one by --array"]
            )
        return found[0]

    def _add_part(
        self, ids: list[str], name: str, arrays: dict[str, NDArray[np.generic]]
    ) -> list[str]:
        values, lengths = arrays[name], arrays.get(f"{name}_lengths")
        if values.ndim not in (2, 3) or len(values) != len(ids):
            raise _unequal(self.path, "id", len(ids), values)
        steps = values.shape[1] if values.ndim == 3 else 1
        if lengths is not None and (
            lengths.shape != (len(ids),)
            or lengths.dtype.kind not in "iu"
            or not np.all((lengths.astype(np.int64) >= 0) & (lengths.astype(np.int64) <= steps))
        ):
            raise ImportRefusedError(
                str(self.path),
                [f"{name}_lengths must be {len(ids)} whole numbers from 0 to {steps}"],
            )
        for i, clip in enumerate(ids):
            self._clips[clip] = (values[i], None if lengths is None else int(lengths[i]))
        return ids

    def rows(self, name: str) -> Rows:
        """Read the rows of an id, without the padding."""
        values, length = self._clips[name]
        if values.ndim == 1:
            return _array_rows(values, self.settings)
        full = np.flatnonzero(values.any(axis=1))
        start, stop = (int(full[0]), int(full[-1]) + 1) if len(full) else (0, 0)
        if length is None:
            notes = ("padding: no lengths say what it is, so rows of zeros at the ends were cut",)
            return _array_rows(values[start:stop], self.settings, notes=notes)
        if stop > length and start < len(values) - length:
            raise ValueError(f"its length is {length}, but no more than that isn't padding")
        kept = values[:length] if stop <= length else values[len(values) - length :]
        return _array_rows(kept, self.settings)


class FolderSource(FeatureSource):
    """A file per clip, whose path below the folder, without the ending, is the id."""

    def __init__(
        self, path: Path, settings: ImportSettings, limit: int, files: Sequence[Path] = ()
    ) -> None:
        super().__init__(path, settings, limit)
        self.ending = ".csv" if settings.format == "csv" else ".npy"
        files = files or sorted(p for p in path.rglob(f"*{self.ending}") if p.is_file())
        if not files:
            raise ImportRefusedError(str(path), [f"holds no file that ends in {self.ending}"])
        self.ids = tuple(_id_of(p.relative_to(path)) for p in files)
        _refuse_repeated(path, self.ids)
        self._files = dict(zip(self.ids, map(SourceCheck, files), strict=True))

    def rows(self, name: str) -> Rows:
        """Read the file of an id."""
        path = self._files[name].path
        if self.ending == ".csv":
            (found,) = read_rows(path, self.settings, self.limit, of_one_clip=True).values()
            return found
        with path.open("rb") as file:
            array = read_npy(file, os.fstat(file.fileno()).st_size, self.limit)
            return _array_rows(array, self.settings)

    def check(self, name: str) -> SourceCheck:
        """Return an id's file, as it was when the import began."""
        return self._files[name]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the ids and of what their files hold."""
        return digest_json({name: item.read().sha256 for name, item in self._files.items()})


class CsvSource(FeatureSource):
    """A csv with the ids in a column; one row an id, or several with times.

    As a tool's file it may also be of one clip alone, which it is called after.
    """

    def __init__(self, path: Path, settings: ImportSettings, limit: int) -> None:
        super().__init__(path, settings, limit)
        rows = read_rows(path, settings, limit, of_one_clip=False)
        self._rows = {name or _id_of(Path(path.name)): found for name, found in rows.items()}
        if not settings.like and not settings.time_column and settings.rate is None:
            _refuse_repeated(path, [n for n, r in self._rows.items() for _ in r.values])
        self.ids = tuple(self._rows)

    def rows(self, name: str) -> Rows:
        """Return the rows of an id."""
        return self._rows[name]


def open_source(paths: Sequence[Path], settings: ImportSettings, limit: int) -> FeatureSource:
    """Open a source of the format that its settings name.

    Args:
        paths: one file or folder, or several files of one clip each.
        settings: how it is read.
        limit: bytes of memory that what is read at once may take.

    Raises:
        ImportRefusedError: it has another form, repeats ids, or holds pickled objects.
        OSError: it can't be read.
    """
    path, layout = paths[0], layout_of(settings)
    if layout.tool and layout.format != settings.format:
        raise ImportRefusedError(
            str(path), [f"{layout.tool}'s layout is of {layout.format}, not {settings.format}"]
        )
    if len(paths) > 1:
        if settings.format == "npz" or any(p.is_dir() for p in paths):
            raise ImportRefusedError(
                str(path),
                ["is one of several; pass one file or folder, or several files of a clip"],
            )
        common = Path(os.path.commonpath([p.absolute().parent for p in paths]))
        return FolderSource(common, settings, limit, [p.absolute() for p in paths])
    folder = path.is_dir()
    if not folder:
        _refuse_pickle(path)
    if settings.format == "npy-folder" and not folder:
        raise ImportRefusedError(str(path), ["is not a folder; expected one npy file a clip"])
    if settings.format == "npz" and folder:
        raise ImportRefusedError(str(path), ["is a folder; for npy files pass --from npy-folder"])
    if folder:
        return FolderSource(path, settings, limit)
    if settings.format == "csv":
        return CsvSource(path, settings, limit)
    return (MmsaSource if settings.like == "mmsa" else NpzSource)(path, settings, limit)


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix not in (".pkl", ".pickle") and start not in PICKLES:
        return
    arrays = "'id', 'vision', 'audio', 'text', 'vision_lengths', 'audio_lengths'"
    raise ImportRefusedError(
        str(path),
        [
            "is a pickle, which can run any program when it is opened; avfuse opens none. If you "
            "trust it, turn MMSA's into an npz in an environment of your own, and import that "
            f'with --like mmsa:\npython -c "import pickle, numpy as np; d = pickle.load(open('
            f"{str(path)!r}, 'rb')); np.savez({path.stem + '.npz'!r}, **{{f'{{p}}/{{k}}': "
            f"np.array(v, str if k == 'id' else None) for p in d for k, v in d[p].items() if k in "
            f'({arrays})}})"'
        ],
    )


def _id_of(path: Path) -> str:
    return path.with_suffix("").as_posix()


def _are_texts(array: NDArray[np.generic]) -> bool:
    return array.dtype.kind in "US"


def _texts(array: NDArray[np.generic], limit: int) -> list[str]:
    check_limit(array.size * sys.getsizeof(""), limit)
    return [t.decode() if isinstance(t, bytes) else str(t) for t in array.ravel().tolist()]


def _array_rows(
    array: NDArray[np.generic], settings: ImportSettings, *, notes: tuple[str, ...] = ()
) -> Rows:
    """Part one clip's array: (D,), a single row, or (T, D)."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {array.dtype}")
    if array.ndim not in (1, 2):
        raise ValueError(f"expected shape (D,) or (T, D), got {array.shape}")
    table = np.atleast_2d(array)
    if table.shape[1] > MAX_FEATURES:
        raise ValueError(f"has {table.shape[1]:,} features a step; at most {MAX_FEATURES:,}")
    choice = choose_columns([str(i) for i in range(table.shape[1])], settings)
    return choice.take(table[:, list(choice.positions)].astype(np.float64), notes=notes)


def _unequal(path: Path, ids: str, count: int, rows: NDArray[np.generic]) -> ImportRefusedError:
    has = f"{len(rows)} rows" if rows.ndim else "a single number"
    shape = f" of shape {rows.shape}" if rows.ndim > 2 else ""
    return ImportRefusedError(str(path), [f"{ids} has {count} ids for {has}{shape}"])


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ImportRefusedError(str(path), [f"id {name} occurs twice" for name in repeated])
