"""The checks of a manifest's header and rows, each problem in words with its line number."""

from __future__ import annotations

import difflib
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from cache.cells import check_no_formula
from cache.manifest.clip import COLUMNS, SPLIT_NAMES, SPLITS, Clip
from cache.manifest.clip_id import check_clip_id
from cache.manifest.files import ManifestFiles
from cache.manifest.numbers import is_spoilt, read_number, read_seconds, read_whole
from cache.manifest.table import first_bad_byte
from cache.manifest.votes import Votes, parse_votes

MAX_NAME_LENGTH = 200  # of a label or a speaker
MAX_PATH_LENGTH = 4096  # also of votes and sentences
MAX_PROBLEM_LENGTH = 300  # in characters: a table of a million bad rows is kept in memory whole
MAX_FOLD = 99_999
MAX_SECONDS = 1e7

_REQUIRED = ("clip", "path")
_NAMES = (*_REQUIRED, "label", "speaker")
# What R, pandas and spreadsheet programs write for no value, and for one that can't be computed.
_NO_VALUE = frozenset({"NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL"})
_ERRORS = frozenset({"#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NEAR = {  # columns that other tools write, too far from ours to be found by spelling
    "clip_id": "clip",
    "start": "start_seconds",
    "start_time": "start_seconds",
    "end": "end_seconds",
    "end_time": "end_seconds",
}
_NOT_NEAR = {"folder", "notes"}  # columns of their own, one letter pair from "fold" and "votes"


def check_header(line: int, fields: list[str], problems: list[str]) -> dict[str, int] | None:
    """Find the known columns in a manifest's header.

    Args:
        line: where the header stands.
        fields: the names in it.
        problems: one line is added for each name that is missing, doubled or nearly a known one.

    Returns:
        Known column to its position, or None where the rows can't be read for want of a column.
    """
    columns: dict[str, int] = {}
    found = ",".join(fields)[:200]
    for position, name in enumerate(fields):
        if name in columns:
            problems.append(f"line {line}: column {name} stands twice in the header")
        elif name in COLUMNS:
            columns[name] = position
    for name in fields:
        near = None if name in columns else _nearest(name, taken=columns)
        if near:
            problems.append(
                f"line {line}: column {name!r} is nearly {near!r}; "
                f"write {near!r} if it is that, another name if not"
            )
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        problems.append(
            f"line {line}: the header has no column {' and no column '.join(missing)}; "
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


class RowParser:
    """Turns the rows of one manifest into clips, and whatever is wrong into ``problems``.

    Args:
        folder: the manifest's folder, absolute.
        check_files: look at each file.
        follow_links: let a relative path leave ``folder`` by a symbolic link.
        check_spelling: report ids, labels and speakers that differ only in case.

    Attributes:
        delimiter: what stands between the table's fields; tells a decimal comma from others.
        utf8_advice: what to do where a byte isn't UTF-8.
        problems: what is wrong, each with its line.
    """

    def __init__(
        self, folder: Path, *, check_files: bool, follow_links: bool, check_spelling: bool = True
    ) -> None:
        self.folder = folder
        self.check_files = check_files
        self.check_spelling = check_spelling
        self.delimiter = ","
        self.utf8_advice = "save the table as UTF-8"
        self.problems: list[str] = []
        self._files = ManifestFiles(folder, follow_links=follow_links)
        self._target: tuple[str | None, int] | None = None
        self._ids: dict[str, tuple[str, int]] = {}
        self._spellings: dict[tuple[str, str], tuple[str, int]] = {}

    def check_fields(self, line: int, fields: list[str], *, num_columns: int) -> bool:
        """Tell whether a row can be read at all: UTF-8, and as many fields as columns."""
        bad_byte = first_bad_byte(fields)
        if bad_byte is not None:
            self._report(line, f"not UTF-8 (byte 0x{bad_byte:02x}); {self.utf8_advice}")
        elif len(fields) != num_columns:
            self._report(
                line,
                f"has {len(fields)} fields where the header has {num_columns}; "
                "quote a field that holds a comma",
            )
        else:
            return True
        return False

    def parse(self, line: int, values: Mapping[str, str]) -> Clip | None:
        """Return the clip of a row, or None after adding its problems.

        Args:
            line: where the row starts in the table, from 1.
            values: known column to text; ``clip`` and ``path`` must be there.
        """
        before = len(self.problems)
        read = {}
        for name, value in values.items():
            problem = text_problem(name, value)
            if not problem:
                try:
                    read[name] = read_text(name, value) if value else value
                except ValueError as error:
                    problem = str(error)
            if problem:
                self._report(line, problem)
        if len(self.problems) > before:
            return None
        values = read
        clip = self._parse_values(line, values)
        self._check_target(line, clip)
        self._check_id(line, clip.id)
        if self.check_spelling:
            for name, text in (("label", clip.label), ("speaker", clip.speaker)):
                if text is not None and (name, text) not in self._spellings:
                    self._check_spelling(line, name, text)
        problem = self._files.lexical_problem(values["path"])
        if not problem and self.check_files:
            problem = self._files.problem(values["path"])
        if problem:
            self._report(line, problem)
        return clip if len(self.problems) == before else None

    def _report(self, line: int, problem: str) -> None:
        if len(problem) > MAX_PROBLEM_LENGTH:  # its end says what to do
            half = MAX_PROBLEM_LENGTH // 2
            problem = f"{problem[:half]} ... {problem[-half:]}"
        self.problems.append(f"line {line}: {problem}")

    def _check_id(self, line: int, clip_id: str) -> None:
        key = clip_id.lower() if self.check_spelling else clip_id
        first, first_line = self._ids.setdefault(key, (clip_id, line))
        if first_line == line:
            return
        if first == clip_id:
            self._report(line, f"clip id {clip_id!r} is already on line {first_line}")
        else:
            self._report(
                line,
                f"clip id {clip_id!r} differs only in case from {first!r} on line {first_line}; "
                "some disks hold one of two such files",
            )

    def _check_target(self, line: int, clip: Clip) -> None:
        """Report labels of two kinds in one manifest: an accuracy over both would mean nothing."""
        if self._target is None:
            self._target = (clip.label_target, line)
        target, first_line = self._target
        if clip.label_target != target:
            self._report(
                line,
                f"label_target {clip.label_target or ''!r} differs from {target or ''!r} on line "
                f"{first_line}; one manifest has labels of one kind: if these are the same (older "
                "manifests don't say it), write one value in all rows",
            )

    def _check_spelling(self, line: int, name: str, text: str) -> None:
        """Report, once each, spellings of a label or speaker that look alike."""
        folded = unicodedata.normalize("NFKC", text).casefold()
        # The leading blank keeps folded keys apart from exact ones: no field starts with one.
        first, first_line = self._spellings.setdefault((name, f" {folded}"), (text, line))
        self._spellings[(name, text)] = (text, line)
        if first != text:
            self._report(
                line,
                f"{name} {text!r} differs only in case from {first!r} on line {first_line}; "
                "write both alike",
            )

    def _parse_values(self, line: int, values: Mapping[str, str]) -> Clip:
        clip_id, split, fold = values["clip"], values.get("split"), values.get("fold")
        try:
            check_clip_id(clip_id)
        except ValueError as error:
            self._report(line, str(error))
        if split and split.casefold() not in SPLIT_NAMES:
            near = difflib.get_close_matches(split.casefold(), SPLIT_NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self._report(line, f"split {split!r} is none of {', '.join(SPLITS)}{hint}")
            split = None
        number = read_whole(fold) if fold else None
        if fold and (number is None or number > MAX_FOLD):
            self._report(line, f"fold {fold!r} is not an integer from 0 to {MAX_FOLD}")
        start = self._parse_seconds(line, "start_seconds", values)
        end = self._parse_seconds(line, "end_seconds", values)
        if end is not None and end <= (start or 0.0):
            self._report(
                line,
                f"end_seconds {values['end_seconds']} is not after start_seconds "
                f"{values.get('start_seconds') or 0}",
            )
        label, speaker, target = map(values.get, ("label", "speaker", "label_target"))
        return Clip(
            clip_id,
            self.folder / values["path"],
            # Interned, a million rows share the few strings that they repeat.
            label=sys.intern(label) if label else None,
            split=SPLIT_NAMES[split.casefold()] if split else None,
            speaker=sys.intern(speaker) if speaker else None,
            fold=number,
            start_seconds=start,
            end_seconds=end,
            label_target=sys.intern(target) if target else None,
            votes=self._parse_votes(line, values.get("votes")),
            speaker_confidence=self._parse_confidence(line, values) if speaker else None,
            sentence=sys.intern(sentence) if (sentence := values.get("sentence")) else None,
        )

    def _parse_confidence(self, line: int, values: Mapping[str, str]) -> float | None:
        text = values.get("speaker_confidence")
        if not text:
            return None
        confidence = read_number(text, delimiter=self.delimiter)
        if confidence is None or not 0 <= confidence <= 1:
            self._report(
                line,
                f"speaker_confidence {text!r} is not a number from 0 to 1; leave it empty where "
                "the speaker is certain",
            )
        return confidence

    def _parse_votes(self, line: int, text: str | None) -> Votes | None:
        try:
            return parse_votes(text) if text else None
        except ValueError as error:
            self._report(line, str(error))
            return None

    def _parse_seconds(self, line: int, name: str, values: Mapping[str, str]) -> float | None:
        text = values.get(name)
        if not text:
            return None
        seconds = read_seconds(text, delimiter=self.delimiter)
        if seconds is not None and 0 <= seconds <= MAX_SECONDS:
            return seconds
        hint = f"; write a point for a decimal comma, {text.replace(',', '.')}"
        self._report(
            line,
            f"{name} {text!r} is not a number of seconds from 0 on{hint if ',' in text else ''}",
        )
        return None


def read_text(name: str, text: str) -> str:
    """Return a field as it was before a program wrote it.

    A word for no value (``NA``, ``NaN``, ``NULL`` ...) is empty. A label or speaker that is a whole
    number is read without the decimal zero that pandas gives it beside missing ones.

    Raises:
        ValueError: it is a spreadsheet's error, a label or speaker with a question mark or an
            escaped quote, one that is a formula, or a name that was made a number: ``1E+05``, or
            ``1.0`` for an id or a path.
    """
    if text in _NO_VALUE:
        return ""
    if text in _ERRORS:
        raise ValueError(f"{name} {text!r} is an error of a spreadsheet, and no value")
    if name in ("label", "speaker", "label_target", "votes", "sentence"):
        check_no_formula(name, text)
    if name in ("label", "speaker"):  # a path is found out by its file
        if "?" in text:
            raise ValueError(
                f"{name} {text!r} has a question mark, which spreadsheets write for letters that "
                "they can't save; save the table as CSV UTF-8, or leave the mark out"
            )
        if '\\"' in text:
            raise ValueError(
                f"{name} {text!r} has a backslash before a quote; quotes in a field are doubled"
            )
    if name in _NAMES and is_spoilt(text):
        number = read_whole(text)
        if number is None or name in _REQUIRED:
            raise ValueError(
                f"{name} {text!r} is a number as a spreadsheet or pandas writes it; "
                "make its column text and write it anew"
            )
        return str(number)
    return text


def text_problem(name: str, value: str) -> str | None:
    """Say what is wrong with a field before its meaning is looked at, None where nothing is."""
    limit = MAX_PATH_LENGTH if name in ("path", "votes", "sentence") else MAX_NAME_LENGTH
    if len(value) > limit:
        return f"{name} {value[:40]!r}... has {len(value)} characters; at most {limit}"
    # What is printable has no control character; the search is for the few other fields.
    if not value.isprintable() and _CONTROL.search(value):
        return f"{name} {value!r} holds a line end, NUL or another control character"
    if name == "path":
        return "path is empty" if value in _NO_VALUE or not value else None
    if value != value.strip():
        return f"{name} {value!r} has blanks around it; remove them"
    return None
