"""AFEW 7 from other teams' scores: every attention and fusion, chosen inside the training clips.

    python -m benchmarks.science.afew --data ../shared/data --work FOLDER -o FILE.json

Video is LISA's 7 scores of every face and frame, audio LISA's 7 scores of a clip. What decides
which clip may be used for what, and why, stands in docs/results.md. An interrupted call goes on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.science.afew_classical import WAYS, as_predictions, choose_way, fuse
from benchmarks.science.tables import (
    accuracy_cells,
    describe,
    describe_gain,
    gain_cell,
    import_set,
    keep,
    markdown,
)
from cache.manifest.clip import Clip
from cache.manifest.manifest import Manifest, read_manifest
from cache.settings import merge, settings_from
from trainer.data.corpus import Corpus, load_available
from trainer.data.folds import deal_by_label
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import read_members, read_run
from trainer.runs.predictions import Predictions, mean_predictions
from trainer.settings import TrainSettings
from trainer.training.train import train_head

CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
SEEDS = 10
INNER_FOLDS = 5
SMALLEST = 1e-4  # of a score before its logarithm
LEARNING_RATES = (1e-2, 3e-2)
MOST_EPOCHS = 40
EIGHT = "4 LR and 4 SVM"
# How a head sees the scores: chosen with the learning rate.
FORMS: dict[str, dict[str, Any]] = {
    "log": {
        "video": {"set": "faces-log", "normalise": "standard"},
        "audio": {"set": "sound-log", "normalise": "standard"},
    },
    "plain": {
        "video": {"set": "faces", "normalise": "none"},
        "audio": {"set": "sound", "normalise": "none"},
    },
}
ATTENTIONS: dict[str, dict[str, Any]] = {
    "mean": {"attention": "mean"},
    "self": {"attention": "self"},
    "relation": {"attention": "relation"},
    "transformer": {"attention": "transformer", "hidden_dim": 32, "pooled": "unreduced"},
    "deep-fusion, lambda 0": {"attention": "transformer", "hidden_dim": 32, "scale": 0.0},
    "deep-fusion, lambda 1": {"attention": "transformer", "hidden_dim": 32, "scale": 1.0},
}
FBP: dict[str, Any] = {"kind": "fbp", "out_dim": 32, "rank": 4, "dropout": 0.3}
COMMON: dict[str, Any] = {
    "audio": {"encoder": "none", "attention": "mean"},
    "optim": {"batch_size": 32, "schedule": "constant", "label_smoothing": 0.0},
}


def systems() -> dict[str, dict[str, Any]]:
    """Every system of the table: name -> the settings in which it differs."""
    table: dict[str, dict[str, Any]] = {"audio only": {"fusion": {"kind": "audio"}}}
    for fusion, how in (("video only", "video"), ("concatenation", "concat")):
        for attention, pooling in ATTENTIONS.items():
            table[f"{fusion}, {attention}"] = {"video": pooling, "fusion": {"kind": how}}
    for attention, pooling in ATTENTIONS.items():
        table[f"FBP, {attention}"] = {"video": pooling, "fusion": FBP}
    table["FBP with factor biases, self"] = {
        "video": ATTENTIONS["self"],
        "fusion": {**FBP, "factor_bias": True},
    }
    embedding = {"embedding_dim": 32, "embedding_dropout": 0.3}
    table["FBP of embeddings, self"] = {
        "video": {**ATTENTIONS["self"], **embedding},
        "audio": embedding,
        "fusion": FBP,
    }
    table["late, self"] = {"video": ATTENTIONS["self"], "fusion": {"kind": "late"}}
    return table


def prepare(data: Path, work: Path) -> dict[str, dict[str, str]]:
    """Write the manifests and import the scores; return the table's rows of AFEW 7."""
    with (data / "afew_scores" / "afew_scores.csv").open(newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file) if row["split_afew7"]}
    work.mkdir(parents=True, exist_ok=True)
    for name in ("all", "unseen"):
        with (work / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["clip", "path", "label", "split"])
            for clip, row in rows.items():
                if name == "all" or row["split_afew7"] == "val" or is_unseen(row):
                    writer.writerow([clip, f"{clip}.avi", row["label_afew7"], row["split_afew7"]])
    frames = np.load(data / "afew_scores" / "afew_frames.npz")
    faces = {clip: frames[clip] for clip in frames.files}
    log_faces = {c: np.concatenate([t[:, :2], log(t[:, 2:])], axis=1) for c, t in faces.items()}
    # LISA's audio model was fitted to AFEW 2013's training clips: its scores there are no
    # measurement, so those clips count as clips without sound.
    heard = [c for c, r in rows.items() if r["lisa_audio_Angry"] and r["split_afew2013"] != "train"]
    sound = np.array([[rows[c][f"lisa_audio_{n}"] for n in CLASSES] for c in heard], np.float32)
    times = ("--columns", "2:9", "--time-column", "0", "--rate", "25", "--first-frame", "1")
    for name, tables in (("faces", faces), ("faces-log", log_faces)):
        np.savez(work / f"{name}.npz", **tables)
        source = work / f"{name}.npz"
        import_set(work, work / "all.csv", name, source, *times, "--same-time", "mean")
    for name, values in (("sound", sound), ("sound-log", log(sound))):
        np.savez(work / f"{name}.npz", clip=np.array(heard), values=values)
        import_set(work, work / "all.csv", name, work / f"{name}.npz")
    return rows


