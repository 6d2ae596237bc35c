"""Export as Parquet tables, alone or as a folder that Hugging Face's ``datasets`` reads.

A row is a clip: ``clip``, ``label``, ``split``, ``fold``, ``speaker``, then for each set
``<set>_times``, a list of seconds (unless it has one row a clip), and for each array
``<set>_<array>``, a list with a list of fixed length (of lists, for spectrograms with channels) per
step. pandas, pyarrow and ``datasets`` read such lists, and the fixed length lets them become one
array.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.commit import whole_file, whole_folder, write_whole
from cache.sets.main_array import WHOLE
from cache.wording import number_of
from pipeline.exchange.exported import ClipFeatures, Export, ExportError

GROUP_BYTES = 64 << 20  # of a row group's features, so that readers can take a table piece by piece
GROUP_CLIPS = 1000
# How ``datasets`` calls our splits; clips that are in none of them where others are.
HF_SPLITS = {"train": "train", "val": "validation", "test": "test"}
UNSPLIT = "unsplit"
KEY = "avfuse"  # of the table's metadata


def write_parquet(export: Export, out: Path) -> str:
    """Write all clips as one table; the metadata's ``avfuse`` says where the features come from.

    Raises:
        ExportError: pyarrow isn't installed; see also ``export_features``.
        EntryError, OSError: see there.
    """
    _write_table(_import_pyarrow(), export, export.clips, out)
    return ""


def write_hf(export: Export, out: Path) -> str:
    """Write a folder that ``datasets.load_dataset(FOLDER)`` reads: a table per split, and a card.

    Raises:
        ExportError: pyarrow isn't installed; see also ``export_features``.
        EntryError, OSError: see there.
    """
    arrow = _import_pyarrow()
    splits: dict[str, list[str]] = {}
    for clip in export.clips:
        split = export.rows[clip].split if export.rows else None
        splits.setdefault(HF_SPLITS[split] if split else UNSPLIT, []).append(clip)
    told = ""
    if splits.keys() == {UNSPLIT}:
        splits = {"train": splits[UNSPLIT]}
        told = "no clip is in a split: all are in the split train"
    elif UNSPLIT in splits:
        told = f"{number_of(len(splits[UNSPLIT]), 'clip')} without a split: in the split {UNSPLIT}"
    ordered = [name for name in (*HF_SPLITS.values(), UNSPLIT) if name in splits]
    with whole_folder(out) as folder:
        (folder / "data").mkdir()
        for name in ordered:
            path = folder / "data" / f"{name}.parquet"
            schema = _write_table(arrow, export, tuple(splits[name]), path)
        counts = {name: len(splits[name]) for name in ordered}
        write_whole(folder / "README.md", _format_card(export, counts, schema))
    return told


def _import_pyarrow() -> Any:
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExportError(
            "exporting to parquet and hf needs pyarrow: pip install 'avfuse[tables]'"
        ) from error
    return arrow


def _write_table(arrow: Any, export: Export, clips: tuple[str, ...], out: Path) -> Any:
    """Write clips to a file, a row group at a time; return the table's schema."""
    text = json.dumps(export.describe(), sort_keys=True)
    writer, schema = None, arrow.schema([])
    with whole_file(out) as temporary:
        try:
            for group in _group(export.read(clips)):
                table = _make_table(arrow, export, group)
                if writer is None:
                    schema = table.schema
                    writer = arrow.parquet.ParquetWriter(
                        temporary, schema.with_metadata({KEY: text}), compression="zstd"
                    )
                writer.write_table(table.replace_schema_metadata({KEY: text}))
        finally:
            if writer is not None:
                writer.close()
    return schema


def _group(found: Iterator[ClipFeatures]) -> Iterator[list[ClipFeatures]]:
    """Cut clips into row groups."""
    group: list[ClipFeatures] = []
    size = 0
    for clip in found:
        group.append(clip)
        size += sum(values.nbytes for values in clip.values)
        if size >= GROUP_BYTES or len(group) >= GROUP_CLIPS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _make_table(arrow: Any, export: Export, group: Sequence[ClipFeatures]) -> Any:
    def about(name: str, kind: Any) -> Any:
        return arrow.array([getattr(one.row, name, None) for one in group], kind)

    columns = {"clip": arrow.array([one.clip for one in group], arrow.string())}
    columns |= {name: about(name, arrow.string()) for name in ("label", "split")}
    columns |= {"fold": about("fold", arrow.int64()), "speaker": about("speaker", arrow.string())}
    for number, array in enumerate(export.arrays):
        times = f"{array.feature_set.spec.name}_times"
        if not array.name.startswith(WHOLE):
            columns[times] = _make_lists(arrow, [one.times[number] for one in group])
        columns[array.column] = _make_lists(arrow, [one.values[number] for one in group])
    return arrow.table(columns)


def _make_lists(arrow: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Turn arrays (T, ...) into a column of lists, each of T values or of lists of fixed length."""
    joined = np.concatenate(arrays)
    # Half floats are a type that many readers don't have; single ones hold them exactly.
    joined = joined.astype(np.float32) if joined.dtype == np.float16 else joined
    values = arrow.array(np.ascontiguousarray(joined).reshape(-1))
    for size in reversed(joined.shape[1:]):
        values = arrow.FixedSizeListArray.from_arrays(values, size)
    ends = np.cumsum([0, *map(len, arrays)])
    return arrow.ListArray.from_arrays(arrow.array(ends, arrow.int32()), values)


def _format_card(export: Export, counts: dict[str, int], schema: Any) -> str:
    """Write the dataset card: the splits for ``datasets``, then columns and origin for people."""
    facts = json.dumps(export.describe(), indent=2, sort_keys=True).replace("`", "\\u0060")
    files = "".join(f"  - split: {name}\n    path: data/{name}.parquet\n" for name in counts)
    rows = "".join(f"| {name} | {number_of(count, 'clip')} |\n" for name, count in counts.items())
    columns = "".join(f"| `{field.name}` | `{field.type}` |\n" for field in schema)
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n"
        "# Features of video clips\n\n"
        "Exported by avfuse; a row is a clip. `<set>_times` are seconds from the clip's start, one "
        'per step.\nRead it with `datasets.load_dataset("FOLDER")`; '
        '`.with_format("numpy")` makes arrays of the lists.\n\n'
        f"| split | rows |\n|---|---|\n{rows}\n| column | type |\n|---|---|\n{columns}\n"
        f"Where the features come from:\n\n```json\n{facts}\n```\n"
    )
