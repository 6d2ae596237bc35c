"""Rules that make one answer of a clip out of its frames' probabilities, on real film.

    python -m benchmarks.science.clip_pooling --data ../shared/data [-o FILE.json]

The frames are those of AFEW, with another team's face model (LISA's, from stills) and the official
labels, so that nothing is chosen on clips that the default network is reported on. A rule is taken
in place of the mean only if it gets more of the training clips right, by a paired 95 % interval
above 0; the validation clips are then asked once about the mean and the best of the others.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, write_result
from benchmarks.science.afew import CLASSES, SMALLEST
from benchmarks.science.tables import describe_gain, gain_cell, markdown, percent
from pipeline.faces.tracks import BoxSource
from pipeline.predict.answer import Curve
from trainer.runs.metrics import measure
from trainer.runs.predictions import Predictions

Array = NDArray[np.float64]
Rule = Callable[[Array], Array]  # (T frames, C classes) to (C,)
MEAN = "mean"
NEUTRAL = CLASSES.index("Neutral")


def mean(frames: Array) -> Array:
    """The rule of `avfuse predict`."""
    seen = np.full(len(frames), BoxSource.DETECT)
    pooled = Curve(np.arange(len(frames)) / 25, seen, frames, CLASSES).mean()
    return np.array([*(pooled or {}).values()])


def weighted(weigh: Callable[[Array], Array]) -> Rule:
    """The mean of frames with weights of their own."""
    return lambda frames: np.average(frames, axis=0, weights=weigh(frames))


def surest(share: float) -> Rule:
    """The mean of the share of frames whose highest probability is highest."""
    return lambda frames: frames[
        np.argsort(-frames.max(axis=1), kind="stable")[: max(1, round(share * len(frames)))]
    ].mean(axis=0)


def power(exponent: float) -> Rule:
    """The power mean: the mean for 1, nearer to the maximum above it."""
    return lambda frames: (frames**exponent).mean(axis=0) ** (1 / exponent)


def trimmed(share: float) -> Rule:
    """The mean without a class's lowest and highest share of frames."""

    def rule(frames: Array) -> Array:
        cut = int(share * len(frames))
        kept: Array = np.sort(frames, axis=0)[cut : len(frames) - cut].mean(axis=0)
        return kept

    return rule


def smoothed(width: int, rule: Rule) -> Rule:
    """A rule on a moving average over so many frames."""

    def smooth(frames: Array) -> Array:
        window = np.ones(min(width, len(frames)))
        counts = np.convolve(np.ones(len(frames)), window, "same")
        columns = [np.convolve(column, window, "same") / counts for column in frames.T]
        return rule(np.stack(columns, axis=1))

    return smooth


def entropy(frames: Array) -> Array:
    """Entropy of each frame, from 0 to 1."""
    result: Array = -(frames * np.log(frames)).sum(axis=1) / np.log(frames.shape[1])
    return result


RULES: dict[str, Rule] = {
    MEAN: mean,
    "geometric mean": lambda frames: np.exp(np.log(frames).mean(axis=0)),
    "median": lambda frames: np.median(frames, axis=0),
    "votes of the frames": lambda frames: np.eye(len(CLASSES))[frames.argmax(axis=1)].mean(axis=0),
    "mean without the outer tenths": trimmed(0.1),
    "mean without the outer quarters": trimmed(0.25),
    "weighted by the highest probability": weighted(lambda frames: frames.max(axis=1)),
    "weighted by its square": weighted(lambda frames: frames.max(axis=1) ** 2),
    "weighted by 1 - entropy": weighted(lambda frames: 1 - entropy(frames) + 1e-6),
    "weighted by 1 - neutral": weighted(lambda frames: 1 - frames[:, NEUTRAL]),
    "surest tenth": surest(0.1),
    "surest quarter": surest(0.25),
    "surest half": surest(0.5),
    "power mean, 1/2": power(0.5),
    "power mean, 4": power(4),
    "maximum": lambda frames: frames.max(axis=0),
    "smoothed over 15, weighted by the square": smoothed(
        15, weighted(lambda frames: frames.max(axis=1) ** 2)
    ),
    "smoothed over 15, surest quarter": smoothed(15, surest(0.25)),
    "smoothed over 15, geometric mean": smoothed(
        15, lambda frames: np.exp(np.log(frames).mean(axis=0))
    ),
}


