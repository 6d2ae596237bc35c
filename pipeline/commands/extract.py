"""``avfuse extract``: bring the feature sets of a manifest's clips up to date."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from click.core import ParameterSource

from cache.sets.spec import SetError
from cache.signals import StopRequest
from extractors.view_settings import VIEW_SETS
from pipeline.commands import options
from pipeline.commands.completion import complete_from
from pipeline.extract.choices import (
    DEFAULT_SETS,
    DEFAULT_VIEWS,
    ConsumerChoice,
    EngineName,
    TrustChoice,
    set_names,
)
from pipeline.extract.extraction import begin_extraction
from pipeline.workers.error import MachineError
from pipeline.workers.pool import WorkersFailedError

if TYPE_CHECKING:
    from pipeline.extract.clusters import Engine

PRECISION_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# Options that a shard on another machine gets from its engine instead.
NOT_HANDED_ON = ("engine", "jobs", "out", "as_json", "log_json")


@click.command()
@options.MANIFEST
@options.CACHE
@click.option(
    "--sets",
    metavar="NAME,NAME",
    shell_complete=lambda _, __, word: complete_from(set_names(), word, separator=","),
    help="Feature sets to extract, such as ir50,spectrogram (default: "
    f"{DEFAULT_SETS} with --views {DEFAULT_VIEWS}, which train reads by default).",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="Weight file of a network; NAME=random: random weights, for trials.",
)
@click.option(
    "--views",
    type=click.Choice(list(VIEW_SETS)),
    help="Augmented variants of each crop to embed (basic: none; mirror: its mirror image).",
)
@click.option(
    "--precision",
    type=click.Choice(list(PRECISION_NAMES)),
    help="Numeric precision of the networks.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file with settings; --set overrides it."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as faces.policy=central; may be given several times.",
)
@click.option(
    "--overrides",
    "by_hand",
    type=click.Path(path_type=Path),
    help="CSV of faces chosen by hand: clip,start_seconds,end_seconds,track,box.",
)
@options.JOBS
@click.option(
    "--threads", type=click.IntRange(min=1), help="PyTorch threads (of each worker or consumer)."
)
@click.option(
    "--consumer",
    type=click.Choice(get_args(ConsumerChoice)),
    default="auto",
    show_default=True,
    help="Process that runs the networks: each worker its own, or one shared by all (as on a GPU).",
)
@options.DEVICE
@click.option("--batch-size", type=click.IntRange(min=1), help="Number of crops per forward pass.")
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    default="local",
    show_default=True,
    help="Machines to work on: this one, or the cluster of DASK_SCHEDULER_ADDRESS or RAY_ADDRESS.",
)
@click.option(
    "--shard", "shard_text", metavar="I/N", help="Extract only part I of N of the manifest."
)
@click.option(
    "--trust",
    type=click.Choice(get_args(TrustChoice)),
    default="stat",
    show_default=True,
    help="How an unchanged file is known: by its size, times and inode, or by hashing its content.",
)
@click.option("--retry-failed", is_flag=True, help="Try clips again that failed before.")
@options.FOLLOW_LINKS
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File of the JSON report; an earlier one is replaced (default: extract-report.json in the "
    "cache).",
)
@options.JSON
@options.LOG_JSON
def extract(
    manifest: Path,
    cache: Path,
    sets: str | None,
    weights: tuple[str, ...],
    views: str | None,
    precision: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    by_hand: Path | None,
    jobs: int | None,
    threads: int | None,
    consumer: ConsumerChoice,
    device: str,
    batch_size: int | None,
    engine: EngineName,
    shard_text: str | None,
    trust: TrustChoice,
    retry_failed: bool,
    follow_links: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Extract feature sets for every clip of MANIFEST into a cache.

    Only what is missing or stale is computed: interrupted runs go on where they stopped.

    The set alexnet holds the grids of a trained audio encoder (--weights alexnet=RUN, or one of
    the run's checkpoints), frozen, for heads with audio.encoder=none. An encoder knows the labels
    of the clips that it was trained on: use its grids only to report on clips that its own run
    tested it on, the same fold or split.

    Exit code 0: all clips ok or partial; 1: some failed; 2: wrong use.
    """
    stop = StopRequest()
    with contextlib.ExitStack() as opened:
        try:
            extraction = opened.enter_context(
                begin_extraction(
                    manifest,
                    cache,
                    sets=sets,
                    weights=weights,
                    views=views,
                    precision=PRECISION_NAMES[precision] if precision else None,
                    config=config,
                    settings=overrides,
                    overrides=by_hand,
                    jobs=jobs,
                    threads=threads,
                    consumer=consumer,
                    device=device,
                    batch_size=batch_size,
                    engine=engine,
                    shard_text=shard_text,
                    trust=trust,
                    retry_failed=retry_failed,
                    follow_links=follow_links,
                    out=out,
                )
            )
        # Every error of manifests, settings, sets, weights and overrides is a ValueError.
        except (ValueError, OSError) as error:
            raise click.UsageError(str(error)) from error
        from pipeline.extract.clusters import EngineError
        from pipeline.extract.run import CacheFullError
        from pipeline.extract.summary import format_summary

        for note in extraction.notes:
            click.echo(note, err=True)
        with stop.noted(to_the_end=True):
            try:
                summary = extraction.run(engine=_engine(engine, jobs), stop=stop)
            except (
                CacheFullError,
                EngineError,
                MachineError,
                SetError,
                WorkersFailedError,
            ) as error:
                click.echo(f"Error: {error}", err=True)
                sys.exit(1)
            click.echo(
                json.dumps(summary.to_json(), indent=2) if as_json else format_summary(summary)
            )
    if summary.interrupted:
        sys.exit(128 + summary.interrupted)
    sys.exit(1 if summary.failed else 0)


def _engine(name: EngineName, slots: int | None) -> Engine | None:
    """Return an engine that gives this very command to every shard; None for this machine."""
    if name == "local":
        return None
    from pipeline.extract.clusters import Engine

    context = click.get_current_context()
    command: list[str] = []
    for parameter in context.command.params:
        if parameter.name in NOT_HANDED_ON or parameter.name is None:
            continue
        if context.get_parameter_source(parameter.name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[parameter.name]
        if isinstance(parameter, click.Argument):
            command.append(str(value))
        elif value is True:
            command.append(parameter.opts[0])
        else:
            for one in value if isinstance(value, tuple) else (value,):
                command += [parameter.opts[0], str(one)]
    return Engine(name, (*command, "--jobs", "1"), Path.cwd(), slots)
