"""Links to contact sheets: none leaves their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.report.sheets import find_sheets
from trainer.runs.folder import RunError


def test_links_lead_from_the_page_to_the_sheets(tmp_path: Path) -> None:
    folder = tmp_path / "my sheets: 1"
    folder.mkdir()
    (folder / "index.html").write_text("")
    known = {"a": "page-001.html#a.b-c_d", "b": "page-002.html"}
    (folder / "index.json").write_text(json.dumps(known))
    found = find_sheets(folder, tmp_path / "pages")
    base = "../my%20sheets%3A%201"
    assert found.index == f"{base}/index.html"
    assert found.clips == {clip: f"{base}/{link}" for clip, link in known.items()}


@pytest.mark.parametrize(
    "link",
    ["../secret.html", "/etc/x.html", "javascript:alert(1)", "a.html?x", "x/a.html", "a.exe", 3],
)
def test_a_link_that_leaves_the_folder_is_left_out(tmp_path: Path, link: object) -> None:
    (tmp_path / "index.html").write_text("")
    (tmp_path / "index.json").write_text(json.dumps({"a": link, "b": "b.html"}))
    assert find_sheets(tmp_path, tmp_path).clips == {"b": "./b.html"}


def test_a_folder_without_sheets_or_with_a_damaged_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"has no index.html; write sheets with: avfuse inspect faces"
    ):
        find_sheets(tmp_path, tmp_path)
    (tmp_path / "index.html").write_text("")
    assert find_sheets(tmp_path, tmp_path).clips == {}
    (tmp_path / "index.json").write_text("[")
    with pytest.raises(RunError, match=r"index.json is damaged"):
        find_sheets(tmp_path, tmp_path)
