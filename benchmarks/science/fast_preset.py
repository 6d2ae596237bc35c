"""Choice of the settings of the preset ``fast``, inside training speakers, and its accuracy.

    python -m benchmarks.science.fast_preset --data ../shared/data --work FOLDER -o FILE.json

RAVDESS speech in six folds of speakers; video is the clip mean of 35 action units, so that only the
sound, the fusion and the training can be chosen here. Candidates differ from the preset in one
thing; docs/results.md says what was looked at before they were written down. For each outer fold a
candidate is compared on the speakers of the other five, one fold held out in turn: a head that is
fitted without folds f and g speaks for g in the choice of f, and for f in that of g. The preset
stays unless a candidate is better by more than ``NOISE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, write_result
from benchmarks.science.ravdess import LABELS, describe_all, format_all
from benchmarks.science.ravdess_data import SPEAKERS_IN_FOLD, prepare_sets
from benchmarks.science.tables import percent
from cache.manifest.manifest import read_manifest
from cache.settings import merge
from trainer.data.corpus import Corpus
from trainer.data.features import read_features
from trainer.data.sequences import Sequences
from trainer.runs.predictions import Predictions, pool_predictions
from trainer.settings import load_preset, settings_from_dict
from trainer.training.predict import predict_head
from trainer.training.train import train_heads

NUM_FOLDS = 6
INNER_SEEDS, SEEDS = (0, 1), (0, 1, 2)
NOISE = 0.01
Change = Mapping[str, Any]
SOUND: Change = {"fusion": {"kind": "audio"}}
VIDEO: Change = {"fusion": {"kind": "video"}}
PRESET = "the preset"
# How else sound could be described, compared by sound alone: what of ``summarise`` is kept.
DEVIATION, MIDDLE, ALL = slice(0, 2), slice(2, 7), slice(0, 7)
STATISTICS: dict[str, slice] = {
    PRESET: ALL,
    "mean and deviation": DEVIATION,
    "percentiles": MIDDLE,
}
# What else the head could be, compared by both modalities.
HEADS: dict[str, Change] = {
    PRESET: {},
    "FBP of embeddings": {"fusion": {"kind": "fbp"}},
    "FBP with factor biases, no embeddings": {
        "fusion": {"kind": "fbp", "factor_bias": True},
        "video": {"embedding_dim": 0},
        "audio": {"embedding_dim": 0},
    },
    "dropout 0.3": {"video": {"embedding_dropout": 0.3}, "audio": {"embedding_dropout": 0.3}},
    "embeddings of 128 and 256": {"video": {"embedding_dim": 128}, "audio": {"embedding_dim": 256}},
    "10 epochs": {"optim": {"epochs": 10}},
    "40 epochs": {"optim": {"epochs": 40}},
    "batches of 64": {"optim": {"batch_size": 64}},
    "learning rate 1e-3": {"optim": {"learning_rate": 1e-3}},
    "learning rate 4e-3": {"optim": {"learning_rate": 4e-3}},
    "no label smoothing": {"optim": {"label_smoothing": 0.0}},
}


def load_takes(data: Path, work: Path) -> tuple[Corpus, NDArray[np.int64]]:
    """Read the takes and the fold of each; sound as the preset has it."""
    clips = read_manifest(prepare_sets(data, work), check_files=False).clips
    ids = [clip.id for clip in clips]
    sound = read_features(work / "cache", ["logmel"], ids, "statistics")
    with np.load(work / "au.npz") as file:
        units = {c.partition("-")[2]: row for c, row in zip(file["clip"], file["au"], strict=True)}
    video = np.array([units[clip.partition("-")[2]] for clip in ids], np.float32)
    steps = Sequences(video, np.zeros(len(ids)), np.arange(len(ids) + 1))
    corpus = Corpus(
        clip_ids=tuple(ids),
        sequences={"video": steps, "audio": sound.sequences},
        classes=LABELS,
        labels=np.array([LABELS.index(clip.label or "") for clip in clips]),
    )
    return corpus, np.array([(int(clip.split("-")[6]) - 1) // SPEAKERS_IN_FOLD for clip in ids])


def keep_statistics(corpus: Corpus, kept: slice) -> Corpus:
    """Return the corpus with some of the seven statistics of its sound."""
    sound = corpus.sequences["audio"]
    values = sound.values.reshape(len(sound.values), 7, -1)[:, kept].reshape(len(sound.values), -1)
    steps = {**corpus.sequences, "audio": sound.with_values(np.ascontiguousarray(values))}
    return replace(corpus, sequences=steps)


def predict_folds(
    corpus: Corpus, folds: NDArray[np.int64], change: Change, out: set[int], seeds: tuple[int, ...]
) -> list[Predictions]:
    """Train without some folds and predict each of their clips: one table a seed."""
    settings = settings_from_dict(merge(load_preset("fast"), change))
    held = np.isin(folds, list(out))
    heads = train_heads(corpus, np.flatnonzero(~held), [settings], list(seeds))
    tested = np.flatnonzero(held)
    return [
        Predictions(
            classes=corpus.classes,
            clips=tuple(corpus.clip_ids[i] for i in tested),
            labels=tuple(corpus.classes[i] for i in corpus.labels[tested]),
            probabilities=predict_head(head, corpus, tested).probabilities,
            folds=tuple(int(fold) for fold in folds[tested]),
            splits=("test",) * len(tested),
            modalities=("audio+video",) * len(tested),
            untrained=False,
        )
        for head in heads
    ]


def compare_inside(corpus: Corpus, folds: NDArray[np.int64], change: Change) -> list[float]:
    """Measure a candidate for the choice of each outer fold: accuracy on the other five."""
    right = np.zeros((NUM_FOLDS, NUM_FOLDS))  # outer, inner
    for pair in combinations(range(NUM_FOLDS), 2):
        members = predict_folds(corpus, folds, change, {*pair}, INNER_SEEDS)
        hits = np.mean([np.array(m.predictions) == np.array(m.labels) for m in members], axis=0)
        tested = np.array(members[0].folds)
        for outer, inner in (pair, pair[::-1]):
            right[outer, inner] = hits[tested == inner].mean()
    return (right.sum(axis=1) / (NUM_FOLDS - 1)).tolist()


def choose(accuracies: Mapping[str, list[float]], fold: int) -> str:
    """Choose for an outer fold: the best candidate where it beats the preset by more than noise."""
    best = max(accuracies, key=lambda name: accuracies[name][fold])
    gain = accuracies[best][fold] - accuracies[PRESET][fold]
    return best if gain > NOISE else PRESET


def measure_outside(
    corpus: Corpus, folds: NDArray[np.int64], changes: Mapping[int, Change]
) -> list[Predictions]:
    """Test every fold by heads of the settings chosen for it: one table a seed."""
    parts = [
        predict_folds(corpus, folds, changes[fold], {fold}, SEEDS) for fold in range(NUM_FOLDS)
    ]
    return [pool_predictions(of_seed) for of_seed in zip(*parts, strict=True)]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder to work in.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="JSON file.")
def main(data: Path, work: Path, out: Path) -> None:
    """Choose inside the training speakers, then test every fold once."""
    torch.set_num_threads(1)
    machine = describe_machine()
    corpus, folds = load_takes(data, work)
    inside: dict[str, dict[str, list[float]]] = {"sound": {}, "head": {}}
    for name, kept in STATISTICS.items():
        own = keep_statistics(corpus, kept)
        inside["sound"][name] = compare_inside(own, folds, SOUND)
        _tell(f"sound, {name}", inside["sound"][name])
    for name, change in HEADS.items():
        inside["head"][name] = compare_inside(corpus, folds, change)
        _tell(name, inside["head"][name])
    chosen = {
        what: [choose(accuracies, fold) for fold in range(NUM_FOLDS)]
        for what, accuracies in inside.items()
    }
    everywhere = {fold: {} for fold in range(NUM_FOLDS)}
    results = {
        PRESET: measure_outside(corpus, folds, everywhere),
        "chosen for each fold": measure_outside(
            corpus, folds, {fold: HEADS[name] for fold, name in enumerate(chosen["head"])}
        ),
        "sound alone": measure_outside(corpus, folds, dict.fromkeys(everywhere, SOUND)),
        "action units alone": measure_outside(corpus, folds, dict.fromkeys(everywhere, VIDEO)),
    }
    lines = describe_all(results)
    click.echo(format_all(lines))
    write_result(
        out,
        {
            "machine": machine,
            "preset": load_preset("fast"),
            "inside": inside,
            "chosen": chosen,
            "results": lines,
        },
    )


def _tell(name: str, accuracies: list[float]) -> None:
    click.echo(f"{name}: {', '.join(percent(one) for one in accuracies)}")


if __name__ == "__main__":
    main()
