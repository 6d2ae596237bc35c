"""Blocks of code of the documentation's pages, and running them."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "site" not in path.parts),
]
# A block may stand in a list; what says that it isn't run stands on the line before it.
BLOCK = re.compile(
    r"^(?:[ ]*<!-- not run: (?P<reason>[^\n]*?) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)(?: title=\"(?P<title>[^\n\"]+)\")?\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.M | re.S,
)
INLINE = {name: {"jobs": "0"} for name in ("doctor", "extract", "inspect")}
# Languages of blocks that are run, that are read, and that are for the eye alone.
RUN = {"console", "bash", "python", "sbatch"}
READ = {"toml", "json", "csv"}
SHOWN = {"text"}
# What only a shell can run: pipes, several commands, loops, variables.
SHELL = re.compile(r"[|&;<>$`]|\\\n|^for |^cd ")


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Args:
        page: the page.
        line: where it begins, from 1.
        language: after its fence.
        code: its lines, without what they are indented by.
        reason: why it isn't run; empty where it is.
        title: name of the file that it shows, which the blocks after it find; empty for others.
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str
    title: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        code = re.sub(rf"^{found['indent']}", "", found["code"], flags=re.M)
        line = text.count("\n", 0, found.start()) + 1
        reason, title = found["reason"] or "", found["title"] or ""
        yield Block(page, line, found["language"], code, reason, title)


def avfuse(*words: str) -> Result:
    """Call the command line; without worker processes, each of which would load PyTorch."""
    return CliRunner().invoke(main, words, default_map=INLINE)


@contextlib.contextmanager
def no_pictures() -> Iterator[None]:
    """Write a word in place of the pictures of a run, which take most of a small run's time."""
    from trainer.runs import experiment, report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "plot_history", lambda *_, **__: b"a picture")
        patch.setattr(report, "plot_confusion", lambda *_, **__: b"a picture")
        yield


def run_block(block: Block) -> None:
    """Run a block in the working folder.

    Raises:
        AssertionError: something fails, or prints other than what the page says.
    """
    if block.title:
        Path(block.title).write_text(block.code, encoding="utf-8")
    if block.language == "python":
        exec(compile(block.code, str(block), "exec"), {"__name__": "__main__"})  # noqa: S102
    elif block.language == "sbatch":
        subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
    elif block.language in READ:
        pass
    elif block.language == "bash":
        for command, _ in split_commands(block.code):
            run_command(command, block)
    else:
        for command, expected in split_commands(block.code, prompt="$ "):
            said = run_command(command, block)
            assert fits(expected, said), f"{block}: {command}\n" + "\n".join(
                difflib.ndiff(tidy(expected).splitlines(), tidy(said).splitlines())
            )


def split_commands(code: str, prompt: str = "") -> Iterator[tuple[str, str]]:
    """Yield each command with the output that follows it; a line that ends in ``\\`` goes on."""
    lines = iter(code.splitlines())
    command, output = "", ""
    for line in lines:
        if not line.startswith(prompt) or (not prompt and (not line or line.startswith("#"))):
            output += f"{line}\n"
            continue
        if command:
            yield command, output
        command, output = line.removeprefix(prompt), ""
        while command.endswith("\\"):
            command = command.removesuffix("\\") + next(lines).removeprefix("> ").strip()
    if command:
        yield command, output


def run_command(command: str, block: Block) -> str:
    """Run one command, ``avfuse`` within this process; return what it prints.

    Of ``avfuse`` only what is on standard output: the rest depends on how long it takes.
    """
    command, _, comment = command.partition(" #")
    result = None
    code = int(found[1]) if (found := re.search(r"exit code (\d)$", comment)) else 0
    if command.startswith("avfuse ") and not SHELL.search(command):
        result = avfuse(*shlex.split(command)[1:])
        got, said = result.exit_code, result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
    else:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        got, said = done.returncode, done.stdout
    assert got == code, f"{block}: {command}\nexit code {got}\n{said}"
    return said if result is None else result.stdout


def tidy(text: str) -> str:
    """Drop spaces at the ends of lines and empty lines."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def fits(expected: str, said: str) -> bool:
    """Whether output is as expected, ``...`` standing for anything; nothing expected fits all."""
    parts = [re.escape(part) for part in re.split(r"\.\.\.\n?", tidy(expected))]
    return not expected.strip() or bool(re.fullmatch(".*?".join(parts), tidy(said), re.S))


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, and print nowhere."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.chdir(before)
