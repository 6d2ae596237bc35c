"""Turn a fine-tuned network into the weights that avfuse ships.

    python -m benchmarks.science.default_weights SOURCE [--ferplus DIR --fit] [--against-prior TAU]

``SOURCE`` is the safetensors file of a finished fine-tuning, or the state of one (its averaged
parameters are taken). What the file is worth is measured afterwards, on what users get, and stated
in its header and card: ``python -m benchmarks.science.default_network --state``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from cache.codec import fields_to_json
from cache.commit import write_whole
from cache.settings import parse_overrides, settings_from
from extractors.networks import NETWORKS
from extractors.weights.default import DEFAULT_FILES, DEFAULT_NETWORK
from extractors.weights.facts import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Framing,
    WeightFacts,
    read_facts,
)
from extractors.weights.load import load_weights
from extractors.weights.tensors import COUNTER
from trainer.stills.classifier import FaceClassifier, log_prior, predict_stills
from trainer.stills.film import as_film
from trainer.stills.images.ferplus_votes import FERPLUS_CLASSES, majority_labels, vote_targets
from trainer.stills.images.stills import Stills
from trainer.stills.prepare import RANDOM
from trainer.stills.settings import FilmSettings, FinetuneSettings
from trainer.stills.weights_file import halve, load_classifier, save_classifier

MAX_BYTES = 25 * 10**6
SEED = 0  # of what makes stills look like film
EVERY_IMAGE = FilmSettings(share=1.0)
MEAN = "mean/"  # of a training's state: the averaged parameters
CARD = Path(__file__).parent.parent / "default_card.md"


def read_source(
    path: Path, settings: FinetuneSettings
) -> tuple[FaceClassifier, FinetuneSettings, str]:
    """Return a network with its classifier, its settings, and the text of what it started from.

    Args:
        path: what a fine-tuning wrote, its state, or tensors alone under a file's key names.
        settings: of the training, where ``path`` doesn't hold them.
    """
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        says_something = bool(file.metadata())
    state = {n.removeprefix(MEAN): t for n, t in tensors.items() if n.startswith(MEAN)}
    if not state and says_something:
        found = load_classifier(path)
        settings = settings_from(FinetuneSettings, dict(found.facts.settings))
        classes = found.facts.classes
        if classes != FERPLUS_CLASSES:
            raise click.ClickException(f"{path} has the classes {', '.join(classes)}")
        return found.classifier, settings, found.facts.start or RANDOM
    classifier = FaceClassifier(settings.network, len(FERPLUS_CLASSES)).eval()
    prefix = classifier.file_prefix
    state = state or {
        f"classifier.{n.removeprefix(prefix)}" if n.startswith(prefix) else f"network.{n}": t
        for n, t in tensors.items()
    }
    left = classifier.load_state_dict(state, strict=False)
    if left.unexpected_keys or any(not key.endswith(COUNTER) for key in left.missing_keys):
        raise click.ClickException(f"{path} does not fit {settings.network}: {left}")
    return classifier, settings, RANDOM


def load_part(folder: Path, part: str) -> Stills:
    """Read ``train``, ``valid`` or ``test`` of FER+ with the labels after its authors' protocol."""
    with np.load(folder / f"{part}.npz") as file:
        images, votes = file["images"], file["votes"].astype(np.int64)
    names = tuple(f"{part}:{number}" for number in range(len(images)))
    return Stills(images, vote_targets(votes), majority_labels(votes), FERPLUS_CLASSES, names)


def as_if_filmed(stills: Stills) -> Stills:
    """Blur, darken, cover, turn, reduce and compress every image, by a fixed draw."""
    images = torch.from_numpy(stills.images).float().unsqueeze(1)
    changed = as_film(images, EVERY_IMAGE, torch.Generator().manual_seed(SEED))
    pixels = changed.squeeze(1).round().clamp(0, 255).to(torch.uint8).numpy()
    return Stills(pixels, stills.targets, stills.labels, stills.classes, stills.names)


def fit_temperature(
    logits: NDArray[np.float64], labels: NDArray[np.int64], bias: NDArray[np.float64]
) -> float:
    """Find the temperature with the lowest loss on labelled images, none of which was trained on.

    Args:
        logits: (N, C).
        labels: (N,).
        bias: (C,), of the file.
    """

    def loss(log_temperature: float) -> float:
        shares = log_softmax(logits / np.exp(log_temperature) + bias, axis=1)
        return -float(shares[np.arange(len(labels)), labels].mean())

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def confusion_table(metrics: Mapping[str, Any], classes: tuple[str, ...]) -> str:
    """Write the confusion matrix as markdown: rows are the labels."""
    lines = ["| label | " + " | ".join(classes) + " | recall |", "|---" * (len(classes) + 2) + "|"]
    for name, row in zip(classes, metrics["confusion"], strict=True):
        cells = " | ".join(map(str, row))
        recall = metrics["recall"][name]
        lines.append(f"| **{name}** | {cells} | {'-' if recall is None else f'{recall:.1%}'} |")
    return "\n".join(lines)


