"""``avfuse train``: a run of heads from a manifest and a cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from cache.commit import check_place
from cache.manifest.manifest import read_manifest
from cache.signals import ends_by_signal
from extractors.running.device import check_device, choose_device
from trainer.commands import options
from trainer.data.splits import plan_folds
from trainer.runs.folder import format_json, is_finished
from trainer.runs.run_writer import check_writable
from trainer.settings import DEFAULT_PRESET, inner_share, load_settings


@click.command()
@options.MANIFEST
@options.CACHE
@options.RUN
@click.option(
    "--preset",
    default=DEFAULT_PRESET,
    show_default=True,
    help="Settings to start from: a preset's name or a TOML file.",
)
@options.CONFIG
@options.OVERRIDES
@options.SELECT
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Heads per fold, one per random seed.",
)
@options.FOLDS
@click.option(
    "--fold-seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed of --folds clip:K.",
)
@options.SPLIT
@click.option(
    "--train-on",
    default="train",
    show_default=True,
    help="Splits to train on, such as train,val.",
)
@options.ALLOW_SHARED_SPEAKERS
@options.DEVICE
@click.option(
    "--threads", type=click.IntRange(min=1), help="PyTorch threads (default: PyTorch's choice)."
)
@options.PACKS
@options.OVERWRITE
@options.JSON
@options.LOG_JSON
@ends_by_signal(
    "At most the last 5 seconds of work are lost. Run the same command again (without --overwrite) "
    "to go on."
)
def train(
    manifest: Path,
    cache: Path,
    run: Path,
    preset: str,
    config: Path | None,
    overrides: tuple[str, ...],
    select: str | None,
    seeds: int,
    folds: str | None,
    fold_seed: int,
    split: str | None,
    train_on: str,
    allow_shared_speakers: bool,
    device: str,
    threads: int | None,
    packs: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train heads on the features of MANIFEST's clips and report on clips held out.

    Every fold and seed gives one head; the probabilities of the seeds are averaged. The run
    folder holds settings, predictions, metrics, checkpoints and pictures.

    The same command again goes on with an interrupted run, and prints the report of a finished
    one. Other settings or data are refused, unless --overwrite is given.
    """
    if folds is not None and (split is not None or train_on != "train"):
        raise click.UsageError("--folds divides all labelled clips; leave out --split, --train-on")
    try:
        settings = load_settings(preset, overrides, file=config)
        if select is not None:
            settings = replace(settings, selection=select)
        changed = settings != load_settings(preset)
        table = read_manifest(manifest, check_files=False)
        if not cache.is_dir():
            raise click.UsageError(f"{cache} is not a folder; expected one that extract wrote")
        check_writable(run, overwrite=True)
        if packs is not None:
            check_place(packs)
        check_device(device)
        options.check_sets(cache, settings)
        trained_on = tuple(part.strip() for part in train_on.split(","))
        plan_folds(
            table.clips,
            folds=folds,
            report_on=split,
            train_on=trained_on,
            seed=fold_seed,
            allow_shared_speakers=allow_shared_speakers,
            cache=cache,
        )
    # Every error of manifests, settings, splits, sets, features and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    # What is cheap to refuse has been; the rest loads PyTorch.
    from trainer.runs.display import Display
    from trainer.runs.experiment import Protocol, run_experiment
    from trainer.runs.terminal import format_report
    from trainer.training.train import TrainingError

    finished = is_finished(run) and not overwrite
    display = Display(stages=1 if inner_share(settings.selection) is None else 2)
    try:
        report = run_experiment(
            table,
            cache,
            settings,
            run,
            Protocol(
                folds=folds,
                report_on=split,
                train_on=trained_on,
                split_seed=fold_seed,
                allow_shared_speakers=allow_shared_speakers,
                num_seeds=seeds,
            ),
            preset=f"{preset} with changes" if changed else preset,
            device=choose_device(device),
            threads=threads,
            overwrite=overwrite,
            packs=packs,
            listener=display,
        )
    except TrainingError as error:
        raise click.ClickException(f"{run}: {error}") from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    finally:
        display.close()
    if finished:
        click.echo(f"{run} is finished already; nothing was trained.", err=True)
    if as_json:
        click.echo(format_json(report), nl=False)
    else:
        click.echo(format_report(report, name=str(run)))
