"""``avfuse compare``: test whether one run is better than another on the same clips."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import doors
from trainer.commands import options
from trainer.runs.folder import RunError, format_json, read_run
from trainer.runs.predictions import PredictionsError


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--common", is_flag=True, help="Compare only the clips that both runs have.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Number of clips predicted differently to list; 0 for all.",
)
@options.JSON
def compare(run_a: Path, run_b: Path, common: bool, show: int, as_json: bool) -> None:
    """Compare RUN_B with RUN_A, clip by clip.

    Prints the difference in accuracy with a 95 % interval and a test, and the clips that the runs
    predict differently. Where every clip names its speaker, interval and test are by speaker
    (cluster bootstrap, exact sign flips). Those by clip stand beside them: for pairs
    (Newcombe 1998) and McNemar's exact test.
    """
    try:
        runs = [read_run(run_a), read_run(run_b)]
        comparison = doors.compare(*runs, common=common)
    except (RunError, PredictionsError, OSError) as error:
        raise click.UsageError(str(error)) from error
    from trainer.runs.terminal import format_comparison  # loads scikit-learn

    if as_json:
        click.echo(
            format_json({"a": str(run_a), "b": str(run_b), **comparison.to_json()}), nl=False
        )
        return
    click.echo(format_comparison(comparison, names=(str(run_a), str(run_b)), show=show or None))
    for name, run in zip((run_a, run_b), runs, strict=True):
        for warning in run.info["warnings"]:
            click.echo(f"warning: {name}: {warning}")
