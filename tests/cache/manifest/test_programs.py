"""Manifests as other programs write them: the same clips are read back, or lines are refused.

The programs' writers are imitated with ``csv``: spreadsheets (Excel's "CSV", "CSV UTF-8", "Unicode
text", a first line "sep=;", what it does to formulas, to letters outside its code page and to empty
columns at the end), pandas' ``to_csv`` and R's ``write.csv``, ``write.csv2`` and ``write.table``.
Three things leave no trace in a table and are not made here: a zero lost in front of a number
(``007`` read as 7), a quotation mark around a whole field that a program wrote without quoting, and
a backslash doubled where a program was told to escape with backslashes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from cache.manifest.clip import COLUMNS
from cache.manifest.manifest import Clip, ManifestError, read_manifest

Table = list[list[str]]
NUMERIC = ("fold", "start_seconds", "end_seconds")


def change(table: Table, columns: tuple[str, ...], how: Callable[[str], str]) -> Table:
    """Write the fields of some columns otherwise; empty ones stay."""
    chosen = [name in columns for name in table[0]]
    rows = [
        [how(x) if x and c else x for x, c in zip(row, chosen, strict=True)] for row in table[1:]
    ]
    return [table[0], *rows]


def decimal_commas(table: Table) -> Table:
    return change(table, NUMERIC, lambda text: text.replace(".", ","))


def clocks(table: Table, mark: str = ".") -> Table:
    def clock(text: str) -> str:
        minutes, seconds = divmod(round(float(text) * 1000), 60_000)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds / 1000:06.3f}".replace(".", mark)

    return change(table, ("start_seconds", "end_seconds"), clock)


def timedeltas(table: Table) -> Table:
    return change(clocks(table), ("start_seconds", "end_seconds"), lambda text: f"0 days {text}000")


def floats(table: Table) -> Table:
    """Write whole numbers as pandas does in a column where some are missing."""
    for name, column in zip(table[0], list(zip(*table[1:], strict=True)), strict=True):
        whole = all(re.fullmatch("0|[1-9][0-9]*", text) for text in column if text)
        if whole and "" in column:
            table = change(table, (name,), lambda text: f"{text}.0")
    return table


def missing(table: Table, word: str) -> Table:
    return [table[0], *([text or word for text in row] for row in table[1:])]


def row_names(table: Table, first: str = "") -> Table:
    return [[first, *table[0]], *([str(n), *row] for n, row in enumerate(table[1:], 1))]


def formulas(table: Table) -> Table:
    def compute(text: str) -> str:
        return "#NAME?" if text[0] in "=+-@" else text

    return change(table, COLUMNS, compute)


def wider(table: Table) -> Table:
    width = len(table[0]) + 2
    return [*([*row, "", ""] for row in table), [""] * width, [""] * width]


def short(table: Table) -> Table:
    """Leave out empty fields at the end of a block of 16 rows, as Excel has done since 1995."""
    rows: Table = []
    for start in range(0, len(table), 16):
        block = table[start : start + 16]
        width = max(max((i + 1 for i, x in enumerate(row) if x), default=0) for row in block)
        rows += [row[:width] for row in block]
    return rows


def save(
    table: Table,
    delimiter: str = ",",
    encoding: str = "utf-8",
    *,
    end: str = "\r\n",
    quoting: int = csv.QUOTE_MINIMAL,
    escape: bool = False,
    first: str = "",
    errors: str = "strict",
) -> bytes:
    file = io.StringIO(newline="")
    file.write(first)
    writer = csv.writer(
        file,
        delimiter=delimiter,
        lineterminator=end,
        quoting=quoting,  # type: ignore[arg-type]
        doublequote=not escape,
        escapechar="\\" if escape else None,
    )
    writer.writerows(table)
    return file.getvalue().encode(encoding, errors)


def plain(table: Table, delimiter: str = ",") -> bytes:
    """Write without quoting, as R's ``quote=FALSE``."""
    return "".join(delimiter.join(row) + "\n" for row in table).encode()