def is_unseen(row: Mapping[str, str]) -> bool:
    """Say whether a row is a training clip that LISA's models were not fitted to, with scores."""
    return row["split_afew7"] == "train" and row["split_afew2013"] in ("test", "val")


def log(scores: np.ndarray) -> np.ndarray:
    """Logarithm of scores, of which some are 0."""
    result: np.ndarray = np.log(np.maximum(scores, SMALLEST))
    return result


def cross_validate(
    corpus: Corpus, unseen: Sequence[int], others: Sequence[int], settings: TrainSettings
) -> tuple[int, float, float]:
    """Find the number of epochs of lowest loss by cross-validation on training clips.

    Args:
        corpus: the features.
        unseen: the training clips that stand in for new ones.
        others: training clips that are only trained on.
        settings: the head and its training.

    Returns:
        The epochs, and loss and accuracy after so many.
    """
    names = [(corpus.clip_ids[i], corpus.classes[corpus.labels[i]]) for i in unseen]
    clips = [Clip(clip, Path(clip), label) for clip, label in names]
    turns = np.array(deal_by_label(clips, INNER_FOLDS, 0))
    index = np.array(unseen)
    losses, accuracies = np.zeros(MOST_EPOCHS), np.zeros(MOST_EPOCHS)
    for fold in range(INNER_FOLDS):
        held = index[turns == fold]
        train = np.sort(np.concatenate([index[turns != fold], others])).astype(int)
        head = train_head(corpus, train, settings, validation_clips=held)
        losses += np.array([e.validation_loss for e in head.history]) * len(held)
        accuracies += np.array([e.validation_accuracy for e in head.history]) * len(held)
    best = int(losses.argmin())
    return best + 1, losses[best] / len(index), accuracies[best] / len(index)


