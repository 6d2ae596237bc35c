"""``avfuse train``: a run of heads from a manifest and a cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from cache.manifest.manifest import read_manifest
from cache.signals import ends_by_signal
from extractors.running.device import choose_device
from trainer.commands import options
from trainer.runs.display import Display
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import to_json
from trainer.runs.terminal import format_report
from trainer.settings import inner_share, load_settings
from trainer.training.train import TrainingError


@click.command()
@options.MANIFEST
@options.CACHE
@options.RUN
@click.option("--preset", default="icmi19", show_default=True, help="Settings to start from.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings over the preset's, TOML.")
@options.OVERRIDES
@options.SELECT
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Heads.")
@click.option("--folds", help="speaker:K, speaker:all, clip:K or manifest; default: its splits.")
@click.option("--fold-seed", type=int, default=0, show_default=True, help="Seed of clip:K.")
@options.SPLIT
@click.option("--train-on", default="train", show_default=True, help="Splits, such as train,val.")
@options.ALLOW_SHARED_SPEAKERS
@options.DEVICE
@click.option("--threads", type=click.IntRange(min=1), help="Threads; default: PyTorch's choice.")
@options.PACKS
@options.OVERWRITE
@options.RESUME
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@ends_by_signal(
    "At most the last 5 seconds of work are lost. To go on, run the same command with --resume "
    "(and without --overwrite)."
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
    resume: bool,
    as_json: bool,
) -> None:
    """Train heads on the features of MANIFEST's clips and report on clips held out.

    Every fold and seed gives one head; the probabilities of the seeds are averaged. The run
    folder holds settings, predictions, metrics, checkpoints and pictures.
    """
    if folds is not None and (split is not None or train_on != "train"):
        raise click.UsageError("--folds divides all labelled clips; leave out --split, --train-on")
    if overwrite and resume:
        raise click.UsageError("choose one of --overwrite and --resume")
    display: Display | None = None
    try:
        settings = load_settings(preset, overrides, file=config)
        if select is not None:
            settings = replace(settings, selection=select)
        changed = settings != load_settings(preset)
        display = Display(stages=1 if inner_share(settings.selection) is None else 2)
        report = run_experiment(
            read_manifest(manifest, check_files=False),
            cache,
            settings,
            run,
            Protocol(
                folds=folds,
                report_on=split,
                train_on=tuple(part.strip() for part in train_on.split(",")),
                split_seed=fold_seed,
                allow_shared_speakers=allow_shared_speakers,
                num_seeds=seeds,
            ),
            preset=f"{preset} with changes" if changed else preset,
            device=choose_device(device),
            threads=threads,
            overwrite=overwrite,
            resume=resume,
            packs=packs,
            watch=display,
        )
    except TrainingError as error:
        raise click.ClickException(f"{run}: {error}") from error
    # Every error of manifests, settings, splits, sets, features and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    finally:
        if display is not None:
            display.close()
    if as_json:
        click.echo(to_json(report), nl=False)
    else:
        click.echo(format_report(report, name=str(run)))
