"""``avfuse --version``: avfuse's version and those of what it works with."""

from __future__ import annotations

import click

from cache.version import own_version
from pipeline.extract.versions import list_versions


def _print(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo("\n".join([f"avfuse, version {own_version()}", *list_versions()]))
        ctx.exit()


VERSION = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print,
    help="Print the versions of avfuse and of what it works with, and exit.",
)
