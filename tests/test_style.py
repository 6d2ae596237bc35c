"""House style that a program can check: what a docstring opens with, and names that say nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATHS = sorted(
    path
    for folder in ("cache", "extractors", "pipeline", "trainer", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
# A thing's docstring opens with its noun, a function's with an imperative: these hide both.
RIDDLES = {"What", "How", "Which", "Where", "When", "Why", "Who"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_opens_with_a_noun_or_an_imperative(path: Path) -> None:
    openings = {
        f"line {getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for text in [ast.get_docstring(node)]
        if text and text.split()[0].rstrip(",:") in RIDDLES
    }
    assert openings == set()


def test_no_module_is_named_for_nothing() -> None:
    names = {path.stem for path in PATHS}
    assert names & {"utils", "util", "helpers", "misc", "common", "tools"} == set()
