"""Output that the ``avfuse cache`` commands share: errors without a traceback, and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

from cache.commit import CacheWriteError
from cache.digest import JSON
from cache.entries.entry import EntryError
from cache.manifest.manifest import ManifestError
from cache.packs.pack import PackError
from cache.sets.feature_set import SetError
from cache.sets.scan import NotACacheError
from cache.upkeep.gc import SetInUseError
from cache.upkeep.merge import SameCacheError

MAX_SHOWN = 20


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print an error without a traceback, and exit with 2 for wrong use, else 1."""
    try:
        yield
    except (NotACacheError, SetError, ManifestError, SameCacheError) as error:
        _fail(error, code=2)
    except (PackError, EntryError, SetInUseError, CacheWriteError, OSError) as error:
        _fail(error, code=1)


def print_json(value: JSON) -> None:
    """Print a command's result as JSON."""
    click.echo(json.dumps(value, indent=2, default=dict))


def print_few(lines: Sequence[str]) -> None:
    """Print the first lines of a list that may be as long as the cache, and how many there are."""
    for line in lines[:MAX_SHOWN]:
        click.echo(line)
    if len(lines) > MAX_SHOWN:
        click.echo(f"and {len(lines) - MAX_SHOWN} more; --json lists them all")


def _fail(error: Exception, *, code: int) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(code)
