"""Accuracy of the default network: on stills, stills made to look like film, and film.

    python -m benchmarks.science.default_network [--weights FILE] [--ferplus DIR]
        [--clips MANIFEST] [--images NAME=FOLDER] [--faces NAME=FOLDER]
        [-o FILE.json] [--docs docs/default-network.md] [--state]

Everything is asked as `avfuse predict` asks: with the mirror image, at the file's temperature. A
folder has a folder of images for each class. Those of ``--images`` are whole pictures, whose faces
are found first; those of ``--faces`` are faces cut out already. Classes that are none of the seven
are left out. Nothing is chosen by any of these figures.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, write_result
from benchmarks.science.default_weights import as_if_filmed, load_part, state_metrics
from benchmarks.science.tables import markdown, percent
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.running.still_classifier import StillClassifier, load_still_classifier
from extractors.view_settings import PREDICTED_VIEWS, VIEW_SETS
from extractors.weights.class_names import SEVEN, name_class, name_classes
from extractors.weights.default import DEFAULT_FILES, DEFAULT_NETWORK
from pipeline.predict.answer import seven_of
from pipeline.predict.by_default import ask_default_network
from pipeline.predict.worth import NEUTRAL
from trainer.runs.metrics import measure
from trainer.stills.classifier import score_stills
from trainer.stills.images.image_files import is_image_name, open_rgb
from trainer.stills.images.stills import Stills

BEGIN, END = "<!-- begin: worth -->", "<!-- end: worth -->"
MAX_PIXELS = 64_000_000
VALID, FILM, TEST, NEW = "FER+ valid", "FER+ valid, as film", "FER+ test", "FER+ test, new faces"
CLIPS = "film and television, clips"


def figures(
    labels: Sequence[str], answers: Sequence[str], classes: Sequence[str], **more: Any
) -> dict[str, Any]:
    """Measure answers, and count those that are neutral beside the labels that are."""
    found = measure(labels, answers, classes).to_json()
    neutral = {"answered": answers.count(NEUTRAL), "labelled": labels.count(NEUTRAL)}
    return {"classes": list(classes), **found, "neutral": neutral, **more}


class Asked:
    """The default network's file at work on faces that are cut out already.

    Args:
        file: of its weights.
        views: of each face.
    """

    def __init__(self, file: Path, views: str = PREDICTED_VIEWS) -> None:
        self.classifier: StillClassifier = load_still_classifier(file)
        network = self.classifier.facts.network
        settings = NetworkSettings(views=VIEW_SETS[views])
        self.network: FaceNetwork = load_face_network(network, file, settings)

    def answer(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of faces: (N, S, S) grey or (N, S, S, 3) RGB."""
        rgb = np.repeat(crops[..., None], 3, axis=3) if crops.ndim == 3 else crops
        embeddings = self.network.extract(rgb)
        return self.classifier.classify(embeddings.get("mean", embeddings["basic"]))

    def measure_stills(self, stills: Stills) -> dict[str, Any]:
        """Measure answers about labelled faces, of all classes that the network has."""
        classes = self.classifier.classes
        if name_classes(stills.classes) != classes:
            raise click.ClickException(f"the file has the classes {', '.join(classes)}")
        labels = [classes[label] for label in stills.labels]
        shares = self.answer(stills.images)
        answers = [classes[row] for row in shares.argmax(axis=1)]
        return figures(labels, answers, classes, loss=score_stills(shares, stills.labels).loss)


def measure_ferplus(asked: Asked, folder: Path, *, test: bool) -> dict[str, dict[str, Any]]:
    """Measure FER+: its validation part, the same made to look like film, and its test part."""
    valid = load_part(folder, "valid").testable()
    rows = {VALID: asked.measure_stills(valid), FILM: asked.measure_stills(as_if_filmed(valid))}
    if test:
        learned = {image.tobytes() for image in load_part(folder, "train").images}
        stills = load_part(folder, "test").testable()
        new = [n for n, image in enumerate(stills.images) if image.tobytes() not in learned]
        rows[TEST] = asked.measure_stills(stills)
        rows[NEW] = asked.measure_stills(stills.select(np.array(new, dtype=np.int64)))
    return rows


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """List the images in the folders of the seven classes, and their labels."""
    found = [
        (path, name_class(path.parent.name.lower()))
        for path in sorted(folder.glob("*/*"))
        if is_image_name(path)
    ]
    known = [(path, label) for path, label in found if label in SEVEN]
    if not known:
        raise click.ClickException(f"{folder} has no folder of images called as a class")
    return [path for path, _ in known], [label for _, label in known]


def measure_faces(asked: Asked, folder: Path) -> dict[str, Any]:
    """Measure faces that are cut out already: square images, as the network takes them."""
    paths, labels = find_images(folder)
    images = [np.asarray(open_rgb(path, MAX_PIXELS)) for path in paths]
    answers = [""] * len(images)
    for shape in {image.shape for image in images}:  # those of one size at once
        where = [n for n, image in enumerate(images) if image.shape == shape]
        rows = seven_of(
            asked.answer(np.stack([images[n] for n in where])), asked.classifier.classes
        )
        for number, row in zip(where, rows, strict=True):
            answers[number] = SEVEN[row.argmax()]
    return figures(labels, answers, SEVEN)


def measure_images(folder: Path) -> dict[str, Any]:
    """Measure whole pictures; those without a face are counted apart."""
    paths, labels = find_images(folder)
    answers = [answer.prediction for answer in ask_default_network(paths).videos]
    seen = [(label, given) for label, given in zip(labels, answers, strict=True) if given]
    without = len(labels) - len(seen)
    return figures([a for a, _ in seen], [b for _, b in seen], SEVEN, without_face=without)


