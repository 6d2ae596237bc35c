"""Features out of a cache, for other tools: one array of a set as npz, npy files or CSV."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.commit import whole_file
from cache.entries.entry import Entry
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from cache.sets.freshness import check_freshness
from cache.wording import number_of

Features = Iterator[tuple[str, np.ndarray, np.ndarray]]


class ExportError(ValueError):
    """An export that can't be made as asked for; names the set, array or clip."""


def export_features(
    feature_set: FeatureSet,
    clips: Sequence[str],
    array: str,
    form: str,
    out: Path,
    *,
    rows: Mapping[str, Clip] | None = None,
) -> int:
    """Write one array of every clip, each entry's checksums compared on the way.

    ``npz``: ``<clip>`` (T, ...) and ``times/<clip>`` (T,). ``npy-folder``: ``<clip>.npy`` and
    ``times/<clip>.npy``. ``csv``: a row per step: ``clip``, ``time_seconds`` and a column per
    number, with all digits. A file appears whole or not at all.

    Args:
        feature_set: the set.
        clips: the clips to export, each with an entry.
        array: name of the array.
        form: a key of ``FORMS``.
        out: the file or folder; must not exist.
        rows: clip id to row of the manifest, whose file and span the entries must be of.

    Returns:
        How many clips were written.

    Raises:
        ExportError: ``out`` exists, the array's rows have no times and ``csv`` needs them, or
            clips have no entry or a stale one.
        EntryError: an entry is damaged or has no such array.
        OSError: something can't be read or written.
    """
    if out.exists():
        raise ExportError(f"{out} exists; choose another name or remove it")
    if form == "csv" and "/" in array:
        group = array.partition("/")[0]
        raise ExportError(
            f"{array} has no time for each of its rows, which csv needs; pass --to npz, and export "
            f"{group}/frame too: the step that each row belongs to"
        )
    absent = [clip for clip in clips if not feature_set.entry_path(clip).exists()]
    if absent:
        raise ExportError(
            f"{number_of(len(absent), 'clip')} without an entry in {feature_set.folder.name}: "
            f"{', '.join(absent[:10])}; extract them, or pass --skip-missing"
        )
    stale = check_freshness([(feature_set, feature_set.read_headers(clips))], rows or {}).stale
    if stale:
        clip, reason = next(iter(stale.items()))
        raise ExportError(
            f"{number_of(len(stale), 'stale clip')} in {feature_set.folder.name}: "
            f"{', '.join(list(stale)[:10])}; {clip}: {reason}; run avfuse extract with the same "
            "manifest"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    FORMS[form](_read(feature_set, clips, array), out)
    return len(clips)


def _read(feature_set: FeatureSet, clips: Sequence[str], array: str) -> Features:
    for clip in clips:
        entry: Entry = feature_set.read(clip, ("times", array), verify=True)
        yield clip, entry.arrays["times"], entry.arrays[array]


def _write_npz(features: Features, out: Path) -> None:
    with (
        whole_file(out) as temporary,
        zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for clip, times, values in features:
            for name, array in ((clip, values), (f"times/{clip}", times)):
                # A fixed date, so that the same features make the same bytes.
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)


def _write_npy_folder(features: Features, out: Path) -> None:
    (out / "times").mkdir(parents=True)
    for clip, times, values in features:
        np.save(out / "times" / f"{clip}.npy", times, allow_pickle=False)
        np.save(out / f"{clip}.npy", values, allow_pickle=False)


def _write_csv(features: Features, out: Path) -> None:
    with (
        whole_file(out) as temporary,
        temporary.open("x", newline="", encoding="utf-8") as file,
    ):
        writer: Any = csv.writer(file)
        width = None
        for clip, times, values in features:
            rows = values.reshape(len(values), -1)
            if width is None:
                width = rows.shape[1]
                names = [f"v{number}" for number in range(width)]
                writer.writerow(["clip", "time_seconds", *names])
            for seconds, row in zip(times.tolist(), rows.tolist(), strict=True):
                writer.writerow([clip, repr(seconds), *map(repr, row)])


FORMS: dict[str, Callable[[Features, Path], None]] = {
    "npz": _write_npz,
    "npy-folder": _write_npy_folder,
    "csv": _write_csv,
}
