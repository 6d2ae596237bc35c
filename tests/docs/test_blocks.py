"""Every block of code of the pages does what the page says."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.docs import blocks

BLOCKS = {page: list(blocks.read_blocks(page)) for page in blocks.PAGES}
ALL = [block for found in BLOCKS.values() for block in found]
RUNNING = [
    page
    for page, found in BLOCKS.items()
    if any(block.language in blocks.RUN and not block.reason for block in found)
]


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_says_what_it_is_and_one_that_is_not_run_says_why(block: blocks.Block) -> None:
    assert block.language in blocks.RUN | blocks.READ | blocks.SHOWN
    assert not block.reason or (block.language in blocks.RUN and len(block.reason.split()) > 2)
    if block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "json":
        json.loads(block.code)
    elif block.language == "csv":
        assert len({len(row) for row in csv.reader(block.code.splitlines())}) == 1


def test_most_blocks_are_run() -> None:
    ours = [block for block in ALL if block.language in blocks.RUN]
    assert (
        sum(bool(block.reason) for block in ours) <= 37
    )  # one more needs a good reason; six are of results
    assert len(ours) > 48


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: str(page.relative_to(blocks.ROOT)))
def test_the_blocks_of_a_page_run_one_after_another(
    page: Path, worked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(worked, folder)
    with blocks.working_in(folder), blocks.no_pictures():
        for block in BLOCKS[page]:
            if (block.language in blocks.RUN or block.title) and not block.reason:
                blocks.run_block(block)


def test_what_a_page_shows_is_compared_and_dots_stand_for_anything() -> None:
    said = "9 clips\n\n2.4 s, at most 520 MiB\nfaces: faces-1  \n"
    assert blocks.fits("9 clips\n... s, at most ...\nfaces: faces-1\n", said)
    assert blocks.fits("9 clips\n...\nfaces: faces-1\n", said)
    assert not blocks.fits("8 clips\n...\n", said)
    assert not blocks.fits("9 clips\n", said)
    assert blocks.fits("", said)


def test_a_block_is_read_with_its_language_its_reason_and_its_indent(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n<!-- not run: needs a cluster -->\n```bash\nsbatch x\n```\n"
        "1. one\n\n    ```console\n    $ true\n    ```\n"
    )
    first, second = blocks.read_blocks(page)
    assert (first.language, first.code, first.reason) == ("bash", "sbatch x\n", "needs a cluster")
    assert (second.language, second.code, second.reason) == ("console", "$ true\n", "")


def test_commands_are_told_from_their_output_and_go_on_over_lines() -> None:
    code = "$ one \\\n>   --more\nsaid\n$ two\n"
    assert list(blocks.split_commands(code, "$ ")) == [("one --more", "said\n"), ("two", "")]
