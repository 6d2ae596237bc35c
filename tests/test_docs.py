"""The pages are true of the repository: what they name exists."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from docs.site.pages import GENERATED
from pipeline.cli import COMMANDS, main

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "site" not in path.parts),
    ROOT / "benchmarks" / "NOTES.md",
    ROOT / "benchmarks" / "default_card.md",
    *(ROOT / "extractors" / "weights" / f"default_{name}.md" for name in ("resnet18", "resnet29")),
]
# Pages that the site writes from the code.
WRITTEN = {ROOT / "docs" / name for name in GENERATED}
# Commands that are there where the example of a plug-in is installed.
PLUGGED = set(
    tomllib.loads((ROOT / "examples/plugin/pyproject.toml").read_text(encoding="utf-8"))["project"][
        "entry-points"
    ]["avfuse.corpora"]
)
OURS = ("cache", "extractors", "pipeline", "trainer", "tests", "benchmarks")
FENCED = re.compile(r"^ *```\w*[^\n]*\n(.*?)^ *```$", re.M | re.S)
# A folder or file of the repository, where it stands in backticks or in a link.
PATH = re.compile(rf"(?<![\w/])(?:{'|'.join(OURS)}|docs|\.ci)/[\w./*-]*")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def code_of(page: Path) -> tuple[str, ...]:
    """Pieces of code of a page: lines of its fenced blocks, comments dropped, and backticks."""
    text = text_of(page)
    lines = [
        re.split(r"\s#", line)[0].strip()
        for block in FENCED.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return (*lines, *re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text_of(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def is_there(path: str) -> bool:
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


def defined_in(module: Path) -> set[str]:
    body = ast.parse(module.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def is_module_or_name(dotted: str) -> bool:
    """Whether a dotted name is a package, a module, or something that one of them offers."""
    path = ROOT.joinpath(*dotted.split("."))
    if (path / "__init__.py").is_file() or path.with_suffix(".py").is_file():
        return True
    if path.parent.parent == ROOT:
        return path.name in importlib.import_module(path.parent.name).__all__
    module = path.parent.with_suffix(".py")
    return module.is_file() and path.name in defined_in(module)


def command_lines(page: Path) -> Iterator[list[str]]:
    """Words of every call of ``avfuse`` on a page, from the word after it."""
    for code in code_of(page):
        match = re.match(r"(?:\$ |\.venv/bin/)?avfuse (.+)", code)
        if match:
            yield shlex.split(match[1].replace("...", " ").split(" | ")[0])


def find_command(words: list[str]) -> tuple[list[click.Command], list[str]]:
    """Commands that words name, ``status|verify`` being two, and the words after the name."""
    found: list[click.Command] = [main]
    while words and isinstance(found[0], click.Group) and not words[0].startswith("-"):
        group, names = found[0], words[0].split("|")
        if set(names) <= PLUGGED:
            names = ["emo-db"]  # a recipe too, with the options that all have
        context = click.Context(group)
        commands = [group.get_command(context, name) for name in names]
        assert None not in commands, f"no command {words[0]!r} in avfuse {group.name}"
        found = [command for command in commands if command is not None]
        words = words[1:]
    return found, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_path_that_a_page_names_exists(page: Path) -> None:
    named = {path for code in code_of(page) for path in PATH.findall(code)}
    assert [path for path in sorted(named) if not is_there(path)] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_a_link_leads_to_a_file_and_its_anchor_to_a_heading(page: Path) -> None:
    for path, anchor in LINK.findall(text_of(page)):
        target = (page.parent / path).resolve() if path else page
        if target in WRITTEN:
            continue
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_module_that_a_page_runs_or_names_exists(page: Path) -> None:
    for code in code_of(page):
        for module in re.findall(r"python -m ([\w.]+)", code):
            if module.split(".")[0] in OURS:
                path = ROOT.joinpath(*module.split("."))
                assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
        if re.fullmatch(rf"(?:{'|'.join(OURS)})(?:\.\w+)+", code):
            assert is_module_or_name(code), code


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_that_a_page_gives_exists_and_has_the_options_that_it_gives(page: Path) -> None:
    for words in command_lines(page):
        commands, rest = find_command(words)
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        for command in commands:
            known = {option for param in command.params for option in param.opts}
            assert given <= known | {"--help", "-h"}, f"avfuse {shlex.join(words)}"


def options_of(command: click.Command) -> set[str]:
    options = {option for param in command.params for option in param.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            options |= options_of(subcommand)
    return options


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_option_that_a_page_speaks_of_is_of_some_command_or_benchmark(page: Path) -> None:
    spoken = {code.split("=")[0].split()[0] for code in code_of(page) if code.startswith("--")}
    scripts = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "benchmarks").rglob("*.py"))
    known = options_of(main) | set(re.findall(r'"(--[a-z-]+)"', scripts))
    assert sorted(spoken - known) == []


def test_the_readme_and_the_pages_tell_of_every_command() -> None:
    pages = (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    text = "\n".join(code for page in pages for code in code_of(page))
    assert [name for name in COMMANDS if f"avfuse {name}" not in text and name != "demo"] == []


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


def test_the_architecture_page_names_every_room() -> None:
    text = text_of(ROOT / "docs" / "architecture.md")
    rooms = [
        path.parent.relative_to(ROOT).as_posix() + "/"
        for package in ("cache", "extractors", "pipeline", "trainer")
        for path in (ROOT / package).rglob("__init__.py")
    ]
    assert [room for room in sorted(rooms) if f"`{room}`" not in text] == []


def test_citation_and_changelog_have_the_version_of_setup_cfg() -> None:
    version = re.search(r"^version = (.+)$", text_of(ROOT / "setup.cfg"), re.M)
    assert version
    number = re.escape(version[1])
    dated = re.search(rf"^## {number} - (\d{{4}}-\d\d-\d\d)$", text_of(ROOT / "CHANGELOG.md"), re.M)
    assert dated
    citation = text_of(ROOT / "CITATION.cff")
    assert re.search(rf"^version: {number}$", citation, re.M)
    assert re.search(rf"^date-released: {dated[1]}$", citation, re.M)
