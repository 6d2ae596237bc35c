"""The checks of a manifest's header and rows, each problem in words with its line number."""

from __future__ import annotations

import difflib
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cache.clip import COLUMNS, SPLIT_NAMES, SPLITS, Clip
from cache.clip_id import check_clip_id
from cache.manifest_files import ManifestFiles
from cache.table import first_bad_byte

MAX_NAME_LENGTH = 200  # of a label or a speaker
MAX_PATH_LENGTH = 4096
MAX_FOLD = 99_999
MAX_SECONDS = 1e7

_REQUIRED = ("clip", "path")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|-?\.[0-9]+([eE][+-]?[0-9]+)?")
_NEAR = {  # columns that other tools write, too far from ours to be found by spelling
    "clip_id": "clip",
    "start": "start_seconds",
    "start_time": "start_seconds",
    "end": "end_seconds",
    "end_time": "end_seconds",
}
_NOT_NEAR = {"folder"}  # a column of its own, one letter pair from "fold"


def check_header(fields: list[str], problems: list[str]) -> dict[str, int] | None:
    """Find the known columns in a manifest's first line.

    Args:
        fields: the names in the first line.
        problems: one line is added for each name that is missing, doubled or nearly a known one.

    Returns:
        Known column to its position, or None where the rows can't be read for want of a column.
    """
    columns: dict[str, int] = {}
    found = ",".join(fields)[:200]
    for position, name in enumerate(fields):
        if name in columns:
            problems.append(f"line 1: column {name} stands twice in the header")
        elif name in COLUMNS:
            columns[name] = position
    for name in fields:
        near = None if name in columns else _nearest(name, taken=columns)
        if near:
            problems.append(
                f"line 1: column {name!r} is nearly {near!r}; "
                f"write {near!r} if it is that, another name if not"
            )
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        other = next((mark for mark in ";\t|" if mark in found and "," not in found), None)
        hint = f"; it looks separated by {other!r}, and must be by ','" if other else ""
        problems.append(
            f"line 1: the header has no column {' and no column '.join(missing)}{hint}; "
            f"expected {','.join(COLUMNS[:5])}, got {found!r}"
        )
        return None
    return columns


def _nearest(name: str, *, taken: Mapping[str, int]) -> str | None:
    plain = name.strip().casefold()
    if not plain or plain in _NOT_NEAR:
        return None
    if plain in COLUMNS:
        return plain
    left = [column for column in COLUMNS if column not in taken]
    if plain in _NEAR:
        return _NEAR[plain] if _NEAR[plain] in left else None
    near = difflib.get_close_matches(plain[:40], left, n=1, cutoff=0.75)
    return near[0] if near else None


def parse_rows(
    records: Iterable[tuple[int, list[str]]],
    columns: Mapping[str, int],
    *,
    num_columns: int,
    folder: Path,
    problems: list[str],
    check_files: bool,
    follow_links: bool,
) -> Iterator[Clip]:
    """Yield the clip of each sound row and add a line to ``problems`` for whatever is not.

    Args:
        records: line number and fields of each row.
        columns: known column to its position.
        num_columns: how many fields a row has.
        folder: the manifest's folder, absolute.
        problems: grows by one line a problem.
        check_files: look at each file.
        follow_links: let a relative path leave ``folder`` by a symbolic link.
    """
    seen: dict[str, tuple[str, int]] = {}
    spellings: dict[tuple[str, str], tuple[str, int]] = {}
    files = ManifestFiles(folder, follow_links=follow_links)
    for line, fields in records:
        before = len(problems)
        where = f"line {line}: "
        bad_byte = first_bad_byte(fields)
        if bad_byte is not None:
            problems.append(f"{where}not UTF-8 (byte 0x{bad_byte:02x}); save the table as UTF-8")
            continue
        if len(fields) != num_columns:
            problems.append(
                f"{where}has {len(fields)} fields where the header has {num_columns}; "
                "quote a field that holds a comma"
            )
            continue
        values = {name: fields[position] for name, position in columns.items()}
        for name, value in values.items():
            problem = _text_problem(name, value)
            if problem:
                problems.append(f"{where}{problem}")
        if len(problems) > before:
            continue
        clip = _parse_row(values, folder / values["path"], where, problems)
        first, first_line = seen.setdefault(clip.clip.lower(), (clip.clip, line))
        if first_line != line:
            problems.append(
                f"{where}clip id {clip.clip!r} is already on line {first_line}"
                if first == clip.clip
                else f"{where}clip id {clip.clip!r} differs only in case from {first!r} on line "
                f"{first_line}; some disks hold one of two such files"
            )
        for name, text in (("label", clip.label), ("speaker", clip.speaker)):
            if text is not None:
                _check_spelling(name, text, line, spellings, problems)
        problem = files.lexical_problem(values["path"])
        if not problem and check_files:
            problem = files.problem(values["path"])
        if problem:
            problems.append(f"{where}{problem}")
        if len(problems) == before:
            yield clip


