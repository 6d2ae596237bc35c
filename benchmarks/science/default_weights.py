"""Turn a fine-tuned network into the weights that avfuse ships, with what was measured on them.

    python -m benchmarks.science.default_weights SOURCE --ferplus DIR

``SOURCE`` is the safetensors file of a finished fine-tuning, or the state of one (its averaged
parameters are taken). Everything is measured after rounding to float16: it is what users get.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from safetensors import safe_open

from cache.codec import fields_to_json
from cache.settings import parse_overrides, settings_from
from extractors.weights.default import CLIPS_OF_FILM, DEFAULT_FILES, RIGHT_ON_FILM
from extractors.weights.facts import Framing, WeightFacts
from extractors.weights.load import load_weights
from extractors.weights.tensors import COUNTER
from trainer.runs.metrics import wilson_interval
from trainer.stills.classifier import FaceClassifier, predict_stills, score_stills
from trainer.stills.images.ferplus_votes import FERPLUS_CLASSES, majority_labels, vote_targets
from trainer.stills.images.stills import Stills
from trainer.stills.prepare import RANDOM
from trainer.stills.settings import FinetuneSettings
from trainer.stills.weights_file import halve, load_classifier, save_classifier

MAX_BYTES = 25 * 10**6
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


def measure(
    classifier: FaceClassifier, stills: Stills, facts: WeightFacts, learned: frozenset[bytes]
) -> dict[str, Any]:
    """Score one part with and without the mirror image, and count the confusions.

    Args:
        classifier: rounded as it is shipped.
        stills: the part.
        facts: how it is fed.
        learned: the pixels of the training images: FER+ holds some faces in two parts.
    """
    stills = stills.testable()
    new = np.array([image.tobytes() not in learned for image in stills.images], dtype=bool)
    options: dict[str, Any] = {"grey": facts.grey}
    plain = predict_stills(classifier, stills, facts.image_size, flip=False, **options)
    both = predict_stills(classifier, stills, facts.image_size, flip=True, **options)
    count = len(stills.classes)
    chosen = plain.argmax(axis=1)
    confusion = np.bincount(stills.labels * count + chosen, minlength=count**2)
    right = int((chosen == stills.labels).sum())
    matrix = confusion.reshape(count, count)
    recalls = matrix.diagonal() / np.maximum(1, matrix.sum(axis=1))
    return {
        "num_images": len(stills),
        "accuracy": right / len(stills),
        "interval": list(wilson_interval(right, len(stills)) or ()),
        "accuracy_with_mirror_image": score_stills(both, stills.labels).accuracy,
        "new": {
            "num_images": int(new.sum()),
            "accuracy": float((chosen == stills.labels)[new].mean()),
            "interval": list(
                wilson_interval(int((chosen == stills.labels)[new].sum()), int(new.sum()))
            ),
        },
        "loss": score_stills(plain, stills.labels).loss,
        "uar": float(recalls.mean()),
        "recall": dict(zip(stills.classes, recalls.round(4).tolist(), strict=True)),
        "confusion": matrix.tolist(),
    }


def confusion_table(metrics: dict[str, Any], classes: tuple[str, ...]) -> str:
    """Write the confusion matrix as markdown: rows are the labels."""
    lines = ["| label | " + " | ".join(classes) + " | recall |", "|---" * (len(classes) + 2) + "|"]
    for name, row in zip(classes, metrics["confusion"], strict=True):
        cells = " | ".join(map(str, row))
        lines.append(f"| **{name}** | {cells} | {metrics['recall'][name]:.1%} |")
    return "\n".join(lines)


def write_card(path: Path, facts: WeightFacts, size: int, digest: str) -> None:
    """Fill the model card's text with what was measured."""
    test, valid = dict(facts.metrics), facts.metrics.get("valid", {})
    low, high = test["interval"]
    new_low, new_high = test["new"]["interval"]
    framing = facts.framing or Framing(0.3, 0.0)
    values = {
        "BYTES": f"{size / 1e6:.1f} MB",
        "DIGEST": digest,
        "IMAGE_SIZE": str(facts.image_size),
        "DETAIL": str(facts.detail or facts.image_size),
        "EXTEND": f"{framing.extend:g}",
        "LIFT": f"{framing.lift:g}",
        "ACCURACY": f"{test['accuracy']:.2%}",
        "INTERVAL": f"{low:.2%} to {high:.2%}",
        "COPIES": str(test["num_images"] - test["new"]["num_images"]),
        "NUM_NEW": f"{test['new']['num_images']:,}",
        "NEW": f"{test['new']['accuracy']:.2%} (95 % interval {new_low:.2%} to {new_high:.2%})",
        "MIRROR": f"{test['accuracy_with_mirror_image']:.2%}",
        "UAR": f"{test['uar']:.2%}",
        "NUM_TEST": f"{test['num_images']:,}",
        "NUM_VALID": f"{valid.get('num_images', 0):,}",
        "VALID": f"{valid.get('accuracy', 0):.2%}",
        "SEED": str(facts.seed),
        "START": str(facts.data.get("start", RANDOM)),
        "SETTINGS": json.dumps(facts.settings, indent=2),
        "COMMAND": str(facts.data.get("command", "")),
        "FILM": f"{RIGHT_ON_FILM} of {CLIPS_OF_FILM}",
        "CONFUSION": confusion_table(test, facts.classes),
    }
    text = CARD.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    path.write_text(text, encoding="utf-8")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--ferplus", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=DEFAULT_FILES["resnet18"])
@click.option("--set", "overrides", multiple=True, help="A setting of the state's training.")
@click.option("--command", default="", help="The command that made SOURCE, for the card.")
@click.option("--detail", default=48, show_default=True, help="Pixels of the images; 0: none.")
@click.option("--extend", default=0.46, show_default=True, help="Framing; see docs.")
@click.option("--lift", default=0.12, show_default=True)
@click.option("--quick", is_flag=True, help="Measure 200 images only, to try the tool.")
def main(
    source: Path,
    ferplus: Path,
    out: Path,
    overrides: tuple[str, ...],
    command: str,
    detail: int,
    extend: float,
    lift: float,
    quick: bool,
) -> None:
    """Write the default network's weights and its model card."""
    started = time.monotonic()
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
    parts = {name: load_part(ferplus, name) for name in ("test", "valid")}
    if quick:
        parts = {name: part.select(np.arange(200)) for name, part in parts.items()}
    learned = frozenset(image.tobytes() for image in load_part(ferplus, "train").images)
    scores = {name: measure(classifier, part, facts, learned) for name, part in parts.items()}
    valid = {k: scores["valid"][k] for k in ("num_images", "accuracy")}
    metrics = {"split": "FER+ test", **scores["test"], "valid": valid}
    facts = replace(facts, metrics=metrics)
    save_classifier(classifier, out, facts, half=True)
    out.chmod(0o644)
    size = out.stat().st_size
    if size > MAX_BYTES:
        raise click.ClickException(f"{out} has {size} bytes, more than {MAX_BYTES}")
    digest = load_weights(classifier.spec.build(), out).digest
    write_card(out.with_suffix(".md"), facts, size, digest)
    click.echo(
        f"{out}: {size / 1e6:.1f} MB, {facts.accuracy}, UAR {metrics['uar']:.2%}; "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
