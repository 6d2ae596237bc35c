"""Reference of every command: usage, arguments, options with their defaults, from the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from docs.site.settings import as_cell
from pipeline.cli import main


def write_commands() -> str:
    """Write the page in Markdown."""
    parts = [
        "# Commands\n\nEvery command with its options, as `avfuse COMMAND --help` states them. "
        "Exit codes: 0 all is well, 1 something of the data isn't (a clip failed, an entry is "
        "damaged), 2 the command was used wrongly; 130 and 143 stopped by Ctrl-C or SIGTERM.\n"
    ]
    for context in walk(click.Context(main, info_name="avfuse")):
        parts += describe(context)
    return "\n".join(parts) + "\n"


def walk(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and all those below it, in the order of their help."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from walk(click.Context(command, parent=context, info_name=name))


def describe(context: click.Context) -> Iterator[str]:
    """Yield a command's heading, text and tables."""
    command = context.command
    level = "##" if context.parent is None or context.parent.parent is None else "###"
    yield f"\n{level} {context.command_path}\n"
    text = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    yield f"{as_paragraphs(text)}\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {pieces}\n```\n"
    options = [each for each in command.params if isinstance(each, click.Option)]
    if rows := [row for option in options if (row := describe_option(context, option))]:
        yield "| Option | Meaning |\n| --- | --- |"
        yield from rows


def as_paragraphs(text: str) -> str:
    """Keep what only reads as it is laid out as text, and fill the rest as Markdown does."""
    blocks = re.split(r"\n\s*\n", text)
    laid_out = re.compile(r"^ {2,}", re.M)
    return "\n\n".join(
        f"```text\n{block}\n```" if laid_out.search(block) else block.replace("<", "&lt;")
        for block in blocks
    )


def describe_option(context: click.Context, option: click.Option) -> str:
    """Return an option's row; empty for one that is hidden."""
    record = option.get_help_record(context)
    if record is None:
        return ""
    return f"| `{as_cell(record[0])}` | {as_cell(record[1])} |"
