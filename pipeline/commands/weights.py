"""``avfuse weights``: which networks there are, and what a weight file is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from extractors.networks import NETWORKS
from extractors.running.still_classifier import load_still_classifier
from extractors.weights.default import DEFAULT_FILES
from extractors.weights.facts import KEY, WeightFacts, plain, read_facts
from extractors.weights.files import WeightsError
from extractors.weights.identify import Match, differences, identify
from extractors.weights.load import convert_weights, load_weights

FAILED = 1
NAMES_SHOWN = 3


@click.group()
def weights() -> None:
    """Which networks there are, which of them a weight file fits, and conversion to safetensors."""


@weights.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List the face networks: input size, layers, whose weights they load, and which ship."""
    shipped = {name: tell_shipped(path) for name, path in DEFAULT_FILES.items()}
    rows = [
        {
            "network": spec.name,
            "image_size": spec.image_size,
            "any_size": spec.any_size,
            "layers": dict(spec.layers),
            "default_layer": spec.default_layer,
            "source": spec.source,
            "default": shipped.get(spec.name),
        }
        for spec in NETWORKS.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for spec in NETWORKS.values():
        layers = ", ".join(f"{layer} ({dim})" for layer, dim in spec.layers.items())
        size = f"{spec.image_size} pixels" + (" or any" if spec.any_size else "")
        click.echo(f"{spec.name:<10} {size:<18} {layers:<32} {spec.source}")
        default = shipped.get(spec.name)
        if default:
            good = f"right on {default['accuracy']}" if default["accuracy"] else default["problem"]
            click.echo(f"{'':<10} comes with avfuse: {default['file']}, {good}")


def tell_shipped(path: Path) -> dict[str, Any]:
    """Say of weights that come with avfuse where they are and how good, or what is wrong."""
    try:
        facts = load_still_classifier(path).facts
    except (WeightsError, OSError) as error:
        return {"file": str(path), "accuracy": "", "classes": [], "problem": str(error)}
    return {
        "file": str(path),
        "accuracy": facts.accuracy,
        "classes": list(facts.classes),
        "problem": None,
    }


def tell_facts(facts: WeightFacts) -> list[str]:
    """Write what a fine-tuned file says of itself as lines of a name and a text."""
    framing = facts.framing
    rows = {
        "classes": ", ".join(facts.classes),
        "input": f"{facts.image_size} pixels{', grey' if facts.grey else ''}"
        + (f", enlarged from {facts.detail}" if facts.detail else ""),
        "framing": f"extend {framing.extend:g}, lift {framing.lift:g}" if framing else "",
        "right on": facts.accuracy,
    }
    return [f"  {name:<8} {plain(text, 2000)}" for name, text in rows.items() if text]


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: Path, *, as_json: bool) -> None:
    """Say which network FILE belongs to, what matches and what does not.

    Exits with 0 if it loads, with 1 if it fits no network or can't be read safely.
    """
    matches: list[Match] = []
    result: dict[str, Any] = {"file": str(file), "network": None, "digest": None, "problem": None}
    try:
        matches = identify(file)
        best = matches[0]
        if best.fits:
            report = load_weights(NETWORKS[best.network].build(), file)
            read_facts(report.metadata, file)  # what it says of itself has to hold too
            result.update(network=best.network, digest=report.digest, kind=report.kind)
            result.update(unwrapped=report.unwrapped, metadata=dict(report.metadata))
        else:
            result["problem"] = f"{file} fits no network"
    except (WeightsError, OSError) as error:
        result["problem"] = str(error)
    if as_json:
        result["candidates"] = [
            asdict(match) | {"matched": len(match.matched), "share": match.share}
            for match in matches
        ]
        click.echo(json.dumps(result, indent=2))
    else:
        print_check(result, matches)
    if result["problem"]:
        click.get_current_context().exit(FAILED)


def print_check(result: dict[str, Any], matches: list[Match]) -> None:
    """Print what was found for a reader."""
    if result["problem"] is None:
        click.echo(f"{result['file']} is {result['network']}: every parameter matches")
        click.echo(f"  digest   {result['digest']}")
        click.echo(f"  format   {result['kind']}")
        if result["unwrapped"]:
            click.echo(f"  unwrapped {' '.join(result['unwrapped'])}")
        facts = read_facts(result["metadata"], Path(result["file"]))
        for line in tell_facts(facts) if facts else ():
            click.echo(line)
        for name, value in sorted(result["metadata"].items()):
            if name == KEY:
                continue
            click.echo(f"  {ascii(name)[1:-1]}: {ascii(value)[1:-1]}")
        dropped = matches[0].dropped
        if dropped:
            more = f" and {len(dropped) - NAMES_SHOWN} more" if len(dropped) > NAMES_SHOWN else ""
            click.echo(f"  left out, a classifier: {', '.join(dropped[:NAMES_SHOWN])}{more}")
        return
    click.echo(result["problem"], err=True)
    if matches and not matches[0].fits:
        best = matches[0]
        if best.matched:
            click.echo(
                f"nearest: {best.network}, {len(best.matched)} parameters match{differences(best)}",
                err=True,
            )
        else:
            click.echo(f"no parameter of {', '.join(NETWORKS)} is in it", err=True)


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--network", required=True, type=click.Choice(list(NETWORKS)), help="What it is.")
@click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    default="rgb",
    show_default=True,
    help="What FILE's network takes; bgr (many from Caffe) is turned round.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT.")
def convert(
    file: Path, out: Path, network: str, channel_order: Literal["rgb", "bgr"], *, overwrite: bool
) -> None:
    """Write FILE as OUT.safetensors, with its source and digest in the header."""
    if out.suffix != ".safetensors":
        raise click.BadParameter(f"expected a name that ends in .safetensors, got {out}")
    if out.exists() and not overwrite:
        raise click.ClickException(f"{out} exists; pass --overwrite to replace it")
    try:
        report = convert_weights(file, out, network, channel_order=channel_order)
    except (WeightsError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {network}, {report.matched} tensors, digest {report.digest}")
    if report.dropped:
        click.echo(f"left out, a classifier: {', '.join(report.dropped)}")
