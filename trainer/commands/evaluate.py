"""``avfuse evaluate``: compute a run's figures again from its predictions."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import doors
from trainer.commands import options
from trainer.runs.folder import RunError, format_json


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@options.JSON
def evaluate(run: Path, as_json: bool) -> None:
    """Print the results of RUN, a run folder, with intervals.

    Every figure is computed from the run's predictions: accuracy (WAR) with its 95 % interval,
    UAR, macro F1, recall, calibration, and their spread over seeds and folds. Where every clip
    names its speaker the interval is by speaker (cluster bootstrap). Wilson's stands beside it: it
    takes clips as independent, and clips of one speaker are not.
    """
    try:
        report = doors.evaluate(run)
    except (RunError, OSError) as error:
        raise click.UsageError(str(error)) from error
    from trainer.runs.terminal import format_report  # loads scikit-learn

    if as_json:
        click.echo(format_json(report), nl=False)
    else:
        click.echo(format_report(report, name=str(run)))
