"""``avfuse train``: a run of heads from a manifest and a cache."""

from __future__ import annotations

from pathlib import Path

import click

from cache.signals import ends_by_signal
from trainer import doors
from trainer.commands import options
from trainer.runs.folder import NESTED, format_json, is_finished
from trainer.settings import DEFAULT_PRESET, PRESETS, list_toml
from trainer.training.error import TrainingError


@click.command()
@options.MANIFEST
@options.CACHE
@options.RUN
@click.option(
    "--preset",
    default=DEFAULT_PRESET,
    show_default=True,
    shell_complete=lambda _, __, word: [n for n in list_toml(PRESETS) if n.startswith(word)],
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
@click.option(
    "--nested",
    is_flag=True,
    help="Also predict the training clips of each fold, by heads that saw neither them nor the "
    "fold's test clips: what 'avfuse ensemble --stack' fits its weights on. K folds take "
    "K (K - 1) / 2 more heads a seed.",
)
@options.ALLOW_COPIES
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
    nested: bool,
    allow_copies: bool,
    device: str,
    threads: int | None,
    packs: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train heads on the features of MANIFEST's clips and report on clips held out.

    Every fold and seed gives one head; the probabilities of the seeds are averaged. The run
    folder holds settings, predictions, metrics, checkpoints and pictures.

    Sound alone or faces alone: --set fusion.kind=audio or video. Sound that matters:
    audio.set=logmel, voice or spectrogram; audio.encoder=cnn (or alexnet) with
    audio.features=auto trains an encoder of the sound with each head; head.kind=linear,
    discriminant or svm (--preset svm) fits a head at once. calibrate=temperature makes
    probabilities mean what they say.

    The same command again goes on with an interrupted run, and prints the report of a finished
    one. Other settings or data are refused, unless --overwrite is given.

    A test clip with the content of a training clip is refused, and so is a speaker in both.
    """
    more = nested and not (run / NESTED).exists()
    finished = is_finished(run) and not overwrite and not more
    try:
        found = doors.train(
            manifest,
            cache=cache,
            run=run,
            preset=preset,
            config=config,
            settings=overrides,
            select=select,
            seeds=seeds,
            folds=folds,
            fold_seed=fold_seed,
            split=split,
            train_on=[part.strip() for part in train_on.split(",")],
            allow_shared_speakers=allow_shared_speakers,
            nested=nested,
            allow_copies=allow_copies,
            device=device,
            threads=threads,
            packs=packs,
            overwrite=overwrite,
            progress=True,
        )
    except TrainingError as error:
        raise click.ClickException(f"{run}: {error}") from error
    # Every error of manifests, settings, splits, sets, features and runs is a ValueError.
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    from trainer.runs.terminal import format_report  # loads scikit-learn

    if finished:
        click.echo(f"{run} is finished already; nothing was trained.", err=True)
    if as_json:
        click.echo(format_json(found.metrics), nl=False)
    else:
        click.echo(format_report(found.metrics, name=str(run)))
