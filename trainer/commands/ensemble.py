"""``avfuse ensemble``: join the probabilities of several runs, as a run of its own."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import doors
from trainer.commands import options
from trainer.runs.folder import RunError, format_json
from trainer.runs.predictions import PredictionsError


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the run to write.",
)
@click.option(
    "--shares",
    metavar="W,W",
    help="Share of each run in the mean, in the order of RUNS (default: all equal).",
)
@click.option(
    "--product",
    "method",
    flag_value="product",
    help="Take the geometric mean of the probabilities: a run that rules a class out counts more.",
)
@click.option(
    "--stack",
    "method",
    flag_value="stack",
    help="Take the geometric mean with weights that each fold's training clips choose. The runs "
    "must be trained with --nested.",
)
@options.OVERWRITE
@options.JSON
def ensemble(
    runs: tuple[Path, ...],
    out: Path,
    shares: str | None,
    method: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Average the probabilities of RUNS, which must have the same clips.

    Don't tune the shares on the clips you report on: the accuracy would be too optimistic. --stack
    finds them without looking at these.
    """
    try:
        numbers = None if shares is None else [float(part) for part in shares.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            f"expected numbers separated by commas, got {shares!r}", param_hint="--shares"
        ) from error
    try:
        report = doors.ensemble(
            runs, out, shares=numbers, method=method or "mean", overwrite=overwrite
        ).metrics
    except (RunError, PredictionsError, OSError) as error:
        raise click.UsageError(str(error)) from error
    from trainer.runs.terminal import format_report  # loads scikit-learn

    if as_json:
        click.echo(format_json(report), nl=False)
    else:
        click.echo(format_report(report, name=str(out)))
