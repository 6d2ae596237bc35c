"""Linear probes on still images: the expressions that each layer of a face network tells apart.

python -m benchmarks.science.probe WEIGHTS DATA -o FILE.json --picture FILE.png
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import torch

from benchmarks.machine import describe_machine
from benchmarks.science.probe_layers import embed_layers, plot_plane, probe_layer, project
from cache.codec import fields_to_json
from extractors.networks import NETWORKS
from extractors.weights.load import load_weights
from trainer.runs.terminal import format_interval, format_percent
from trainer.stills.classifier import FaceClassifier
from trainer.stills.images.image_files import Reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.settings import DataSettings
from trainer.stills.weights_file import load_classifier


@click.command()
@click.argument("weights", type=click.Path(exists=True, path_type=Path))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON file.",
)
@click.option("--picture", type=click.Path(path_type=Path), help="PNG of the test embeddings.")
@click.option("--how", type=click.Choice(["tsne", "pca"]), default="tsne", show_default=True)
@click.option("--network", type=click.Choice(list(NETWORKS)), help="If WEIGHTS don't name it.")
@click.option(
    "--image-size",
    type=int,
    default=0,
    help="In pixels, with --network.",
)
@click.option("--grey", is_flag=True, help="The network takes grey images; with --network.")
@click.option("--layers", help="Layers to probe, separated by commas; default: all.")
@click.option("--threads", type=int, default=1, show_default=True)
def main(
    weights: Path,
    data: Path,
    output: Path,
    picture: Path | None,
    how: str,
    network: str | None,
    image_size: int,
    grey: bool,
    layers: str | None,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    if network is None:
        file = load_classifier(weights)
        classifier, image_size, grey = file.classifier, file.facts.image_size, file.facts.grey
    else:
        classifier = FaceClassifier(network, 2).eval()
        load_weights(classifier.network, weights)
        image_size = image_size or NETWORKS[network].image_size
    read = read_stills(data, "auto", Reading(DataSettings(), image_size, grey))
    parts = {name: part.testable() for name, part in read.named().items()}
    found = {}
    for name, part in parts.items():
        click.echo(f"embedding {len(part)} {name} images", err=True)
        found[name] = embed_layers(classifier, part, image_size, grey=grey)
    chosen = layers.split(",") if layers else list(found["test"])
    rows, probed = [], {}
    for layer in chosen:
        # A network that ends in its pooled map has one embedding under two names.
        same = [name for name in probed if found["test"][name] is found["test"][layer]]
        if not same:
            embeddings = {name: found[name][layer] for name in parts}
            probed[layer] = probe_layer(layer, embeddings, parts)
        probe = replace(probed[same[0] if same else layer], layer=layer)
        rows.append(fields_to_json(probe))
        click.echo(
            f"| {layer} | {probe.dim} | {format_percent(probe.valid_accuracy, 2)} | "
            f"{format_percent(probe.test['accuracy'], 2)} "
            f"{format_interval(probe.test['interval'])} | {format_percent(probe.test['uar'])} |"
        )
    result = {
        "machine": describe_machine(),
        "weights": weights.name,
        "network": classifier.spec.name,
        "image_size": image_size,
        "grey": grey,
        "layout": read.layout,
        "counts": {name: len(part) for name, part in parts.items()},
        "probes": rows,
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    if picture is not None:
        layer, test = classifier.spec.default_layer, parts["test"]
        places = project(found["test"][layer], how)
        title = f"{classifier.spec.name}, {layer}, {len(test)} test images of {read.layout} ({how})"
        picture.write_bytes(plot_plane(places, test.labels, test.classes, title))


if __name__ == "__main__":
    main()