def choose(values: Mapping[str, Any], manifest: Manifest, cache: Path, unseen: set[str]) -> Any:
    """Choose a system's scores, training clips, learning rate and epochs inside the training clips.

    Returns:
        The choice, that of lowest cross-validated loss, and all candidates.
    """
    kind = values["fusion"]["kind"]
    labels = {c.id: c.label or "" for c in manifest.clips if c.split == "train"}
    candidates = []
    for form, sets in FORMS.items():
        plain = settings_from(TrainSettings, merge(values, sets))
        corpus = load_available(cache, labels, plain, classes=CLASSES).corpus
        has = np.logical_or.reduce([corpus.has(m) for m in plain.modalities])
        inner = [i for i, c in enumerate(corpus.clip_ids) if has[i] and c in unseen]
        rest = [i for i, c in enumerate(corpus.clip_ids) if has[i] and c not in unseen]
        for clips in ("all",) if kind == "video" else ("all", "unseen"):
            for rate in LEARNING_RATES:
                optim = {"learning_rate": rate, "epochs": MOST_EPOCHS}
                settings = settings_from(
                    TrainSettings, merge(merge(values, sets), {"optim": optim})
                )
                epochs, loss, accuracy = cross_validate(
                    corpus, inner, rest if clips == "all" else [], settings
                )
                candidates.append(
                    {
                        "form": form, "clips": clips, "learning_rate": rate, "epochs": epochs,
                        "loss": round(float(loss), 4), "accuracy": round(float(accuracy), 4),
                    }
                )  # fmt: skip
    return {**min(candidates, key=lambda c: c["loss"]), "candidates": candidates}


def train_system(
    name: str, values: Mapping[str, Any], work: Path, unseen: set[str]
) -> tuple[Path, dict[str, Any]]:
    """Choose a system's training inside the training clips, then train its seeds on all of them."""
    slug = name.replace(", ", "-").replace(" ", "_")
    folder, choice = work / "runs" / slug, work / "choices" / f"{slug}.json"
    if not choice.exists():
        manifest = read_manifest(work / "all.csv", check_files=False)
        chosen = choose(values, manifest, work / "cache", unseen)
        choice.parent.mkdir(parents=True, exist_ok=True)
        choice.write_text(json.dumps(chosen, indent=2))
    chosen = json.loads(choice.read_text())
    if not (folder / "metrics.json").exists():
        optim = {"learning_rate": chosen["learning_rate"], "epochs": chosen["epochs"]}
        changed = merge(merge(values, FORMS[chosen["form"]]), {"optim": optim})
        run_experiment(
            read_manifest(work / f"{chosen['clips']}.csv", check_files=False),
            work / "cache",
            settings_from(TrainSettings, changed),
            folder,
            Protocol(report_on="val", num_seeds=SEEDS),
            preset=name,
            threads=1,
            overwrite=folder.exists(),
        )
    return folder, chosen


def complete(
    found: Predictions, spare: Predictions, labels: Mapping[str, str], usual: str
) -> Predictions:
    """Give every validation clip a prediction.

    Args:
        found: what a system says of the clips that it has features of.
        spare: what the system of the sound alone says, for clips without a face.
        labels: every validation clip and its label.
        usual: the training clips' most frequent class, for clips without face and sound.
    """
    rows = dict(zip(spare.clips, spare.probabilities, strict=True))
    rows |= dict(zip(found.clips, found.probabilities, strict=True))
    prior = np.array([float(name == usual) for name in found.classes])
    clips = tuple(sorted(labels))
    return Predictions(
        classes=found.classes,
        clips=clips,
        labels=tuple(labels[clip] for clip in clips),
        probabilities=np.array([rows.get(clip, prior) for clip in clips]),
        folds=(None,) * len(clips),
        splits=("val",) * len(clips),
        modalities=("audio+video",) * len(clips),
    )


