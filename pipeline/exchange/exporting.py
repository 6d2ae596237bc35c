"""Features out of a cache, for other tools: which arrays and clips, checked, then one of ``FORMS``.

A form is written by a module beside this one. What is written appears whole or not at all.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.commit import whole_file, whole_folder
from cache.manifest.clip import Clip
from cache.sets.freshness import check_freshness
from cache.sets.main_array import WHOLE
from cache.wording import number_of
from pipeline.exchange.exported import Array, ClipFeatures, Export, ExportError, flat_rows
from pipeline.exchange.mmsa import write_mmsa
from pipeline.exchange.parquet import write_hf, write_parquet

ABOUT = ("label", "split", "fold", "speaker")  # what a manifest says of a clip


@dataclass(frozen=True)
class Form:
    """A form of export.

    Args:
        write: writes it.
        several: whether it holds several arrays.
        needs_times: whether each row of an array must have a time.
    """

    write: Callable[[Export, Path], str]
    several: bool = False
    needs_times: bool = False


def export_features(
    arrays: Sequence[Array],
    clips: Sequence[str],
    form: str,
    out: Path,
    *,
    rows: Mapping[str, Clip] | None = None,
) -> str:
    """Write arrays of every clip, each entry's checksums compared on the way.

    ``npz``: ``<clip>`` (T, ...) and ``times/<clip>`` (T,), and with ``rows`` the columns
    ``manifest/clip``, ``manifest/label`` ... ``npy-folder``: ``<clip>.npy`` and
    ``times/<clip>.npy``. ``csv``: a row per step: ``clip``, with ``rows`` what the manifest says,
    ``time_seconds`` and a column per number, with all digits, by its name where the set names its
    numbers. ``parquet``, ``hf``: see ``pipeline.exchange.parquet``; ``mmsa``: see
    ``pipeline.exchange.mmsa``.

    Args:
        arrays: what to export; several where the form holds several.
        clips: the clips to export, each with an entry in every set.
        form: a key of ``FORMS``.
        out: the file or folder; must not exist.
        rows: clip id to row of the manifest, whose file and span the entries must be of.

    Returns:
        A sentence about what was written that a user must know; empty where there is none.

    Raises:
        ExportError: ``out`` exists, the form can't hold the arrays, there is no clip, or clips have
            no entry or a stale one, or the form's library isn't installed.
        EntryError: an entry is damaged or has no such array.
        OSError: something can't be read or written.
    """
    if out.exists():
        raise ExportError(f"{out} exists; choose another name or remove it")
    if len(arrays) > 1 and not FORMS[form].several:
        raise ExportError(
            f"--to {form} holds one array, got {len(arrays)}; export them one by one, or to parquet"
        )
    if not clips:
        raise ExportError("there is no clip to export")
    columns = [array.column for array in arrays]
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise ExportError(f"two arrays would be called {twice}; export them to two files")
    for array in arrays:
        grouped = "/" in array.name and not array.name.startswith(WHOLE)
        if FORMS[form].needs_times and grouped:
            group = array.name.partition("/")[0]
            raise ExportError(
                f"{array.name} has no time for each of its rows, which {form} needs; pass --to "
                f"npz, and export {group}/frame too: the step that each row belongs to"
            )
    for feature_set in {array.feature_set.folder: array.feature_set for array in arrays}.values():
        name = feature_set.folder.name
        absent = [clip for clip in clips if not feature_set.entry_path(clip).exists()]
        if absent:
            raise ExportError(
                f"{number_of(len(absent), 'clip')} without an entry in {name}: "
                f"{', '.join(absent[:10])}; extract them, or pass --skip-missing"
            )
        stale = check_freshness([(feature_set, feature_set.read_headers(clips))], rows or {}).stale
        if stale:
            clip, reason = next(iter(stale.items()))
            raise ExportError(
                f"{number_of(len(stale), 'stale clip')} in {name}: "
                f"{', '.join(list(stale)[:10])}; {clip}: {reason}; run avfuse extract with the "
                "same manifest"
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    return FORMS[form].write(Export(tuple(arrays), tuple(clips), rows), out)


def _write_npz(export: Export, out: Path) -> str:
    def members() -> Iterator[tuple[str, np.ndarray]]:
        for found in export.read():
            yield found.clip, found.values[0]
            yield f"times/{found.clip}", found.times[0]
        if export.rows is not None:
            yield "manifest/clip", np.array(export.clips, dtype=np.str_)
            for name, column in _about(export).items():
                empty: Any = -1 if name == "fold" else ""
                values = [empty if value is None else value for value in column]
                yield f"manifest/{name}", np.array(values, np.int64 if name == "fold" else np.str_)

    with (
        whole_file(out) as temporary,
        zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for name, array in members():
            # A fixed date, so that the same features make the same bytes.
            member = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return ""


def _about(export: Export) -> dict[str, list[Any]]:
    """Return what the manifest says of the clips, by column."""
    rows = export.rows or {}
    return {name: [getattr(rows[clip], name) for clip in export.clips] for name in ABOUT}


def _write_npy_folder(export: Export, out: Path) -> str:
    with whole_folder(out) as folder:
        (folder / "times").mkdir()
        for found in export.read():
            np.save(folder / "times" / f"{found.clip}.npy", found.times[0], allow_pickle=False)
            np.save(folder / f"{found.clip}.npy", found.values[0], allow_pickle=False)
    return ""


def _write_csv(export: Export, out: Path) -> str:
    about = ABOUT if export.rows is not None else ()
    with (
        whole_file(out) as temporary,
        temporary.open("x", newline="", encoding="utf-8") as file,
    ):
        writer: Any = csv.writer(file)
        writer.writerow(["clip", *about, "time_seconds", *export.number_names()])
        for found in export.read():
            rows = flat_rows(found.values[0])
            first = [found.clip, *_cells(found, about)]
            for seconds, row in zip(found.times[0].tolist(), rows.tolist(), strict=True):
                writer.writerow([*first, repr(seconds), *map(repr, row)])
    return ""


def _cells(found: ClipFeatures, about: Sequence[str]) -> Iterator[Any]:
    """Yield a clip's cells of ``about``; manifests hold no label or speaker that is a formula."""
    for name in about:
        value = getattr(found.row, name)
        yield "" if value is None else value


FORMS = {
    "npz": Form(_write_npz),
    "npy-folder": Form(_write_npy_folder),
    "csv": Form(_write_csv, needs_times=True),
    "parquet": Form(write_parquet, several=True),
    "hf": Form(write_hf, several=True),
    "mmsa": Form(write_mmsa, several=True, needs_times=True),
}
