"""RAVDESS speech in six speaker-independent folds: sound, action units, and their fusions.

    python -m benchmarks.science.ravdess --data ../shared/data --work FOLDER -o FILE.json

Video is the clip mean of 35 action units (OpenFace), sound the log-mel with deltas of this project
and functionals of it. Every clip is tested once, by heads trained on 20 other speakers. An
interrupted call goes on; ``--aligned`` leaves out the systems on features of whole clips.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.science.ravdess_data import import_sets, prepare, read_takes
from benchmarks.science.ravdess_stack import FIVE, aligned_systems
from benchmarks.science.tables import accuracy_cells, describe, keep, markdown, percent
from cache.manifest.manifest import Manifest, read_manifest
from cache.settings import merge, settings_from
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import RunError, read_members, read_run
from trainer.runs.metrics import measure
from trainer.runs.predictions import Predictions, mean_predictions
from trainer.settings import TrainSettings

LABELS = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FOLDS = "speaker:6"
SEEDS = 3  # of the systems in URGENT; the others, for comparison, have one
CONCAT = {"kind": "concat"}
AU: dict[str, Any] = {
    "set": "au",
    "attention": "mean",
    "embedding_dim": 64,
    "embedding_dropout": 0.5,
}
# 943 numbers of the whole clip; the classifiers and heads on aligned sound have others.
FUNCTIONALS: dict[str, Any] = {
    "set": "functionals",
    "encoder": "none",
    "attention": "mean",
    "embedding_dim": 128,
    "embedding_dropout": 0.5,
}
CNN: dict[str, Any] = {
    "set": "logmel",
    "encoder": "cnn",
    "attention": "statistics",
    "embedding_dim": 128,
    "embedding_dropout": 0.3,
}
QUICK = {"epochs": 20, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.05}
LONG = {"epochs": 20, "batch_size": 16, "learning_rate": 2e-3, "weight_decay": 0.05}
SPEC = {
    "time_masks": 1, "time_mask": 0.15, "band_masks": 1, "band_mask": 6, "band_shift": 1,
    "gain": 0.3, "speed": 0.1,
}  # fmt: skip
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "no label smoothing": {"optim": {**QUICK, "label_smoothing": 0.0}},
    "noise": {"augment": {"audio_noise": 1.0, "video_noise": 0.3}},
    "mixup": {"augment": {"mixup": 0.4}},
    "dropped modality": {"augment": {"drop_modality": 0.2}},
}
ALL: dict[str, Any] = {
    "augment": {"audio_noise": 1.0, "video_noise": 0.3, "mixup": 0.4, "drop_modality": 0.2},
    "optim": {**QUICK, "epochs": 30},
}


def systems() -> dict[str, dict[str, Any]]:
    """Every system of the table: name -> its settings."""
    concat = {"video": AU, "audio": FUNCTIONALS, "fusion": CONCAT}
    plain = {"embedding_dim": 0, "embedding_dropout": 0.0}
    table: dict[str, dict[str, Any]] = {
        "action units": {"video": AU, "fusion": {"kind": "video"}},
        "sound": {"audio": FUNCTIONALS, "fusion": {"kind": "audio"}},
        "concatenation": concat,
        "late": {**concat, "fusion": {"kind": "late"}},
        "FBP as in the papers": {
            "video": {**AU, **plain}, "audio": {**FUNCTIONALS, **plain}, "fusion": {"kind": "fbp"}
        },
        "FBP with factor biases": {
            "video": {**AU, **plain},
            "audio": {**FUNCTIONALS, **plain},
            "fusion": {"kind": "fbp", "factor_bias": True},
        },
        "FBP of embeddings": {**concat, "fusion": {"kind": "fbp"}},
    }  # fmt: skip
    for name in ("concatenation", "FBP of embeddings"):
        table[f"{name}, all augmentations"] = {**table[name], **ALL}
    speaker = {"normalise": "per-speaker"}
    for name in ("action units", "sound", "concatenation, all augmentations"):
        table[f"transductive: {name}"] = merge(table[name], {"video": speaker, "audio": speaker})
    for name, change in AUGMENTATIONS.items():
        table[f"concatenation, {name}"] = {**concat, **change}
    for attention in ("mean", "self", "relation", "transformer", "statistics"):
        audio = {**FUNCTIONALS, "set": "windows", "attention": attention}
        table[f"windows, {attention}, concatenation"] = {**concat, "audio": audio}
    sound = {"audio": CNN, "fusion": {"kind": "audio"}}
    table["CNN, sound"] = {**sound, "augment": SPEC, "optim": LONG}
    return {name: merge({"optim": QUICK}, system) for name, system in table.items()}


# What the ensembles are made of comes first.
URGENT = (
    "action units", "sound", "concatenation", "concatenation, all augmentations",
    "FBP of embeddings, all augmentations", "transductive: action units", "transductive: sound",
    "transductive: concatenation, all augmentations",
)  # fmt: skip
ENSEMBLES = {
    "ensemble: concatenation and FBP": (
        "concatenation, all augmentations", "FBP of embeddings, all augmentations",
    ),
    "product: action units and sound": ("action units", "sound"),
    "product of five and the network": (*FIVE, "CNN, sound"),
}  # fmt: skip


def aligned_heads() -> dict[str, dict[str, Any]]:
    """The heads on aligned sound, whose features are normalised before they see them."""
    plain = {"video": {"normalise": "none"}, "audio": {"normalise": "none"}}
    both = {"video": AU, "audio": FUNCTIONALS, "fusion": CONCAT, **ALL}
    sound = {"audio": FUNCTIONALS, "fusion": {"kind": "audio"}, **ALL}
    sound["augment"] = {"audio_noise": 1.0, "mixup": 0.4}
    return {
        "head, both": merge(both, plain),
        "head, aligned sound": merge(sound, plain),
    }


def ablations() -> dict[str, dict[str, Any]]:
    """The head on both, with one augmentation, none, or another fusion."""
    both = aligned_heads()["head, both"]
    bare = {**both, "augment": {}}
    table = {"head, both, no augmentation": bare}
    sharp = {**both["optim"], "label_smoothing": 0.0}
    table["head, both, no augmentation, no label smoothing"] = {**bare, "optim": sharp}
    for name, part in AUGMENTATIONS.items():
        if "augment" in part:
            table[f"head, both, {name} alone"] = {**bare, **part}
    return table | {
        "head, FBP of embeddings": {**both, "fusion": {"kind": "fbp"}},
        "head, late": {**both, "fusion": {"kind": "late"}},
    }


def run_folder(work: Path, name: str) -> Path:
    """Return the run folder of a system."""
    return work / "runs" / re.sub(r"[^a-zA-Z]+", "-", name)


def is_finished(folder: Path) -> bool:
    """Say whether a run is whole."""
    try:
        read_run(folder)
    except RunError:
        return False
    return True


def train_system(name: str, values: Mapping[str, Any], manifest: Manifest, work: Path) -> Path:
    """Train a system's folds and seeds; a finished run of the same settings is kept."""
    folder = run_folder(work, name)
    seeds = SEEDS if name in URGENT else 1
    run_experiment(
        manifest,
        work / "cache",
        settings_from(TrainSettings, values),
        folder,
        Protocol(folds=FOLDS, num_seeds=seeds),
        preset=name,
        threads=1,
        keep=True,
    )
    return folder


