"""Any table with a column of paths, or with columns that make them, mapped to the manifest's."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from cache.manifest.clip import COLUMNS
from cache.manifest.clip_id import as_clip_id
from cache.manifest.manifest import ManifestError
from cache.manifest.rows import RowParser, read_text
from cache.manifest.table import TableError, open_table
from cache.wording import number_of
from pipeline.index.files import (
    LEADS_OUT,
    NOT_REGULAR,
    Found,
    IndexingError,
    describe_names,
    did_you_mean,
    is_media,
    leads_out,
)
from pipeline.index.paths import MediaFinder, PathTemplate


def index_csv(
    table: Path,
    *,
    columns: Mapping[str, str] | None = None,
    path: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    root: Path | None = None,
    follow_links: bool = False,
) -> Found:
    """Index the files that a table lists.

    A column named as in a manifest, in any case, is taken without being mapped. Without a column
    of ids, the id is the path, escaped; an id that a manifest can't hold is escaped too. Paths are
    read as ``MediaFinder.find`` says. Clips whose file is missing are left out.

    Args:
        table: a table with a header, as ``open_table`` reads it.
        columns: manifest column (``clip``, ``path``, ``label``, ``split``, ``speaker``, ``fold``,
            ``start_seconds``, ``end_seconds``) to the table's own.
        path: a ``PathTemplate`` over columns, in place of a column of paths.
        delimiter: what stands between two fields; None: found out.
        encoding: the table's; None: found out.
        root: what relative paths are relative to; None: the table's folder.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is no folder, the table can't be read, or has no column of paths,
            or lacks a mapped column or has it twice, or the template is wrong.
        ManifestError: rows have problems (doubled ids, no number of seconds ...), all listed with
            their line.
    """
    folder = Path(os.path.abspath(root or table.parent))  # noqa: PTH100 - keeps links
    if root is not None and not folder.is_dir():
        raise IndexingError(f"{root} is not a folder; --root is the one that paths start from")
    found = Found(
        table,
        f"a table of media files, with paths from {folder} on (--root: another)",
        follow_links=follow_links,
        own_labels=True,
    )
    template = PathTemplate.parse(path) if path is not None else None
    parser = RowParser(folder, check_files=False, follow_links=False, check_spelling=False)
    parser.utf8_advice = "save the table as UTF-8, or name its encoding: --encoding cp1252"
    try:
        with open_table(table, delimiter=delimiter, encoding=encoding) as opened:
            parser.delimiter = opened.delimiter
            header = [name.strip() for name in next(opened.records, (1, []))[1]]
            records = list(opened.records)
    except TableError as error:
        raise IndexingError(f"{table}: {error}") from error
    positions = _map_columns(table, header, columns or {}, template)
    parts = {
        name: _position(table, header, name, exact=True)
        for name in (template.columns if template else ())
    }
    used = {*positions.values(), *parts.values()}
    unused = [name for i, name in enumerate(header) if i not in used and name]
    if unused:
        found.notes.append(f"columns not used: {', '.join(unused)[:200]}")
    at = positions.get("path")
    texts = [fields[at].strip() for _, fields in records if at is not None and at < len(fields)]
    finder = MediaFinder(folder, texts)
    renamed: list[str] = []
    for line, fields in records:
        if not parser.check_fields(line, fields, num_columns=len(header)):
            continue
        fields = [field.strip() for field in fields]
        values = {name: fields[at] for name, at in positions.items()}
        try:
            if template:
                values["path"] = template.fill({name: fields[at] for name, at in parts.items()})
            text = read_text("path", values["path"])
            if not text:
                raise ValueError("path is empty")
            listed, text = text, finder.find(text)
            if is_media(Path(listed)) and Path(listed).suffix.lower() != Path(text).suffix.lower():
                renamed.append(listed)
            values["clip"] = as_clip_id(read_text("clip", values.get("clip", "")) or text)
        except ValueError as error:
            parser.problems.append(f"line {line}: {error}")
            continue
        # Absolute, because a table may list files outside its folder; a manifest may not.
        values["path"] = os.path.abspath(folder / text)  # noqa: PTH100 - keeps links
        clip = parser.parse(line, values)
        if clip is not None:
            found.clips.append(clip)
    if parser.problems:
        raise ManifestError(table, parser.problems)
    if renamed:
        found.notes.append(
            f"{number_of(len(renamed), 'file')} under another suffix: {describe_names(renamed)}"
        )
    if finder.prefix:
        prefix = "/".join(finder.prefix)
        found.notes.append(f"paths below {prefix} were looked for below {folder}")
    _leave_out_unusable(found, table, folder)
    return found


def _leave_out_unusable(found: Found, table: Path, folder: Path) -> None:
    listed, found.clips = found.clips, []
    for clip in listed:
        try:
            mode = clip.path.stat().st_mode
            if stat.S_ISDIR(mode):
                reason = "a directory; expected a media file"
            elif not stat.S_ISREG(mode):
                reason = NOT_REGULAR
            elif not found.follow_links and leads_out(clip.path, folder):
                reason = LEADS_OUT
            else:
                found.clips.append(clip)
                continue
        except (FileNotFoundError, NotADirectoryError):
            reason = f"listed in {table.name}, but no such file"
        except OSError as error:
            reason = f"listed in {table.name}, but can't be read: {error.strerror}"
        found.leave_out(clip.path, reason)
    if len(found.clips) < len(listed):
        missing = len(listed) - len(found.clips)
        found.warnings.append(f"{missing} of {len(listed)} clips listed without a file")


def _map_columns(
    table: Path, header: Sequence[str], columns: Mapping[str, str], template: PathTemplate | None
) -> dict[str, int]:
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise IndexingError(f"{unknown[0]!r} is no manifest column; known: {', '.join(COLUMNS)}")
    if template and "path" in columns:
        raise IndexingError("the paths are made by --path or stand in --path-column, not both")
    positions = {
        name: _position(table, header, columns.get(name, name), exact=name in columns)
        for name in COLUMNS
        if not (template and name == "path")
        and (name in columns or name in map(str.casefold, header))
    }
    if not template and "path" not in positions:
        raise IndexingError(
            f"{table} has no column 'path'; say which holds the paths with --path-column, or make "
            f"them from others as --path '{{name}}.mp4'. It has "
            f"{', '.join(header)[:300] or 'no header'}"
        )
    return positions


def _position(table: Path, header: Sequence[str], name: str, *, exact: bool) -> int:
    """Return where a column stands: written alike if ``exact``, else alike but for case."""
    places = [i for i, other in enumerate(header) if other == name and exact] or [
        i for i, other in enumerate(header) if other.casefold() == name.casefold()
    ]
    if not places:
        raise IndexingError(
            f"{table} has no column {name!r}{did_you_mean(name, header)}; "
            f"it has {', '.join(header)[:300]}"
        )
    if len(places) > 1:
        names = sorted({header[i] for i in places})
        raise IndexingError(
            f"{table} has {f'column {names[0]!r} twice' if len(names) == 1 else f'columns {names}'}"
            "; a column that is used must be there once"
        )
    return places[0]
