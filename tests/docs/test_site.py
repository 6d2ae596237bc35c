"""The documentation's site builds without a warning, needs no network and leaves nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.site.commands import walk, write_commands
from docs.site.settings import GROUPS, read_meanings, read_settings, write_settings
from pipeline.cli import main

ROOT = Path(__file__).parents[2]
SETTINGS = [
    pytest.param(setting, id=f"{cls.__name__}-{setting.name}")
    for _, cls, _ in GROUPS
    for setting in read_settings(cls)
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` does."""
    pytest.importorskip("material", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    done = subprocess.run(
        [*command, str(folder), "--config-file", "docs/site/mkdocs.yml"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr)
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    pages = {page.with_suffix(".html") for page in pages if page.parts[0] != "site"}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert pages - built == set()
    assert {Path(f"reference/{name}.html") for name in ("commands", "settings", "files")} <= built


@pytest.mark.slow
def test_no_page_of_the_site_loads_anything_from_a_network(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=["']?(?:https?:)?//""")
    remote = {path.name for path in site.rglob("*.html") if loads.search(path.read_text("utf-8"))}
    assert remote == set()


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_has_a_meaning(setting: object) -> None:
    assert getattr(setting, "meaning", "")


def test_a_setting_shows_its_default_its_values_and_the_presets_that_differ() -> None:
    rows = [line for line in write_settings().splitlines() if line.startswith("| `optim.schedule`")]
    assert rows == [
        "| `optim.schedule` | `cosine`, `constant` | `cosine` | "
        '"cosine" falls to 0 after the warm-up; "constant" stays. |'
    ]
    (epochs,) = (
        line for line in write_settings().splitlines() if line.startswith("| `optim.epochs`")
    )
    assert "| `30` (fast: `20`) |" in epochs


def test_a_meaning_of_several_lines_is_read_whole_and_an_heir_has_those_of_its_parent() -> None:
    class Parent:
        """Settings.

        Args:
            size: pixels, where one that is larger
                is refused.

        Raises:
            ValueError: never.
        """

    class Heir(Parent):
        """Settings.

        Attributes:
            name: ``own``.
        """

    assert read_meanings(Heir) == {
        "size": "pixels, where one that is larger is refused.",
        "name": "`own`.",
    }


def test_every_command_and_every_option_is_in_the_reference() -> None:
    page = write_commands()
    for context in walk(click.Context(main, info_name="avfuse")):
        assert f"# {context.command_path}\n" in page
        for option in context.command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in page, f"{context.command_path} {option.opts}"
