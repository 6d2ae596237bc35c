"""Cells that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest

from cache.cells import check_no_formula, format_cells, is_formula

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+ve",
    "-angry",
    "-2+3+cmd|' /C calc'!A0",
    "\uff1d1+1",  # a wide sign, which Japanese spreadsheets take too
    "\t=1+1",
    "happy;=1+1",  # cut at the semicolon where decimals have commas
    "happy:3;-sad:1",  # votes
    "-1_0",
]
TEXT = [
    "happy",
    "-1",
    "+1",
    "-0.8",
    "-1e-05",
    "-.5",
    "-inf",
    "-",
    "++",
    "--",
    "=",
    "a=b",
    "x-y",
    "",
]
TEXT += ["-1:2;0:3", "happy:3;sad:1", "1=1", "e-mail@x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_refused_as_a_name_and_made_text_elsewhere(text: str) -> None:
    assert is_formula(text)
    with pytest.raises(ValueError, match=r"label .* would run it; call it otherwise"):
        check_no_formula("label", text)
    (row,) = csv.reader(io.StringIO(format_cells([text], [])))
    assert not is_formula(row[0])
    assert row[0].replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize("text", TEXT)
def test_numbers_signs_and_words_stay_as_they_are(text: str) -> None:
    assert not is_formula(text)
    check_no_formula("label", text)
    rows = [*csv.reader(io.StringIO(format_cells(["name"], [[text, 5]])))]
    assert rows == [["name"], [text, "5"]]
