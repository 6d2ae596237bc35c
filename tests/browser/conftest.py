"""A real browser for the tests of pages: headless Chromium, driven by selenium."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HEIGHT = 900
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # a container's root has no other way
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium without a window; tests that ask for it are skipped where it is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"), log_output=os.devnull)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser: Chrome) -> Iterator[Callable[..., Chrome]]:
    """Open a file, as on a screen of some width or on paper, in light or dark colours.

    The test fails if the page reports an error until it ends.
    """
    browser.get_log("browser")  # what an earlier page left behind

    def open_page(
        path: Path, width: int = 1280, *, dark: bool = False, printed: bool = False
    ) -> Chrome:
        # A window is never narrower than 500 pixels; what the page sees is set here.
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": "print" if printed else "screen", "features": [scheme]},
        )
        browser.get(path.resolve().as_uri())
        return browser

    yield open_page
    check_console(browser)


def check_console(browser: Chrome) -> None:
    """Fail where a page reported an error since the last look."""
    errors = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    if errors:
        pytest.fail("the page reports: " + "\n".join(errors))


@pytest.fixture
def keep(browser: Chrome) -> Callable[[str], Path]:
    """Write what the page shows, from top to bottom, to build/screenshots/NAME-WIDTH.png."""

    def keep(name: str) -> Path:
        width = browser.execute_script("return innerWidth")
        picture = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True}
        )
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}-{width}.png"
        path.write_bytes(base64.b64decode(picture["data"]))
        return path

    return keep