SPREADSHEETS: dict[str, Callable[[Table], bytes]] = {
    "CSV UTF-8": lambda t: save(formulas(t), encoding="utf-8-sig"),
    "CSV UTF-8 with semicolons": lambda t: save(decimal_commas(t), ";", "utf-8-sig"),
    "CSV": lambda t: save(t, ",", "cp1252", errors="replace"),
    "CSV with semicolons": lambda t: save(decimal_commas(t), ";", "cp1252", errors="replace"),
    "CSV of a Mac": lambda t: save(t, ",", "mac-roman", end="\r", errors="replace"),
    "Unicode text": lambda t: save(t, "\t", "utf-16"),
    "Unicode text, decimal commas": lambda t: save(decimal_commas(t), "\t", "utf-16"),
    "Unicode text, big end first": lambda t: save(t, "\t", "utf-16-be"),
    "sep=;": lambda t: save(decimal_commas(wider(t)), ";", "utf-8-sig", first="sep=;\r\n"),
    "sep=, quoted": lambda t: save(t, first='"sep=,"\r\n'),
    "wider": lambda t: save(wider(t)),
    "short": lambda t: save(short(t)),
    "short and wider": lambda t: save(short(wider(t)), ";"),
    "times": lambda t: save(clocks(t), end="\n"),
    "times with commas": lambda t: save(clocks(t, ","), ";"),
    "every field quoted": lambda t: save(t, quoting=csv.QUOTE_ALL, end="\n"),
}
PANDAS: dict[str, Callable[[Table], bytes]] = {
    "to_csv": lambda t: save(row_names(floats(t)), end="\n"),
    "index=False": lambda t: save(floats(t), end="\n"),
    "sep=|": lambda t: save(floats(t), "|", end="\n"),
    "decimal=,": lambda t: save(decimal_commas(floats(t)), end="\n"),
    "decimal=, sep=;": lambda t: save(decimal_commas(floats(t)), ";", end="\n"),
    "decimal=, sep=tab": lambda t: save(decimal_commas(floats(t)), "\t", end="\n"),
    "na_rep=NaN": lambda t: save(missing(floats(t), "NaN"), end="\n"),
    "na_rep=<NA>": lambda t: save(missing(row_names(t, "Unnamed: 0"), "<NA>"), end="\n"),
    "quoting=nonnumeric": lambda t: save(t, quoting=csv.QUOTE_NONNUMERIC, end="\n"),
    "timedelta": lambda t: save(timedeltas(t), end="\n"),
    "doublequote=False": lambda t: save(t, escape=True, end="\n"),
    "quoting=none": lambda t: save(t, quoting=csv.QUOTE_NONE, escape=True, end="\n"),
    "utf-16": lambda t: save(t, encoding="utf-16", end="\n"),
}
R: dict[str, Callable[[Table], bytes]] = {
    "write.csv": lambda t: save(row_names(missing(t, "NA")), quoting=csv.QUOTE_ALL, end="\n"),
    "row.names=FALSE": lambda t: save(missing(t, "NA"), quoting=csv.QUOTE_ALL, end="\n"),
    "write.csv2": lambda t: save(decimal_commas(row_names(missing(t, "NA"))), ";", end="\n"),
    "quote=FALSE": lambda t: plain(row_names(missing(t, "NA"))),
    "write.csv2 quote=FALSE": lambda t: plain(decimal_commas(row_names(missing(t, "NA"))), ";"),
    "write.table": lambda t: save([t[0], *row_names(missing(t, "NA"))[1:]], "\t", end="\n"),
}
# Fields that leave no trace in what these write.
TRACELESS = {
    "doublequote=False": r".*\\.*",
    "quoting=none": r".*\\.*",
    "quote=FALSE": r'".*"',
    "write.csv2 quote=FALSE": r'".*"',
}
PROGRAMS = SPREADSHEETS | PANDAS | R

WORDS = st.sampled_from(
    ["happy", "sad", "1", "2", "10", "03", "neutral state", "enttäuscht", "高兴"]
)
ODD = st.text("aZ1 é笑,;|\"'=-.?\\/", min_size=1, max_size=9).map(str.strip).filter(bool)
TEXT = st.none() | WORDS | ODD
IDS = st.text("ab01._-", max_size=6).map("c".__add__) | st.sampled_from(
    ["1", "007", "0.5", "x" * 99]
)
SECONDS = st.none() | st.integers(0, 4_000_000)