def write_card(path: Path, facts: WeightFacts, size: int, digest: str) -> None:
    """Fill the model card's text with what the file states of itself."""
    metrics, framing = facts.metrics, facts.framing or Framing(0.3, 0.0)
    new, valid, film = (metrics[name] for name in ("new", "valid", "film"))
    bias = zip(facts.classes, facts.logit_bias, strict=False)
    values = {
        "FILE": path.with_suffix(".safetensors").name,
        "NETWORK": NETWORKS[facts.network].name,
        "BYTES": f"{size / 1e6:.1f} MB",
        "DIGEST": digest,
        "IMAGE_SIZE": str(facts.image_size),
        "DETAIL": str(facts.detail or facts.image_size),
        "EXTEND": f"{framing.extend:g}",
        "LIFT": f"{framing.lift:g}",
        "TEMPERATURE": f"{facts.temperature:.3g}",
        "BIAS": ", ".join(f"{name} {value:+.2f}" for name, value in bias) or "none",
        "ACCURACY": share_of(metrics),
        "COPIES": str(metrics["num_images"] - new["num_images"]),
        "NUM_NEW": f"{new['num_images']:,}",
        "NEW": share_of(new),
        "UAR": f"{metrics['uar']:.2%}",
        "NUM_TEST": f"{metrics['num_images']:,}",
        "NUM_VALID": f"{valid['num_images']:,}",
        "VALID": share_of(valid),
        "AS_FILM": share_of(metrics["as_film"]),
        "SEED": str(facts.seed),
        "START": describe_start(str(facts.data.get("start", RANDOM))),
        "SETTINGS": json.dumps(facts.settings, indent=2),
        "COMMAND": str(facts.data.get("command", "")),
        "FILM": f"**{film['right']} of {film['clips']}** clips",
        "CONFUSION": confusion_table(metrics, facts.classes),
    }
    text = CARD.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    path.write_text(text, encoding="utf-8")


def describe_start(start: str) -> str:
    """Say what a training started from: ``RANDOM``, or the digest of weights."""
    return start if start == RANDOM else f"the weights with the digest `{start}`"


def share_of(figures: Mapping[str, Any]) -> str:
    """Write an accuracy with its interval."""
    low, high = figures["interval"]
    return f"{figures['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})"


def state_metrics(file: Path, metrics: Mapping[str, Any]) -> None:
    """Write figures into a weight file's header, whose tensors stay, and its card beside it."""
    with safe_open(file, framework="pt", device="cpu") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
        facts = read_facts(opened.metadata(), file)
    if facts is None:
        raise click.ClickException(f"{file} says nothing of itself")
    facts = replace(facts, metrics=dict(metrics))
    write_whole(file, save(tensors, facts.to_metadata()))
    file.chmod(0o644)
    digest = load_weights(NETWORKS[facts.network].build(), file).digest
    write_card(file.with_suffix(".md"), facts, file.stat().st_size, digest)


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=DEFAULT_FILES[DEFAULT_NETWORK]
)
@click.option("--set", "overrides", multiple=True, help="A setting of the state's training.")
@click.option("--command", default="", help="The command that made SOURCE, for the card.")
@click.option("--detail", default=48, show_default=True, help="Pixels of the images; 0: none.")
@click.option("--extend", default=0.46, show_default=True, help="Framing; see docs.")
@click.option("--lift", default=0.12, show_default=True)
@click.option("--ferplus", type=click.Path(path_type=Path, exists=True))
@click.option("--against-prior", default=0.0, help="Power of the training prior to divide by.")
@click.option("--fit", is_flag=True, help="Fit the temperature on FER+ valid, plain and as film.")
def main(
    source: Path,
    out: Path,
    overrides: tuple[str, ...],
    command: str,
    detail: int,
    extend: float,
    lift: float,
    ferplus: Path | None,
    against_prior: float,
    fit: bool,
) -> None:
    """Write the default network's weights."""
    given = settings_from(FinetuneSettings, parse_overrides(overrides))
    classifier, settings, start = read_source(source, given)
    halve(classifier)
    facts = WeightFacts(
        network=settings.network,
        classes=FERPLUS_CLASSES,
        image_size=settings.image_size or classifier.spec.image_size,
        grey=settings.grey,
        detail=detail,
        framing=Framing(extend, lift),
        seed=settings.seed,
        settings=fields_to_json(settings),
        data={
            "name": "FER+",
            "labels": "Barsoum et al., ICMI 2016: majority of ten votes, 8 classes",
            "images": "FER2013 (Goodfellow et al., 2013): 48x48 grey, from a web search",
            "start": start,
            "command": command,
        },
    )
    if (against_prior or fit) and ferplus is None:
        raise click.UsageError("--against-prior and --fit need --ferplus")
    if ferplus and against_prior:
        logs = log_prior(load_part(ferplus, "train").trainable()).double().numpy()
        bias = -against_prior * (logs - logs.mean())
        facts = replace(facts, logit_bias=tuple(bias.round(4).tolist()))
    if ferplus and fit:
        valid = load_part(ferplus, "valid").testable()
        seen = [
            predict_stills(classifier, stills, facts.image_size, grey=facts.grey)
            for stills in (valid, as_if_filmed(valid))
        ]
        temperature = fit_temperature(
            np.log(np.concatenate(seen)), np.tile(valid.labels, 2), np.array(facts.logit_bias or 0)
        )
        facts = replace(facts, temperature=round(temperature, 4))
    save_classifier(classifier, out, facts, half=True)
    size = out.stat().st_size
    if size > MAX_BYTES:
        raise click.ClickException(f"{out} has {size} bytes, more than {MAX_BYTES}")
    click.echo(f"{out}: {size / 1e6:.1f} MB, temperature {facts.temperature}")


if __name__ == "__main__":
    main()