def read_clips(data: Path) -> list[tuple[dict[str, str], Array]]:
    """Read the rows of AFEW 7 with faces, and of each the probabilities by frame, (T, C)."""
    with (data / "afew_scores" / "afew_scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split_afew7"]]
    with np.load(data / "afew_scores" / "afew_frames.npz") as tables:
        return [(row, by_frame(tables[row["clip"]])) for row in rows if row["clip"] in tables.files]


def by_frame(table: NDArray[Any]) -> Array:
    """Average a frame's faces: (rows, frame number, face number, C scores) to (T, C)."""
    numbers, place = np.unique(table[:, 0], return_inverse=True)
    sums = np.zeros((len(numbers), len(CLASSES)))
    np.add.at(sums, place, table[:, 2:].astype(np.float64))
    shares = np.maximum(sums / np.bincount(place)[:, None], SMALLEST)
    result: Array = shares / shares.sum(axis=1, keepdims=True)
    return result


def pool(clips: Sequence[tuple[dict[str, str], Array]], rule: Rule) -> Predictions:
    """Answer about each clip by a rule."""
    pooled = np.array([rule(frames) for _, frames in clips])
    names = [row["clip"] for row, _ in clips]
    return Predictions(
        classes=CLASSES,
        clips=tuple(names),
        labels=tuple(row["label_afew7"] for row, _ in clips),
        probabilities=pooled / pooled.sum(axis=1, keepdims=True),
        folds=(None,) * len(names),
        splits=tuple(row["split_afew7"] for row, _ in clips),
        modalities=("video",) * len(names),
    )


def describe(table: Predictions, of_mean: Predictions) -> dict[str, Any]:
    """Figures of a rule, its loss, and what it gains over the mean."""
    found = measure(table.labels, table.predictions, table.classes)
    given = [
        row[CLASSES.index(label)]
        for row, label in zip(table.probabilities, table.labels, strict=True)
    ]
    return {
        "n": found.n,
        "accuracy": found.accuracy,
        "interval": found.interval,
        "uar": found.uar,
        "loss": float(-np.log(np.maximum(given, SMALLEST)).mean()),
        "gain": describe_gain(of_mean, table),
    }


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--out", type=click.Path(path_type=Path))
def main(data: Path, out: Path | None) -> None:
    """Compare the rules on the training clips; report the mean and the best other on validation."""
    clips = read_clips(data)
    parts = {
        split: [clip for clip in clips if clip[0]["split_afew7"] == split]
        for split in ("train", "val")
    }
    pooled = {name: pool(parts["train"], rule) for name, rule in RULES.items()}
    train = {name: describe(table, pooled[MEAN]) for name, table in pooled.items()}
    others = sorted((name for name in RULES if name != MEAN), key=lambda n: -train[n]["accuracy"])
    best = others[0]
    taken = best if train[best]["gain"]["interval"][0] > 0 else MEAN
    of_mean = pool(parts["val"], RULES[MEAN])
    validation = {n: describe(pool(parts["val"], RULES[n]), of_mean) for n in (MEAN, best)}
    table = markdown(
        ("rule", "right", "UAR", "loss", "against the mean, points"),
        [
            (
                name,
                percent(row["accuracy"]),
                percent(row["uar"]),
                f"{row['loss']:.3f}",
                gain_cell(row["gain"]),
            )
            for name, row in train.items()
        ],
    )
    click.echo(f"{table}\n\ntaken: {taken}")
    for name, row in validation.items():
        low, high = row["interval"]
        click.echo(
            f"validation, {name}: {percent(row['accuracy'])} [{percent(low)}, "
            f"{percent(high)}] of {row['n']}; {gain_cell(row['gain'])}"
        )
    if out:
        result = {"machine": describe_machine(), "taken": taken, "best_other": best}
        write_result(out, result | {"train": train, "validation": validation})


if __name__ == "__main__":
    main()