def describe_all(results: Mapping[str, Sequence[Predictions]]) -> list[dict[str, Any]]:
    """Figures of every system, with its accuracy in each fold."""
    lines = []
    for name, members in results.items():
        together = mean_predictions(members)
        folds = [
            measure(part.labels, part.predictions, part.classes).accuracy
            for part in split_folds(together)
        ]
        lines.append({"system": name, **describe(members), "folds": folds})
    return lines


def format_all(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write what ``describe_all`` returns as a Markdown table."""
    header = ["system", "ensemble %", "seeds %", "UAR", "folds %"]
    rows = [
        [line["system"], *accuracy_cells(line), ", ".join(percent(f) for f in line["folds"])]
        for line in lines
    ]
    return markdown(header, rows)


def multiply(members: Sequence[Predictions]) -> Predictions:
    """The product of the members' probabilities, as when each brings evidence of its own."""
    places = [{clip: i for i, clip in enumerate(member.clips)} for member in members]
    rows = [[place[clip] for clip in members[0].clips] for place in places]
    logs = np.sum(
        [
            np.log(np.maximum(member.probabilities[own], 1e-9))
            for member, own in zip(members, rows, strict=True)
        ],
        axis=0,
    )
    product = np.exp(logs - np.max(logs, axis=1, keepdims=True))
    return replace(members[0], probabilities=product / product.sum(axis=1, keepdims=True))


def split_folds(table: Predictions) -> list[Predictions]:
    """The rows of each fold."""
    numbers = sorted({number for number in table.folds if number is not None})
    clips = [{c for c, f in zip(table.clips, table.folds, strict=True) if f == n} for n in numbers]
    return [keep(table, part) for part in clips]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder to work in.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="JSON file.")
@click.option("--aligned", is_flag=True, help="Only the systems on aligned sound.")
@click.option("--only", multiple=True, help="Only these of the systems on whole clips.")
@click.option("--finished", is_flag=True, help="Of those on whole clips report the trained ones.")
def main(
    data: Path, work: Path, out: Path, aligned: bool, only: tuple[str, ...], finished: bool
) -> None:
    """Measure every system in six folds of speakers."""
    machine = describe_machine()
    path = prepare(data, work)
    results: dict[str, list[Predictions]] = {}
    weights: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if not aligned:
        import_sets(path, work)
        settings = systems()
        results = whole_clips(path, work, only, finished=finished)
    if not only:
        settings |= aligned_heads() | ablations()
        takes = read_takes(path, work, LABELS)
        found, weights = aligned_systems(
            takes, LABELS, work / "aligned", aligned_heads(), range(SEEDS), ablations()
        )
        results |= found
    for name, parts in ENSEMBLES.items():
        if all(part in results for part in parts):
            members = [mean_predictions(results[part]) for part in parts]
            combine = multiply if name.startswith("product") else mean_predictions
            results[name] = [combine(members)]
    lines = describe_all(results)
    click.echo(format_all(lines))
    out.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "settings": settings, "results": lines, **weights}
    out.write_text(json.dumps(content, indent=1) + "\n")


def whole_clips(
    path: Path, work: Path, only: Sequence[str], *, finished: bool
) -> dict[str, list[Predictions]]:
    """Train the heads on features of whole clips, those first that ensembles are made of."""
    manifest = read_manifest(path, check_files=False)
    results = {}
    for name, values in sorted(systems().items(), key=lambda item: item[0] not in URGENT):
        if (only and name not in only) or (finished and not is_finished(run_folder(work, name))):
            continue
        run = train_system(name, values, manifest, work)
        results[name] = list(read_members(read_run(run)).values())
        click.echo(json.dumps(describe_all({name: results[name]})[0]))
    return results


if __name__ == "__main__":
    main()
