"""Pages of panels: whole, escaped, and in parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.trainer.explain_helper import make_panel, make_pictures
from trainer.explain.page import format_page, write_pages
from trainer.explain.panel import Panel, embed_json
from trainer.explain.pictures import embed_pictures

HOSTILE = "</script><script>alert(1)</script>"


def data_of(page: str) -> list[dict[str, object]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: list[dict[str, object]] = json.loads(found[1])
    return data


def test_a_page_holds_everything_and_lets_nothing_in() -> None:
    page = format_page([make_panel("c1"), make_panel("c2", second=True)], title="r explained")
    assert "default-src 'none'; img-src data:;" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert [one["explanation"]["clip"] for one in data_of(page)] == ["c1", "c2"]  # type: ignore[index]
    assert page == format_page(
        [make_panel("c1"), make_panel("c2", second=True)], title="r explained"
    )


def test_names_stay_text() -> None:
    page = format_page([make_panel(HOSTILE, label=HOSTILE)], title=HOSTILE)
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    assert data_of(page)[0]["explanation"]["label"] == HOSTILE  # type: ignore[index]
    assert embed_json("<&>\u2028") == '"\\u003c\\u0026\\u003e\\u2028"'


def test_more_clips_than_fit_a_page_go_to_the_next(tmp_path: Path) -> None:
    panels = [Panel(make_panel(f"c{n}").first) for n in range(5)]
    pages = write_pages(tmp_path / "a #1.html", panels, title="t", per_page=2)
    assert [page.name for page in pages] == ["a #1.html", "a #1-2.html", "a #1-3.html"]
    assert [len(data_of(page.read_text())) for page in pages] == [2, 2, 1]
    assert 'href="a%20%231-2.html"' in pages[0].read_text()


def test_pictures_are_embedded_with_their_sizes_and_times() -> None:
    embedded = embed_pictures(make_pictures(why="the sound is cut"))
    assert embedded["why"] == "the sound is cut"
    strip = embedded["strip"]
    assert (strip["width"], strip["height"], strip["times"]) == (20, 30, [250, 750, 1250, 1750])
    assert strip["source"].startswith("data:image/png;base64,")
    assert embedded["spectrogramSpan"] == [0.0, 2.0]
    assert embed_pictures(None) == {}
    assert embed_pictures(make_pictures(strip=b"", spectrogram=None)) == {}


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a JPEG or PNG, got 5 other bytes"):
        embed_pictures(make_pictures(strip=b"<svg>"))


def test_a_picture_too_large_for_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.explain.pictures.MAX_PIXELS", 80 * 30 - 1)
    with pytest.raises(ValueError, match="80x30 pixels, too many for a page"):
        embed_pictures(make_pictures())
