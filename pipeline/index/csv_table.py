"""Any table with a column of paths, its columns mapped to the manifest's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cache.manifest.clip import COLUMNS
from cache.manifest.clip_id import as_clip_id
from cache.manifest.manifest import ManifestError
from cache.manifest.rows import RowParser
from cache.manifest.table import TableError, read_table
from pipeline.index.files import Found, IndexingError


def index_csv(
    table: Path,
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    root: Path | None = None,
) -> Found:
    """Index the files that a table lists.

    A column named as in a manifest, in any case, is taken without being mapped. Without a column
    of ids, the id is the path, escaped; an id that a manifest can't hold is escaped too. Clips
    whose file is missing are left out.

    Args:
        table: a CSV file with a header.
        columns: manifest column (``clip``, ``path``, ``label``, ``split``, ``speaker``, ``fold``,
            ``start_seconds``, ``end_seconds``) to the table's own.
        delimiter: what stands between two fields; None: the one of ``, ; tab |`` that the header
            has most of.
        root: what relative paths are relative to; None: the table's folder.

    Raises:
        IndexingError: the table can't be read, or has no column of paths, or lacks a mapped column
            or has it twice.
        ManifestError: rows have problems (doubled ids, no number of seconds ...), all listed with
            their line.
    """
    found = Found(table, "a table with a column of paths to media files")
    folder = Path(os.path.abspath(root or table.parent))  # noqa: PTH100 - keeps links
    parser = RowParser(folder, check_files=False, follow_links=False, check_spelling=False)
    try:
        records = read_table(table, delimiter=delimiter)
        header = [name.strip() for name in next(records, (1, []))[1]]
        positions = _map_columns(table, header, columns or {})
        unused = [name for i, name in enumerate(header) if i not in positions.values() and name]
        if unused:
            found.notes.append(f"columns not used: {', '.join(unused)[:200]}")
        for line, fields in records:
            if not parser.check_fields(line, fields, num_columns=len(header)):
                continue
            values = {name: fields[at].strip() for name, at in positions.items()}
            if not values["path"]:
                parser.problems.append(f"line {line}: path is empty")
                continue
            try:
                values["clip"] = as_clip_id(values.get("clip") or values["path"])
            except ValueError as error:
                parser.problems.append(f"line {line}: {error}")
                continue
            # Absolute, because a table may list files outside its folder; a manifest may not.
            values["path"] = os.path.abspath(folder / values["path"])  # noqa: PTH100 - so too
            clip = parser.parse(line, values)
            if clip is not None:
                found.clips.append(clip)
    except TableError as error:
        raise IndexingError(f"{table}: {error}") from error
    if parser.problems:
        raise ManifestError(table, parser.problems)
    _leave_out_missing(found, table)
    return found


def _leave_out_missing(found: Found, table: Path) -> None:
    here = []
    for clip in found.clips:
        if clip.path.is_file():
            here.append(clip)
        elif clip.path.is_dir():
            found.leave_out(clip.path, "a directory; expected a media file")
        else:
            found.leave_out(clip.path, f"listed in {table.name}, but no such file")
    if len(here) < len(found.clips):
        missing = len(found.clips) - len(here)
        found.warnings.append(f"{missing} of {len(found.clips)} clips listed have no file")
    found.clips = here


def _map_columns(table: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise IndexingError(f"{unknown[0]!r} is no manifest column; known: {', '.join(COLUMNS)}")
    plain = [name.casefold() for name in header]
    positions = {}
    for name in COLUMNS:
        if name in columns:
            if columns[name] not in header:
                raise IndexingError(
                    f"{table} has no column {columns[name]!r}; it has {', '.join(header)[:300]}"
                )
            positions[name] = header.index(columns[name])
        elif name in plain:
            positions[name] = plain.index(name)
        if name in positions and header.count(header[positions[name]]) > 1:
            raise IndexingError(f"{table} has column {header[positions[name]]!r} twice")
    if "path" not in positions:
        raise IndexingError(
            f"{table} has no column 'path'; say which holds the paths with --path-column. "
            f"It has {', '.join(header)[:300] or 'no header'}"
        )
    return positions