def measure_clips(manifest: Path, cache: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure clips whose label is one of the seven; list what was answered about each."""
    clips = [clip for clip in read_manifest(manifest).clips if clip.label in SEVEN]
    answers = ask_default_network([clip.path for clip in clips], cache=cache).videos
    listed = [_describe(clip, answer) for clip, answer in zip(clips, answers, strict=True)]
    seen = [row for row in listed if row["answer"]]
    found = figures([row["label"] for row in seen], [row["answer"] for row in seen], SEVEN)
    return found | {"without_face": len(listed) - len(seen)}, listed


def _describe(clip: Clip, answer: Any) -> dict[str, Any]:
    shares = answer.probabilities or {}
    return {
        "clip": clip.id,
        "label": clip.label,
        "answer": answer.prediction,
        "probability": round(max(shares.values(), default=0), 3),
        "of_label": round(shares.get(str(clip.label), 0), 3),
        "frames": len(answer.curve.times),
        "frames_with_face": int(answer.curve.has_face.sum()),
    }


def format_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the rows as a markdown table, with every recall, and the clips in words."""
    classes = (*SEVEN, "contempt")
    header = ("", "n", "right", "UAR", *classes, "neutral: said / is")
    lines = []
    for name, row in rows.items():
        low, high = row["interval"]
        recall = [percent(row["recall"].get(one)) for one in classes]
        right = f"**{percent(row['accuracy'])} %** [{percent(low)}, {percent(high)}]"
        neutral = f"{row['neutral']['answered']:,} / {row['neutral']['labelled']:,}"
        lines.append([name, f"{row['n']:,}", right, percent(row["uar"]), *recall, neutral])
    table = markdown(header, lines)
    if film := rows.get(CLIPS):
        table += f"\nFilm and television: **{film['correct']} of {film['n']}** clips. So few are a "
        table += "demonstration, not an accuracy.\n"
    return table


@click.command()
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Another file.")
@click.option("--ferplus", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--views", type=click.Choice(list(VIEW_SETS)), default=PREDICTED_VIEWS, show_default=True
)
@click.option("--no-test", is_flag=True, help="Leave FER+ test alone.")
@click.option("--clips", type=click.Path(path_type=Path, exists=True), help="Manifest of clips.")
@click.option("--images", multiple=True, metavar="NAME=FOLDER", help="Whole pictures.")
@click.option("--faces", multiple=True, metavar="NAME=FOLDER", help="Faces, cut out already.")
@click.option("-o", "--out", type=click.Path(path_type=Path))
@click.option("--docs", type=click.Path(path_type=Path, exists=True), help="Page to update.")
@click.option("--state", is_flag=True, help="State the figures in the file's header and its card.")
def main(
    weights: Path | None,
    ferplus: Path | None,
    views: str,
    no_test: bool,
    clips: Path | None,
    images: tuple[str, ...],
    faces: tuple[str, ...],
    out: Path | None,
    docs: Path | None,
    state: bool,
) -> None:
    """Measure the default network."""
    file = DEFAULT_FILES[DEFAULT_NETWORK] = weights or DEFAULT_FILES[DEFAULT_NETWORK]
    started = time.monotonic()
    result: dict[str, Any] = {"machine": describe_machine()}
    asked = Asked(file, views)
    facts = asked.classifier.facts
    rows = measure_ferplus(asked, ferplus, test=not no_test) if ferplus else {}
    for name, folder in (text.split("=", 1) for text in faces):
        rows[name] = measure_faces(asked, Path(folder))
    for name, folder in (text.split("=", 1) for text in images):
        rows[name] = measure_images(Path(folder))
    listed: list[dict[str, Any]] = []
    if clips:
        with tempfile.TemporaryDirectory() as cache:
            rows[CLIPS], listed = measure_clips(clips, Path(cache))
    result |= {
        "network": facts.network,
        "views": views,
        "weights": asked.network.weights_digest,
        "temperature": facts.temperature,
        "logit_bias": list(facts.logit_bias),
        "seconds": round(time.monotonic() - started, 1),
        "rows": rows,
        "film": describe_film(rows[CLIPS]) if clips else None,
        "clips": listed,
    }
    table = format_table(rows)
    click.echo(table)
    if state:
        state_metrics(file, header_metrics(rows))
    if out:
        write_result(out, result)
    if docs:
        before, rest = docs.read_text(encoding="utf-8").split(BEGIN)
        docs.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def describe_film(row: Mapping[str, Any]) -> dict[str, Any]:
    """State of clips what a weight file does; see ``pipeline.predict.worth``."""
    return {
        "right": row["correct"],
        "clips": row["n"],
        "interval": row["interval"],
        "neutral_answered": row["neutral"]["answered"],
        "neutral_labelled": row["neutral"]["labelled"],
    }


def header_metrics(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Choose the figures that a weight file states of itself.

    Raises:
        click.ClickException: a part that it states was not measured.
    """
    lacking = [name for name in (TEST, NEW, VALID, FILM, CLIPS) if name not in rows]
    if lacking:
        raise click.ClickException(
            f"--state needs {', '.join(lacking)}: pass --ferplus and --clips"
        )
    kept = ("accuracy", "interval", "uar", "recall", "confusion")
    stated = {
        name: {"num_images": rows[name]["n"], **{key: rows[name][key] for key in kept}}
        for name in (TEST, NEW, VALID, FILM)
    }
    return {
        "split": TEST,
        **stated[TEST],
        "new": stated[NEW],
        "valid": stated[VALID],
        "as_film": stated[FILM],
        "film": describe_film(rows[CLIPS]),
    }


if __name__ == "__main__":
    main()
