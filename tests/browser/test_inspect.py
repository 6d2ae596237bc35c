"""Contact sheets in a browser: from the index to a clip's sheet, and on to all of its frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.known_faces import write_clip, write_table
from tests.pipeline.sheets import TWO, inspect
from tests.trainer.report.report_helper import make_run
from trainer.report.page import write_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow
MARKUP = "<script>document.title = 'taken'</script>"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (420, True)])
def test_all_frames_of_a_clip_are_a_link_away(
    open_page: Callable[..., Chrome],
    keep: Callable[[str], Path],
    tmp_path: Path,
    width: int,
    dark: bool,
) -> None:
    clips = [
        write_clip(tmp_path / "cache", tmp_path / f"clip.{number}.mp4", TWO, label=MARKUP)
        for number in range(3)
    ]
    folder = tmp_path / "sheets"
    manifest = write_table(tmp_path, clips)
    assert inspect(manifest, tmp_path / "cache", folder, "--per-page", "2").exit_code == 0
    browser = open_page(folder / "index.html", width, dark=dark)
    keep("inspect-index")
    browser.find_element("link text", "clip.2").click()
    assert browser.current_url.endswith("page-002.html#clip.2")
    assert browser.title.startswith("Faces of m.csv")
    keep("inspect-sheet")
    browser.find_element("link text", "all 7 frames").click()
    crops = browser.find_elements("css selector", "[role=img]")
    assert len(crops) == 7
    assert crops[6].get_attribute("aria-label") == "0.24 s: detect, track 0"
    shown = crops[6].value_of_css_property("background-image")
    assert shown.startswith('url("data:image/jpeg')
    assert MARKUP in browser.find_element("tag name", "h1").text
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    keep("inspect-clip")
    browser.find_element("link text", "its sheet").click()
    assert browser.current_url.endswith("page-002.html#clip.2")


def test_a_report_leads_to_the_sheet_of_a_clip(
    open_page: Callable[..., Chrome], tmp_path: Path
) -> None:
    run = make_run(tmp_path, "run", 3)
    folder, name = tmp_path / "faces of #1", run.predictions.clips[1]
    clip = write_clip(tmp_path / "cache", tmp_path / f"{name}.mp4", TWO)
    assert inspect(write_table(tmp_path, [clip]), tmp_path / "cache", folder).exit_code == 0
    browser = open_page(write_report([run], tmp_path / "report.html", sheets=folder))
    browser.find_element("xpath", f"//button[normalize-space()='{name}']").click()
    browser.find_element("link text", "All faces of this clip").click()
    assert browser.current_url.endswith(f"faces%20of%20%231/page-001.html#{name}")
    assert browser.find_elements("css selector", ":target")