def classical(work: Path, unseen: set[str]) -> tuple[dict[str, list[Predictions]], Any]:
    """The eight fixed classifiers, without and with sound, on all training clips with a face.

    Returns:
        The systems' predictions, and how their ways did in cross-validation.
    """
    manifest = read_manifest(work / "all.csv", check_files=False)
    values = merge(merge(COMMON, FORMS["log"]), {"fusion": {"kind": "concat"}})
    labels = {c.id: c.label or "" for c in manifest.clips}
    settings = settings_from(TrainSettings, values)
    corpus = load_available(work / "cache", labels, settings, classes=CLASSES).corpus
    split = {c.id: c.split for c in manifest.clips}
    faces = np.flatnonzero(corpus.has("video"))
    train = np.array([i for i in faces if split[corpus.clip_ids[i]] == "train"])
    test = np.array([i for i in faces if split[corpus.clip_ids[i]] == "val"])
    inner = [i for i in train if corpus.clip_ids[i] in unseen]
    ways = choose_way(corpus, inner, [i for i in train if corpus.clip_ids[i] not in unseen])
    found = {
        f"video only, {EIGHT}: {length}": fuse(corpus, train, test, None, long=length == "long")
        for length in ("short", "long")
    }
    for way in WAYS:
        weight = next(line["weight"] for line in ways if line["way"] == way)
        found[f"{EIGHT}: {way}"] = fuse(corpus, train, test, way, weight)
    return {name: [as_predictions(corpus, test, part)] for name, part in found.items()}, ways


def members_of(run: Path) -> list[Predictions]:
    """The predictions of a run's seeds."""
    return list(read_members(read_run(run)).values())


def report(
    results: Mapping[str, Sequence[Predictions]], rows: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Figures of every system on the clips with both streams and on all, and the gain of sound."""
    validation = {c: r["label_afew7"] for c, r in rows.items() if r["split_afew7"] == "val"}
    heard = {c for c in validation if rows[c]["lisa_audio_Angry"]}
    both = {c for c in heard if rows[c]["lisa_visual_mean_Angry"]}
    trained = [r["label_afew7"] for r in rows.values() if r["split_afew7"] == "train"]
    usual = max(CLASSES, key=trained.count)
    spare = mean_predictions(results["audio only"])
    lines = []
    for name, members in results.items():
        with_both = [keep(m, both) for m in members]
        everywhere = [complete(m, spare, validation, usual) for m in members]
        line = {"system": name, "both": describe(with_both), "all": describe(everywhere)}
        fusion, _, pooling = name.partition(", ")
        without = f"video only, {pooling}"
        if name.startswith(EIGHT):
            without = f"video only, {name.partition(',')[0]}"
        if fusion != "video only" and without in results:
            before = mean_predictions([keep(m, both) for m in results[without]])
            line["gain"] = describe_gain(before, mean_predictions(with_both))
        lines.append(line)
    return lines


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown table of the report."""
    header = [
        "system", "327 clips with both: ensemble %", "seeds %", "UAR",
        "all 379: ensemble %", "seeds %", "gain over the same without sound (327), points",
    ]  # fmt: skip
    cells = [
        [
            line["system"],
            *accuracy_cells(line["both"]),
            *accuracy_cells(line["all"])[:2],
            gain_cell(line["gain"]) if "gain" in line else "",
        ]
        for line in lines
    ]
    return markdown(header, cells)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder to work in.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="JSON file.")
def main(data: Path, work: Path, out: Path) -> None:
    """Measure every system on AFEW 7's validation clips."""
    machine = describe_machine()
    rows = prepare(data, work)
    unseen = {clip for clip, row in rows.items() if is_unseen(row)}
    results: dict[str, list[Predictions]] = {}
    choices = {}
    for name, values in systems().items():
        run, choices[name] = train_system(name, merge(COMMON, values), work, unseen)
        best = {key: value for key, value in choices[name].items() if key != "candidates"}
        click.echo(f"{name}: {best}")
        results[name] = members_of(run)
    eight, choices[EIGHT] = classical(work, unseen)
    results |= eight
    click.echo(f"{EIGHT}: {choices[EIGHT]}")
    for fusion in ("video only", "concatenation", "FBP"):
        together = [mean_predictions(results[f"{fusion}, {pooling}"]) for pooling in ATTENTIONS]
        results[f"{fusion}, all poolings averaged"] = [mean_predictions(together)]
    lines = report(results, rows)
    click.echo(table(lines))
    out.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "seeds": SEEDS, "results": lines, "choices": choices}
    out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
