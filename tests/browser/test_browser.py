"""The browser itself: a page with an error fails its test, and the picture is of the whole page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import check_console


@pytest.mark.slow
def test_a_page_whose_script_fails_fails_the_test(
    open_page: Callable[..., object], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><script>missing.call()</script>")
    browser = open_page(page)
    with pytest.raises(pytest.fail.Exception, match="missing is not defined"):
        check_console(browser)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_a_screenshot_has_the_width_asked_for_and_the_whole_page(
    open_page: Callable[..., object], keep: Callable[[str], Path], tmp_path: Path, width: int
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><body style='margin:0;height:2000px'>")
    open_page(page, width)
    with Image.open(keep("browser")) as picture:
        assert picture.size == (width, 2000)
