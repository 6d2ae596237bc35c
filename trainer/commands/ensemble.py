"""``avfuse ensemble``: the mean probabilities of several runs, as a run of its own."""

from __future__ import annotations

from pathlib import Path

import click

from trainer.commands import options
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.folder import RunError, to_json
from trainer.runs.predictions import PredictionsError
from trainer.runs.terminal import format_report


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--run", "output", required=True, type=click.Path(path_type=Path))
@click.option("--weights", metavar="W,W", help="One weight per run; without it all weigh alike.")
@options.OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def ensemble(
    runs: tuple[Path, ...],
    output: Path,
    weights: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Average the probabilities of RUNS, which must be about the same clips.

    Weights chosen on the clips that are reported on make the figures too good.
    """
    try:
        numbers = None if weights is None else [float(part) for part in weights.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            f"expected numbers separated by commas, got {weights!r}", param_hint="--weights"
        ) from error
    try:
        report = ensemble_runs(runs, output, weights=numbers, overwrite=overwrite)
    except (RunError, PredictionsError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(to_json(report), nl=False)
    else:
        click.echo(format_report(report, name=str(output)))
