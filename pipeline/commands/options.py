"""Arguments and options that several commands of stage one share."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pipeline.commands.completion import complete_set

MANIFEST = click.argument("manifest", type=click.Path(path_type=Path))
CACHE_FOLDER = click.argument("cache", type=click.Path(path_type=Path))
SET = click.argument("name", metavar="SET", shell_complete=complete_set)
CACHE = click.option(
    "--cache", required=True, type=click.Path(path_type=Path), help="Folder of the cache."
)
MOVED_CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of the cache, if it was moved since the run was trained.",
)
CLIPS = click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Manifest of the clips (default: every clip in the cache).",
)
JOBS = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    show_default="one a core",
    help="Number of worker processes; 0 works in this one.",
)
# For a few videos, where starting processes takes longer than it saves.
JOBS_FROM_0 = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of worker processes; 0 works in this one.",
)
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Device to compute on: auto, cpu, cuda or cuda:N.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
LOG_JSON = click.option(  # obeyed before it is read, see pipeline.commands.events
    "--log-json",
    is_flag=True,
    expose_value=False,
    help="Write progress and messages to standard error as JSON, one event a line.",
)
FOLLOW_LINKS = click.option(
    "--follow-links", is_flag=True, help="Allow symbolic links that lead out of the corpus."
)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Seconds(click.ParamType[float]):
    """Time span such as ``90s``, ``10m`` or ``1.5h``, as seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds that a text stands for; refuse any other text."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", str(value).strip())
        if match is None:
            self.fail(
                f"{value!r} is no time; expected a number and s, m or h, as in 10m", param, ctx
            )
        return float(match[1]) * _UNITS[match[2]]
