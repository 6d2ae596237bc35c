"""``avfuse extract``: bring the feature sets of a manifest's clips up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from cache.manifest.manifest import ManifestError, read_manifest
from cache.settings import (
    SettingsError,
    merge,
    parse_overrides,
    read_toml,
    settings_from,
    settings_to_dict,
)
from cache.signals import StopRequest
from extractors.views import VIEW_SETS
from extractors.weights.files import WeightsError
from pipeline.extract.clusters import Engine, EngineError, EngineName
from pipeline.extract.plan import plan_sets, tell_default
from pipeline.extract.run import CacheFullError, ConsumerChoice, run_extract, shard
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.summary import format_summary
from pipeline.extract.weights import PlanError, parse_weights
from pipeline.faces.overrides import OverrideError, read_overrides
from pipeline.workers.pool import WorkersFailedError

PRECISION_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="The cache's folder.")
@click.option("--sets", required=True, help="Feature sets, separated by commas: ir50,spectrogram.")
@click.option(
    "--weights", multiple=True, metavar="NAME=FILE", help="A network's weights; NAME=random to try."
)
@click.option("--views", type=click.Choice(list(VIEW_SETS)), help="Augmented views.")
@click.option("--precision", type=click.Choice(list(PRECISION_NAMES)), help="Of the networks.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings of stage one, as TOML.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting.")
@click.option(
    "--overrides",
    "by_hand",
    type=click.Path(path_type=Path),
    help="Faces chosen by hand: clip,start_seconds,end_seconds,track,box as CSV.",
)
@click.option("--jobs", type=click.IntRange(min=0), help="Worker processes; default: every core.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each, or of the consumer.")
@click.option(
    "--consumer",
    type=click.Choice(get_args(ConsumerChoice)),
    default="auto",
    show_default=True,
    help="Who computes networks: each worker its own, or one for all, as on a GPU.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Crops per forward pass.")
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    default="local",
    show_default=True,
    help="Where the work is done; the cluster of DASK_SCHEDULER_ADDRESS or RAY_ADDRESS.",
)
@click.option("--shard", "shard_text", metavar="I/N", help="Only part I of N of the manifest.")
@click.option("--retry-failed", is_flag=True, help="Try clips again whose failure is recorded.")
@click.option("--follow-links", is_flag=True, help="Allow links that lead out of the corpus.")
@click.option("--report", type=click.Path(path_type=Path), help="Where to write the JSON report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def extract(
    manifest: Path,
    cache: Path,
    sets: str,
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
    retry_failed: bool,
    follow_links: bool,
    report: Path | None,
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
    try:
        if engine != "local" and shard_text is not None:
            raise PlanError(f"--engine {engine} cuts the manifest into shards itself; no --shard")
        table = read_manifest(manifest, follow_links=follow_links)
        clips = shard(table.clips, shard_text)
        chosen: dict[str, Any] = (
            {"network": {"views": settings_to_dict(VIEW_SETS[views])}} if views else {}
        )
        values = merge(chosen, read_toml(config) if config else {})
        if precision:
            values = merge(values, {"network": {"precision": PRECISION_NAMES[precision]}})
        values = merge(values, parse_overrides(overrides))
        settings = settings_from(StageOneSettings, values)
        plan = plan_sets(
            [name.strip() for name in sets.split(",") if name.strip()],
            settings,
            parse_weights(weights),
            cache=cache,
            device=device,
            batch_size=batch_size or 0,
            retry_failed=retry_failed,
            command=sys.argv,
            overrides=read_overrides(by_hand, {c.id for c in table.clips}) if by_hand else None,
        )
    except (ManifestError, SettingsError, PlanError, WeightsError, OverrideError, OSError) as error:
        raise click.UsageError(str(error)) from error
    for planned in plan.sets:
        if planned.choice and planned.choice.default:
            click.echo(tell_default(planned), err=True)
        if planned.spec.untrained:
            click.echo(
                f"Warning: {planned.name} has random weights. Its features, every run trained on "
                "them and every prediction are marked untrained.",
                err=True,
            )
    stop = StopRequest()
    with stop.noted(to_the_end=True):
        try:
            summary = run_extract(
                clips,
                plan,
                jobs=jobs,
                threads=threads,
                consumer=consumer,
                report=report,
                engine=_engine(engine, jobs),
                stop=stop,
            )
        except (CacheFullError, WorkersFailedError, EngineError) as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)
        click.echo(json.dumps(summary.to_json(), indent=2) if as_json else format_summary(summary))
    if summary.interrupted:
        sys.exit(128 + summary.interrupted)
    sys.exit(1 if summary.failed else 0)


# What a shard on another machine is told by itself.
NOT_HANDED_ON = ("engine", "jobs", "report", "as_json")


def _engine(name: EngineName, slots: int | None) -> Engine | None:
    """Return an engine that gives this very command to every shard; None for this machine."""
    if name == "local":
        return None
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
