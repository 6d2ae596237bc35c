"""Report of a fine-tuning: its figures as JSON, for the weight file, and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.runs.metrics import measure
from trainer.runs.predictions import Predictions
from trainer.runs.report import make_report
from trainer.runs.terminal import format_interval, format_percent
from trainer.stills.classifier import FaceClassifier, predict_stills
from trainer.stills.finetune import DivergedError
from trainer.stills.images.parts import Copies, StillParts
from trainer.stills.images.stills import Stills
from trainer.stills.run_files import UNREADABLE
from trainer.stills.settings import FinetuneSettings

# With more, a confusion matrix is too large for a file's header.
MOST_CLASSES = 30


def predict_part(
    classifier: FaceClassifier,
    part: Stills,
    name: str,
    settings: FinetuneSettings,
    device: str = "cpu",
) -> Predictions:
    """Classify the images that have a label, each together with its mirror image.

    Args:
        classifier: the network.
        part: the images.
        name: of the part.
        settings: the input's size and whether it is grey.
        device: where ``classifier`` is.

    Raises:
        DivergedError: a probability is not finite.
    """
    tested = part.testable()
    probabilities = predict_stills(
        classifier, tested, settings.image_size, grey=settings.grey, flip=True, device=device
    )
    if not np.isfinite(probabilities).all():
        # Norms hide it in training: the loss of a batch is the same at any scale.
        raise DivergedError(
            f"the network's answers to the {name} images are not finite; lower learning_rate "
            f"({settings.learning_rate}) or use precision float32"
        )
    order = sorted(range(len(tested)), key=tested.names.__getitem__)
    return Predictions(
        classes=part.classes,
        clips=tuple(tested.names[i] for i in order),
        labels=tuple(part.classes[tested.labels[i]] for i in order),
        probabilities=probabilities[np.array(order, dtype=np.int64)],
        folds=(None,) * len(order),
        splits=(name,) * len(order),
        modalities=("video",) * len(order),
    )


def make_still_report(
    tables: Mapping[str, Predictions],
    settings: FinetuneSettings,
    parts: StillParts,
    info: Mapping[str, Any],
    copies: Copies,
) -> dict[str, Any]:
    """Compute the figures of a fine-tuning.

    Args:
        tables: the predictions of ``valid`` and ``test``.
        settings: of the training.
        parts: the images.
        info: the contents of ``run.json``.
        copies: the images that stand in training too; see ``find_copies``.

    Returns:
        A report as that of a run of heads, on the test images or, without any, on the validation
        images, and beside it ``valid`` and ``test``, each with n, accuracy, its interval, UAR,
        macro F1, recall and confusion, and under ``new`` the same over the images that do not
        stand in training; or None without images.
    """
    reported = "test" if tables["test"].clips else "valid"
    warnings = [
        f"{count} {name} images stand in training too, pixel for pixel"
        for name in ("valid", "test")
        if (count := info["data"][name]["also_in_train"])
    ]
    if reported == "valid":
        warnings.append("there are no test images: these figures are of the validation images")
    if parts.unreadable:
        warnings.append(f"{len(parts.unreadable)} images can't be read; see {UNREADABLE}")
    title = f"{settings.network} on {parts.layout}, {reported} images, seed {settings.seed}"
    report = make_report(tables[reported], {}, title=title, warnings=warnings)
    report["data"] = info["data"]
    for name, table in tables.items():
        report[name] = measured(table, copies[name]) if table.clips else None
    return report


def measured(table: Predictions, copies: frozenset[str]) -> dict[str, Any]:
    """Measure the predictions for all images of a part, and for those that are not in training."""
    new = table.select(lambda row: table.clips[row] not in copies)
    figures = measure(table.labels, table.predictions, table.classes).to_json()
    figures["new"] = measure(new.labels, new.predictions, new.classes).to_json()
    return figures


def header_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the figures that a weight file states of itself; see ``WeightFacts``."""
    reported = "valid" if report["test"] is None else "test"
    figures = report[reported] or {"accuracy": None, "n": 0}
    left_out = ("confusion",) if len(report["classes"]) > MOST_CLASSES else ()
    parts = {
        name: report[name]
        and {k: v for k, v in report[name].items() if k not in (*left_out, "new")}
        for name in ("valid", "test")
    }
    stated = {
        "accuracy": figures["accuracy"],
        "num_images": figures["n"],
        "split": f"{report['data']['layout']} {reported}",
    }
    return stated | parts


def format_still_report(report: Mapping[str, Any]) -> str:
    """Write the figures of ``make_still_report`` as lines of text."""
    data = report["data"]
    counts = ", ".join(f"{name} {data[name]['images']}" for name in ("train", "valid", "test"))
    lines = [report["title"], f"images: {counts} ({data['layout']})"]
    for name in ("valid", "test"):
        figures = report[name]
        if figures is None:
            lines.append(f"{name}: no images")
            continue
        lines.append(
            f"{name}: accuracy {format_percent(figures['accuracy'], 2)} "
            f"{format_interval(figures['interval'])} of {figures['n']}, "
            f"UAR {format_percent(figures['uar'])}, macro F1 {format_percent(figures['macro_f1'])}"
        )
        new = figures["new"]
        if new["n"] != figures["n"]:
            lines.append(
                f"  without copies of training images: accuracy "
                f"{format_percent(new['accuracy'], 2)} {format_interval(new['interval'])} of "
                f"{new['n']}"
            )
        recall = (f"{key} {format_percent(value)}" for key, value in figures["recall"].items())
        lines.append(f"  recall: {', '.join(recall)}")
    lines += [f"note: {note}" for note in data["notes"]]
    lines += [f"warning: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)
