"""``avfuse weights``: list the face networks, check a weight file, convert one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cache.commit import check_file_place
from extractors.networks import NETWORKS
from extractors.plugins import PLUGIN
from extractors.weights.check import Checked, check_weights
from extractors.weights.error import WeightsError
from extractors.weights.kind import find_kind
from pipeline.commands import options
from pipeline.commands.group import Group

if TYPE_CHECKING:
    from extractors.weights.facts import WeightFacts

FAILED = 1
NAMES_SHOWN = 3


@click.group(cls=Group)
def weights() -> None:
    """List the networks; check and convert weight files."""


@weights.command("list")
@options.JSON
def list_(*, as_json: bool) -> None:
    """List the face networks: input size, layers, source of the weights, and which are included.

    Networks of plug-ins are among them; those that can't be loaded are named, with the reason.
    """
    from extractors.running.describe import describe_networks  # loads PyTorch

    rows = describe_networks()
    for problem in NETWORKS.problems():
        click.echo(f"warning: {problem}", err=True)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        layers = ", ".join(f"{layer} ({dim})" for layer, dim in row["layers"].items())
        size = f"{row['image_size']} pixels" + (" or any" if row["any_size"] else "")
        click.echo(f"{row['network']:<10} {size:<18} {layers:<32} {row['source']}")
        if plugin := row.get(PLUGIN):
            click.echo(f"{'':<10} of the plug-in {plugin['distribution']} {plugin['version']}")
        default = row["default"]
        if default:
            good = f"right on {default['accuracy']}" if default["accuracy"] else default["problem"]
            click.echo(f"{'':<10} comes with avfuse: {default['file']}, {good}")


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.JSON
def check(file: Path, *, as_json: bool) -> None:
    """Name the network that FILE fits, or the nearest one and what differs.

    Exit code 0: the file loads; 1: it fits no network or can't be read safely.
    """
    checked = check_weights(file)
    if as_json:
        click.echo(json.dumps(checked.to_json(), indent=2))
    elif checked.problem:
        _print_problem(checked)
    else:
        _print_check(checked)
    if checked.problem:
        click.get_current_context().exit(FAILED)


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write; its name ends in .safetensors.",
)
@click.option(
    "--network",
    required=True,
    type=click.Choice(list(NETWORKS)),
    help="Network that the weights belong to.",
)
@click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    default="rgb",
    show_default=True,
    help="Colour order that the weights in FILE expect; bgr (common in Caffe) is converted to rgb.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def convert(
    file: Path, out: Path, network: str, channel_order: Literal["rgb", "bgr"], *, overwrite: bool
) -> None:
    """Convert FILE to safetensors, with its source and digest in the header."""
    if out.suffix != ".safetensors":
        raise click.BadParameter(f"expected a name that ends in .safetensors, got {out}")
    try:
        check_file_place(out, overwrite=overwrite)
        find_kind(file)
        from extractors.weights.load import convert_weights  # loads PyTorch

        report = convert_weights(file, out, network, channel_order=channel_order)
    except (WeightsError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{out}: {network}, {report.matched} tensors, digest {report.digest}")
    if report.dropped:
        click.echo(f"left out, as parts of a classifier: {', '.join(report.dropped)}")


def _print_check(checked: Checked) -> None:
    """Print for a reader what a file is that loads."""
    from extractors.weights.facts import KEY

    best, report = checked.matches[0], checked.report
    if report is None:
        return
    click.echo(f"{checked.file} is {best.network}: every parameter matches")
    click.echo(f"  digest   {report.digest}")
    click.echo(f"  format   {report.kind}")
    if report.unwrapped:
        click.echo(f"  unwrapped {' '.join(report.unwrapped)}")
    for line in _describe_facts(checked.facts) if checked.facts else ():
        click.echo(line)
    for name, value in sorted(report.metadata.items()):
        if name != KEY:
            click.echo(f"  {ascii(name)[1:-1]}: {ascii(value)[1:-1]}")
    if best.dropped:
        left = len(best.dropped) - NAMES_SHOWN
        more = f" and {left} more" if left > 0 else ""
        click.echo(
            f"  left out, as parts of a classifier: {', '.join(best.dropped[:NAMES_SHOWN])}{more}"
        )


def _print_problem(checked: Checked) -> None:
    """Print for a reader why a file does not load, and the nearest network."""
    click.echo(checked.problem, err=True)
    if not checked.matches or checked.matches[0].fits:
        return
    best = checked.matches[0]
    if not best.matched:
        click.echo(f"it has no parameter of {', '.join(NETWORKS)}", err=True)
        return
    from extractors.weights.identify import differences

    click.echo(
        f"nearest: {best.network}, {len(best.matched)} parameters match{differences(best)}",
        err=True,
    )


def _describe_facts(facts: WeightFacts) -> list[str]:
    """Write the facts in a fine-tuned file's header as lines of a name and a text."""
    from extractors.weights.facts import plain

    framing = facts.framing
    rows = {
        "classes": ", ".join(facts.classes),
        "input": f"{facts.image_size} pixels{', grey' if facts.grey else ''}"
        + (f", enlarged from {facts.detail}" if facts.detail else ""),
        "framing": f"extend {framing.extend:g}, lift {framing.lift:g}" if framing else "",
        "right on": facts.accuracy,
        "temperature": "" if facts.temperature == 1 else f"{facts.temperature:g}",
        "logit bias": ", ".join(
            f"{name} {value:+.2f}"
            for name, value in zip(facts.classes, facts.logit_bias, strict=False)
        ),
    }
    return [f"  {name:<8} {plain(text, 2000)}" for name, text in rows.items() if text]
