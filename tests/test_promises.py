"""Every test that docs/promises.md names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"tests/[a-z_/]+\.py", TEXT)))
NAMES = sorted(set(re.findall(r"\btest_\w+(?:\.\.\.)?(?=`)", TEXT)))


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_holds_a_promise_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_test_that_holds_a_promise_exists(name: str) -> None:
    start = re.escape(name.removesuffix("..."))
    pattern = rf"^def {start}" + ("" if name.endswith("...") else r"\(")
    files = [ROOT / path for path in FILES]
    assert any(re.search(pattern, path.read_text(encoding="utf-8"), re.M) for path in files)
