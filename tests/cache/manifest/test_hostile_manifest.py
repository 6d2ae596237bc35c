"""A manifest in which nearly every row attacks; the benchmark of that name does a million."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.trust.hostile_manifest import KINDS, compare, make_corpus, read, write_rows
from cache.manifest.manifest import ManifestError, read_manifest
from cache.manifest.rows import MAX_PROBLEM_LENGTH

ROWS = 2_003


def test_every_hostile_row_has_its_reason_and_no_whole_row_has_one(tmp_path: Path) -> None:
    make_corpus(tmp_path / "corpus")
    table = tmp_path / "corpus" / "manifest.csv"
    hostile, whole = write_rows(table, ROWS, seed=7)
    assert Counter(hostile.values()).keys() == KINDS.keys()
    tracemalloc.start()
    problems = read(table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert compare(problems, hostile, whole) == ({}, [])
    assert max(map(len, problems)) <= MAX_PROBLEM_LENGTH + len("line 1234567:  ... ")
    assert peak < 2_000 * ROWS + 1_000_000
    assert not any("secret" in text and "symbolic link" not in text for text in problems)


def test_a_long_problem_loses_its_middle_and_keeps_what_to_do(tmp_path: Path) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text(f"clip,path\na,../{'x' * 4_000}.mp4\n")
    with pytest.raises(ManifestError, match=r"path '../x+ \.\.\. x+\.mp4' leaves .*absolute path$"):
        read_manifest(table)