@st.composite
def clips(draw: st.DrawFn) -> list[Clip]:
    """Draw the clips of a manifest that stands in the folder ``/m``; times are whole ms."""
    ids = draw(st.lists(IDS, min_size=1, max_size=40, unique_by=str.lower))
    found = []
    for clip_id in ids:
        start, length = draw(SECONDS), draw(SECONDS)
        found.append(
            Clip(
                clip_id,
                Path("/m") / f"{draw(WORDS | ODD).strip('/')}.mp4",
                draw(TEXT),
                draw(st.sampled_from([None, "train", "val", "test"])),
                draw(TEXT),
                draw(st.none() | st.integers(0, 11)),
                None if start is None else start / 1000,
                None if length is None else ((start or 0) + length + 1) / 1000,
            )
        )
    return found


def table_of(found: list[Clip]) -> Table:
    rows = [
        [clip.id, str(clip.path.relative_to("/m")), *(getattr(clip, name) for name in COLUMNS[2:])]
        for clip in found
    ]
    return [list(COLUMNS), *([("" if x is None else str(x)) for x in row] for row in rows)]


def read_or_refuse(path: Path, content: bytes) -> tuple[list[str], list[Clip]]:
    path.write_bytes(content)
    try:
        return [], list(read_manifest(path, check_files=False).clips)
    except ManifestError as error:
        return list(error.problems), []


ORDINARY = [
    Clip("a", Path("/m/v/a.mp4"), "happy", "train", "1", 0, 0.5, 61.25),
    Clip("b", Path("/m/v/b, c.mp4"), "sad", "val", None, None, None, 3.75),
    Clip("c", Path("/m/v/c.mp4"), "sad", "test", "2", 7, 36.125, None),
]
WIDTH = len(COLUMNS)
REFUSED = {  # lines of ORDINARY, with what is said of them
    "Unicode text, decimal commas": ["line 4: start_seconds '36,125' is not a number"],
    "decimal=,": ["line 4: start_seconds '36,125' is not a number"],
    "decimal=, sep=tab": ["line 4: start_seconds '36,125' is not a number"],
    "quoting=none": [f"line 3: has {WIDTH + 1} fields where the header has {WIDTH}"],
    "quote=FALSE": [f"line 3: has {WIDTH + 2} fields where the header has {WIDTH + 1}"],
    "write.table": [
        f"line {n}: has {WIDTH + 1} fields where the header has {WIDTH}" for n in (2, 3, 4)
    ],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_ordinary_manifest_is_read_back_from_every_program(tmp_path: Path, program: str) -> None:
    content = PROGRAMS[program](table_of(ORDINARY))
    expected = [Clip(c.id, tmp_path / c.path.relative_to("/m"), c.label, c.split, c.speaker, c.fold,
                     c.start_seconds, c.end_seconds) for c in ORDINARY]  # fmt: skip
    problems, again = read_or_refuse(tmp_path / "m.csv", content)
    refused = REFUSED.get(program, [])
    assert again == ([] if refused else expected)
    assert [text[: len(said)] for text, said in zip(problems, refused, strict=True)] == refused


@pytest.mark.slow
@settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(clips(), st.sampled_from(sorted(PROGRAMS)))
def test_the_same_clips_are_read_or_lines_are_refused(
    tmp_path: Path, found: list[Clip], program: str
) -> None:
    table = table_of(found)
    traceless = re.compile(TRACELESS.get(program, r"(?!)"))
    assume(not any(traceless.fullmatch(text) for row in table for text in row))
    problems, again = read_or_refuse(tmp_path / "m.csv", PROGRAMS[program](table))
    assert all(re.match(r"line [0-9]+: .{10}", problem) for problem in problems)
    files = {clip.path.relative_to("/m") for clip in found}
    lost = any(clip.path.relative_to(tmp_path) not in files for clip in again)
    event("refused" if problems else "refused for want of a file" if lost else "read")
    if problems or lost:
        return
    for clip, other in zip(found, again, strict=True):
        assert other.path.relative_to(tmp_path) == clip.path.relative_to("/m")
        assert [getattr(other, name) for name in COLUMNS[2:]] == [
            getattr(clip, name) for name in COLUMNS[2:]
        ]
        assert other.id == clip.id
