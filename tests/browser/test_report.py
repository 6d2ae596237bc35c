"""The report page in a browser: sorted, filtered, opened, printed; text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.trainer.report import report_helper
from tests.trainer.report.report_helper import CLASSES, MARKUP, draw, make_run
from trainer.report import clips, page
from trainer.report.embedding import EmbeddingMap
from trainer.runs.folder import Run

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow
Open = Callable[..., "Chrome"]
NUM_CLIPS = 60  # more than a page of the table


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write the page of some runs, with curves, pictures and a map that take no time to make."""
    folder = tmp_path_factory.mktemp("pages")

    def place(run: Run, *_: Any, **__: Any) -> EmbeddingMap:
        points = np.random.default_rng(0).random((len(run.predictions.clips), 2))
        return EmbeddingMap(run.predictions.clips, points, "Noise.")

    def write(name: str, runs: Sequence[Run]) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clips, "explain_run", report_helper.explain)
            patch.setattr(page, "map_run", place)
            return page.write_report(runs, folder / f"{name}.html", draw=draw)

    return write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"), "run", NUM_CLIPS)


@pytest.fixture(scope="module")
def report(write: Callable[..., Path], run: Run) -> Path:
    return write("one", [run])


@pytest.fixture(scope="module")
def both(write: Callable[..., Path], run: Run) -> Path:
    return write("two", [run, make_run(run.path.parent, "other", NUM_CLIPS, seed=1)])


def column(browser: Chrome, number: int) -> list[str]:
    """The words of a column, as they are shown."""
    script = """return [...document.querySelectorAll("#table tbody tr:not(.panel)")].map((row) =>
      [...row.cells[arguments[0]].childNodes].filter((one) => !one.classList?.contains("hidden")
        && !one.classList?.contains("mark")).map((one) => one.textContent).join(""))"""
    found: list[str] = browser.execute_script(script, number)
    return found


def ask(browser: Chrome, name: str, value: object) -> None:
    """Set a field of the filters as somebody would."""
    browser.execute_script(
        """const field = document.getElementById(arguments[0]); field.value = arguments[1];
        field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input"))""",
        name,
        value,
    )