def _text_problem(name: str, value: str) -> str | None:
    """What is wrong with a field before its meaning is looked at."""
    limit = MAX_PATH_LENGTH if name == "path" else MAX_NAME_LENGTH
    if len(value) > limit:
        return f"{name} {value[:40]!r}... has {len(value)} characters; at most {limit}"
    if _CONTROL.search(value):
        return f"{name} {value!r} holds a line end, NUL or another control character"
    if name == "path":
        return None if value else "path is empty"
    if value != value.strip():
        return f"{name} {value!r} has blanks around it; remove them"
    return None


def _parse_row(values: Mapping[str, str], path: Path, where: str, problems: list[str]) -> Clip:
    clip_id, split, fold = values["clip"], values.get("split"), values.get("fold")
    try:
        check_clip_id(clip_id)
    except ValueError as error:
        problems.append(f"{where}{error}")
    if split and split.casefold() not in SPLIT_NAMES:
        problems.append(f"{where}split {split!r} is none of {', '.join(SPLITS)}")
        split = None
    if fold and not (fold.isascii() and fold.isdigit() and int(fold) <= MAX_FOLD):
        problems.append(f"{where}fold {fold!r} is not an integer from 0 to {MAX_FOLD}")
        fold = None
    start = _parse_seconds("start_seconds", values, where, problems)
    end = _parse_seconds("end_seconds", values, where, problems)
    if end is not None and end <= (start or 0.0):
        problems.append(
            f"{where}end_seconds {values['end_seconds']} is not after start_seconds "
            f"{values.get('start_seconds') or 0}"
        )
    label, speaker = values.get("label"), values.get("speaker")
    return Clip(
        clip_id,
        path,
        # Interned, a million rows share the few strings that they repeat.
        label=sys.intern(label) if label else None,
        split=SPLIT_NAMES[split.casefold()] if split else None,
        speaker=sys.intern(speaker) if speaker else None,
        fold=int(fold) if fold else None,
        start_seconds=start,
        end_seconds=end,
    )


def _parse_seconds(
    name: str, values: Mapping[str, str], where: str, problems: list[str]
) -> float | None:
    text = values.get(name)
    if not text:
        return None
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 <= number <= MAX_SECONDS:
        problems.append(f"{where}{name} {text!r} is not a number of seconds from 0 on")
        return None
    return number


def _check_spelling(
    name: str,
    text: str,
    line: int,
    spellings: dict[tuple[str, str], tuple[str, int]],
    problems: list[str],
) -> None:
    """Report, once each, spellings of a label or speaker that look alike."""
    if (name, text) in spellings:
        return
    folded = unicodedata.normalize("NFKC", text).casefold()
    # The leading blank keeps folded keys apart from exact ones: no field starts with one.
    first, first_line = spellings.setdefault((name, f" {folded}"), (text, line))
    spellings[(name, text)] = (text, line)
    if first != text:
        problems.append(
            f"line {line}: {name} {text!r} differs only in case from {first!r} on line "
            f"{first_line}; write both alike"
        )
