"""``avfuse extract``: bring the feature sets of a manifest's clips up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from click.core import ParameterSource

from cache.commit import check_file_place, check_place
from cache.manifest.manifest import read_manifest
from cache.sets.spec import SetError
from cache.signals import StopRequest
from extractors.networks import NETWORKS
from extractors.running.device import check_device, check_precision, choose_device
from extractors.running.settings import resolve_settings
from extractors.view_settings import VIEW_SETS
from pipeline.choice.overrides import read_overrides
from pipeline.commands import options
from pipeline.extract.choices import (
    DEFAULT_SETS,
    DEFAULT_VIEWS,
    ConsumerChoice,
    EngineName,
    TrustChoice,
    check_sets,
    shard,
)
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import PlanError, check_choices, parse_weights, with_defaults
from pipeline.workers.cores import num_cores
from pipeline.workers.error import MachineError
from pipeline.workers.pool import EarlyWorkers, WorkersFailedError

if TYPE_CHECKING:
    from pipeline.extract.clusters import Engine

PRECISION_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
REPORT_BEGIN = b'{\n  "sets":'  # as every version has written it
# Options that a shard on another machine gets from its engine instead.
NOT_HANDED_ON = ("engine", "jobs", "out", "as_json", "log_json")


@click.command()
@options.MANIFEST
@options.CACHE
@click.option(
    "--sets",
    metavar="NAME,NAME",
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
    help="Augmented variants of each crop to embed (basic: none).",
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
    try:
        if engine != "local" and shard_text is not None:
            raise PlanError(
                f"--engine {engine} cuts the manifest into shards itself; leave out --shard"
            )
        if sets is None:
            sets, views = DEFAULT_SETS, views or DEFAULT_VIEWS
        names = [name.strip() for name in sets.split(",") if name.strip()]
        check_sets(names)
        choices = parse_weights(weights)
        check_choices(names, choices)
        table = read_manifest(manifest, follow_links=follow_links)
        clips = shard(table.clips, shard_text)
        if cache.exists() and not cache.is_dir():
            raise PlanError(f"--cache {cache} is a file; expected a folder, which may be new")
        chosen = read_overrides(by_hand, {c.id for c in table.clips}) if by_hand else None
        choices = with_defaults(names, choices)
        settings = load_settings(
            overrides,
            file=config,
            views=views or "",
            precision=PRECISION_NAMES[precision] if precision else "",
        )
        for name in (name for name in names if name in NETWORKS):
            resolve_settings(settings.network, NETWORKS[name], None)
        if engine == "local":  # another machine may well have what this one lacks
            check_device(device)
            if settings.network.precision != "float32":
                check_precision(settings.network.precision, choose_device(device))
        if not cache.exists():  # one that has all can be read-only
            check_place(cache)
        if out is not None:
            check_file_place(out)
            _check_report(out)
    # Every error of manifests, settings, sets, weights and overrides is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    # What is cheap to refuse has been; the rest loads PyTorch and dlib, here and in the workers.
    count = 0 if engine != "local" else min(num_cores() if jobs is None else jobs, len(clips))
    stop = StopRequest()
    with EarlyWorkers(count, load="pipeline.extract.clip") as early:
        from pipeline.extract.clusters import EngineError
        from pipeline.extract.plan import plan_sets, tell_default
        from pipeline.extract.run import CacheFullError, run_extract
        from pipeline.extract.summary import format_summary

        try:
            plan = plan_sets(
                names,
                settings,
                choices,
                cache=cache,
                device=device,
                batch_size=batch_size or 0,
                retry_failed=retry_failed,
                trust=trust,
                command=sys.argv,
                overrides=chosen,
            )
        except (ValueError, OSError) as error:
            raise click.UsageError(str(error)) from error
        for planned in plan.sets:
            if planned.choice and planned.choice.default:
                click.echo(tell_default(planned), err=True)
            if planned.spec.untrained:
                click.echo(
                    f"Warning: {planned.name} has random weights. Its features, every run trained "
                    "on them and every prediction are marked untrained.",
                    err=True,
                )
        with stop.noted(to_the_end=True):
            try:
                summary = run_extract(
                    clips,
                    plan,
                    jobs=jobs,
                    threads=threads,
                    consumer=consumer,
                    report=out,
                    engine=_engine(engine, jobs),
                    stop=stop,
                    early=early,
                )
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


def _check_report(path: Path) -> None:
    """Refuse to replace a file that is no earlier report: it may be the manifest, or a clip.

    Raises:
        PlanError: something else is there.
    """
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(REPORT_BEGIN)) in (REPORT_BEGIN, b""):
                return
    raise PlanError(f"--out {path} exists and is no report of extract; name another file")


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