def press(browser: Chrome, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def as_number(text: str) -> float:
    return float(text.split()[0])


def test_every_column_sorts_both_ways_and_equal_rows_keep_their_order(
    open_page: Open, report: Path
) -> None:
    browser = open_page(report)
    press_header = "document.querySelectorAll('#table thead button')[arguments[0]].click()"
    heads = [one.text for one in browser.find_elements("css selector", "#table thead button")]
    assert heads == [
        "clip",
        "label",
        "prediction",
        "probability",
        "of the label",
        "speaker",
        "fold",
    ]
    keys: list[Callable[[str], Any]] = [str, str, str, as_number, as_number, str, as_number]
    for number, key in enumerate(keys):
        states = []
        for _ in range(2):
            browser.execute_script(press_header, number)
            sort = "return document.querySelectorAll('#table thead th')[arguments[0]].ariaSort"
            states.append(browser.execute_script(sort, number))
            shown = column(browser, number)
            assert len(shown) == 50
            assert shown == sorted(shown, key=key, reverse=states[-1] == "descending")
        assert sorted(states) == ["ascending", "descending"]
        assert len(browser.find_elements("css selector", "#table th[aria-sort='none']")) == 6
    # Clips of one fold stand as they did before, by speaker and descending.
    for fold in range(3):
        rows = zip(column(browser, 5), column(browser, 6), strict=True)
        of_fold = [speaker for speaker, number in rows if number == str(fold)]
        assert of_fold == sorted(of_fold, reverse=True)


def test_filters_combine_and_are_taken_back(open_page: Open, report: Path, run: Run) -> None:
    browser = open_page(report)
    said = browser.find_element("id", "shown")
    assert said.text == f"{NUM_CLIPS} of {NUM_CLIPS} clips; 1 to 50 are shown"
    table = run.predictions
    wrong = [
        c for c, x, y in zip(table.clips, table.labels, table.predictions, strict=True) if x != y
    ]
    ask(browser, "by-outcome", 1)
    assert column(browser, 0) == wrong
    ask(browser, "by-speaker", 2)
    ask(browser, "find", "CLIP-0")
    expected = [clip for clip in wrong if table.clips.index(clip) % 7 == 2]
    assert column(browser, 0) == expected
    assert said.text == f"{len(expected)} of {NUM_CLIPS} clips"
    ask(browser, "find", "no such clip")
    assert (column(browser, 0), said.text) == ([], f"0 of {NUM_CLIPS} clips")
    browser.find_element("css selector", ".filters button").click()
    assert column(browser, 0) == list(table.clips[:50])
    ask(browser, "by-label", 3)
    ask(browser, "by-fold", 1)
    assert column(browser, 0) == [c for i, c in enumerate(table.clips) if i % 15 == 13]


def test_a_cell_of_the_confusion_and_a_point_of_the_map_lead_to_their_clips(
    open_page: Open, report: Path, run: Run
) -> None:
    browser = open_page(report)
    table = run.predictions
    cell = '.confusion button[data-label="1"][data-prediction="1"]'
    browser.find_element("css selector", cell).click()
    rows = zip(table.clips, table.labels, table.predictions, strict=True)
    right = [clip for clip, label, answer in rows if label == answer == CLASSES[1]]
    assert column(browser, 0) == right
    browser.execute_script(
        """document.querySelector('.map [data-row="55"]')
          .dispatchEvent(new MouseEvent("click", { bubbles: true }))"""
    )
    assert browser.execute_script("return document.activeElement.textContent") == table.clips[55]
    assert browser.find_element("css selector", ".pager span").text == "page 2 of 2"
    assert len(browser.find_elements("css selector", "tr.panel svg.panel")) == 1


def test_a_panel_opens_and_closes_by_the_keyboard(
    open_page: Open, keep: Callable[[str], Path], both: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = open_page(both)
    button = browser.find_element("css selector", "#table button.open")
    browser.execute_script("arguments[0].focus()", button)
    press(browser, Keys.ENTER)
    assert button.get_attribute("aria-expanded") == "true"
    panel = browser.find_element("css selector", "tr.panel")
    assert "other:" in panel.text
    press(browser, Keys.TAB, Keys.ARROW_RIGHT)
    assert re.match(r"\d+\.\d\d s: ", panel.find_element("css selector", "output").text)
    keep("report-two-runs")
    press(browser, Keys.ESCAPE)
    assert not browser.find_elements("css selector", "tr.panel")
    assert button.get_attribute("aria-expanded") == "false"
    assert browser.execute_script("return document.activeElement") == button
    browser.find_element("id", "show-changed").click()
    assert all(a != b for a, b in zip(column(browser, 2), column(browser, 4), strict=True))


def test_markup_in_names_stays_text(open_page: Open, report: Path) -> None:
    browser = open_page(report)
    ask(browser, "by-label", CLASSES.index(MARKUP))
    assert set(column(browser, 1)) == {MARKUP}
    assert column(browser, 5)[0].endswith(MARKUP)
    browser.find_element("css selector", "#table button.open").click()
    assert MARKUP in browser.find_element("css selector", "tr.panel").text
    ask(browser, "by-label", "")
    ask(browser, "find", "<b>")
    assert column(browser, 0)[0] == "clip-00005-<b>"
    # Of ours are the data and the one script; no element came out of a name.
    assert len(browser.find_elements("tag name", "script")) == 2
    assert not browser.find_elements("css selector", "#table b")


def test_ten_thousand_clips_open_at_once_and_are_paged(
    open_page: Open, write: Callable[..., Path], tmp_path: Path
) -> None:
    many = write("many", [make_run(tmp_path, "many", 10_000, with_manifest=False)])
    assert many.stat().st_size < 6_000_000
    browser = open_page(many)
    assert len(column(browser, 0)) == 50
    complete = "return performance.getEntriesByType('navigation')[0].domComplete"
    assert browser.execute_script(complete) < 3000  # milliseconds
    browser.find_element("xpath", "//nav[@class='pager no-print']/button[text()='last']").click()
    assert column(browser, 0)[-1].startswith("clip-09999")
    assert browser.find_element("id", "shown").text.endswith("; 9951 to 10000 are shown")
    ask(browser, "find", "clip-09")
    assert browser.find_element("css selector", ".pager span").text == "page 1 of 20"


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window_in_light_and_dark(
    open_page: Open, keep: Callable[[str], Path], report: Path, width: int, dark: bool
) -> None:
    browser = open_page(report, width, dark=dark)
    browser.find_element("css selector", "#table button.open").click()
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(paper.split("(")[1].split(",")[0]) < 60) == dark
    keep(f"report-{'dark' if dark else 'light'}")


def test_on_paper_every_row_is_there_and_nothing_is_folded(
    open_page: Open, keep: Callable[[str], Path], report: Path
) -> None:
    browser = open_page(report, printed=True)
    assert len(column(browser, 0)) == NUM_CLIPS
    assert not browser.find_elements("css selector", "details:not([open])")
    assert not browser.find_element("css selector", ".filters").is_displayed()
    keep("report-printed")
