"""Panels of explanations in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.trainer.explain_helper import make_panel
from trainer.explain.page import write_pages

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two clips; one has a second run, the other hostile names of everything."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    hostile = {"label": HOSTILE, "prediction": HOSTILE, "classes": ("angry", HOSTILE, "sad")}
    panels = [make_panel("c1", second=True), make_panel(HOSTILE, **hostile)]
    return write_pages(out, panels, title="fusion explained")[0]


@pytest.mark.slow
def test_the_arrow_keys_move_a_cursor_that_reads_out_time_weights_and_probabilities(
    open_page: Callable[..., Chrome], page: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = open_page(page)
    panel, other = browser.find_elements(By.CSS_SELECTOR, "svg.panel")
    output = browser.find_element(By.CSS_SELECTOR, "output")
    assert output.get_attribute("aria-live") == "polite"
    panel.send_keys(Keys.HOME)
    # The first of fifty steps whose weights are 1 to 50, in shares of their mean 25.5.
    assert output.text.startswith("0.00 s: fusion: video 0.0 ×, audio 1.0 ×; angry 45 %, sad 45 %")
    cursor = panel.find_element(By.CSS_SELECTOR, ".cursor")
    before = float(cursor.get_attribute("x1") or "nan")
    panel.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.NULL)
    assert output.text.startswith("0.80 s: fusion: video 0.8 ×")
    assert ". video: happy 20 %" in output.text or ". video: angry 40 %" in output.text
    assert float(cursor.get_attribute("x1") or "nan") > before
    panel.send_keys(Keys.END, Keys.ARROW_RIGHT)
    assert output.text.startswith("2.00 s: fusion: video 2.0 ×")
    assert other.find_element(By.CSS_SELECTOR, ".cursor").get_attribute("visibility") == "hidden"


@pytest.mark.slow
def test_two_runs_are_laid_over_one_another_and_names_stay_text(
    open_page: Callable[..., Chrome], page: Path
) -> None:
    from selenium.webdriver.common.by import By

    browser = open_page(page)
    first, second = browser.find_elements(By.CSS_SELECTOR, "figure.explanation")

    def count(figure: object, selector: str) -> int:
        return len(figure.find_elements(By.CSS_SELECTOR, selector))  # type: ignore[attr-defined]

    assert count(first, "svg.panel path.attention.run-0") == 2  # of video and audio
    assert count(first, "path.probability.run-0") == 3  # every class
    assert count(first, "path.probability.run-1") == 3  # two predictions and the label
    assert count(second, "path.probability.run-1") == 0
    assert count(second, "script") == 0
    assert f"label (L): {HOSTILE}" in second.text
    assert f"prediction (P): {HOSTILE} 50 % (2 heads of fold 3)" in second.text
    assert f"{HOSTILE[:23]}…" in second.text  # at the end of its line


@pytest.mark.slow
@pytest.mark.parametrize("look", [{"width": 1280}, {"width": 360, "dark": True}, {"printed": True}])
def test_a_panel_fits_the_page(
    open_page: Callable[..., Chrome],
    keep: Callable[[str], Path],
    page: Path,
    look: dict[str, bool | int],
) -> None:
    browser = open_page(page, **look)
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    outside = browser.execute_script(
        "return [...document.querySelectorAll('svg.panel')].flatMap((svg) => {"
        "  const box = svg.getBoundingClientRect();"
        "  return [...svg.querySelectorAll('text')].filter((text) => {"
        "    const own = text.getBoundingClientRect();"
        "    return own.left < box.left - 1 || own.right > box.right + 1"
        "      || own.bottom > box.bottom + 1;"
        "  }).map((text) => text.textContent);"
        "});"
    )
    assert [text for text in outside if HOSTILE[:8] not in text] == []
    keep("explain-printed" if look.get("printed") else "explain")
