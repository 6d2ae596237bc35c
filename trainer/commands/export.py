"""``avfuse export``: a run's heads for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from cache.wording import name_some, number_of
from trainer import doors
from trainer.runs.folder import RunError, read_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["onnx", "torch"]),
    help="Form of the output: ONNX files, or safetensors files with a loader in plain PyTorch.",
)
def export(run: Path, out: Path, form: str) -> None:
    """Export the heads of RUN, a run folder, for other tools.

    A head takes features as they stand in the cache, padded, with a mask of the real steps, and
    answers with probabilities; normalisation and prior are inside. config.json says which features
    and classes.
    """
    try:
        found = read_run(run)
        heads = doors.export_heads(found, out, to=form)
    except (RunError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}: {number_of(len(heads), 'head')}: {name_some(heads)}")
    if found.predictions.untrained:
        click.echo("warning: random weights stand behind the features of these heads")
