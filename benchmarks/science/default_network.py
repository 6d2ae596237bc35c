"""Answers of the default network alone on labelled clips: a demonstration, no accuracy.

    python -m benchmarks.science.default_network MANIFEST [--cache FOLDER] [--compare]
        [-o FILE.json] [--docs docs/default-network.md]

Prints a table in markdown, and puts it between the marks of a page. The faces stay in the cache, so
that another network is asked in a fraction of the time. ``--compare`` also counts what other
framings and more detail would change; nothing was chosen by it, see ``benchmarks.science.framing``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, write_result
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS
from extractors.weights.class_names import SEVEN
from pipeline.extract.settings import StageOneSettings
from pipeline.faces.settings import CropSettings
from pipeline.predict.by_default import Answers, ask_default_network

BEGIN, END = "<!-- begin: clips -->", "<!-- end: clips -->"
BASIC = NetworkSettings(views=VIEW_SETS["basic"])
SHARP = NetworkSettings(views=VIEW_SETS["basic"], detail=4096)
VARIANTS = {
    "as shipped": StageOneSettings(network=BASIC),
    "the papers' framing (extend 0.3, lift 0)": StageOneSettings(
        network=BASIC, crops=CropSettings(framing="given")
    ),
    "tighter (extend 0.05, lift 0)": StageOneSettings(
        network=BASIC, crops=CropSettings(extend=0.05)
    ),
    "all the detail of the crop": StageOneSettings(network=SHARP),
    "in colour": StageOneSettings(network=NetworkSettings(views=VIEW_SETS["basic"], colour="rgb")),
}


def compare_labels(clips: list[Clip], answers: Answers) -> list[dict[str, Any]]:
    """One row per clip: its label, the answer, and whether they agree."""
    rows = []
    for clip, answer in zip(clips, answers.videos, strict=True):
        known = clip.label in SEVEN
        rows.append(
            {
                "clip": clip.id,
                "label": clip.label,
                "prediction": answer.prediction,
                "probability": (
                    None
                    if answer.probabilities is None
                    else round(answer.probabilities[answer.prediction or ""], 3)
                ),
                "of_label": (
                    round(answer.probabilities[str(clip.label)], 3)
                    if answer.probabilities and known
                    else None
                ),
                "frames": len(answer.curve.times),
                "frames_with_face": int(answer.curve.has_face.sum()),
                "right": answer.prediction == clip.label if known else None,
            }
        )
    return rows


def count_right(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """Count the right ones among the clips whose label is one of the seven."""
    counted = [row["right"] for row in rows if row["right"] is not None]
    return sum(counted), len(counted)


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a markdown table."""
    words = {True: "right", False: "wrong", None: "not one of the seven"}
    lines = [
        "| clip | label | answer | its probability | that of the label | frames with a face | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        chances = ["" if row[k] is None else f"{row[k]:.2f}" for k in ("probability", "of_label")]
        lines.append(
            f"| {row['clip']} | {row['label']} | {row['prediction'] or 'none'} | {chances[0]} | "
            f"{chances[1]} | {row['frames_with_face']} of {row['frames']} | {words[row['right']]} |"
        )
    return "\n".join(lines)


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True))
@click.option("--cache", type=click.Path(path_type=Path), help="Cache in which the faces stay.")
@click.option("--compare", is_flag=True, help="Also count its answers on other crops.")
@click.option("-o", "--out", type=click.Path(path_type=Path))
@click.option(
    "--docs",
    type=click.Path(path_type=Path, exists=True),
    help="Page to update.",
)
def main(
    manifest: Path, cache: Path | None, compare: bool, out: Path | None, docs: Path | None
) -> None:
    """Ask the default network about every clip of MANIFEST and hold it against the labels."""
    if cache is None:
        with tempfile.TemporaryDirectory() as folder:
            result, text = ask(manifest, Path(folder), compare)
    else:
        result, text = ask(manifest, cache, compare)
    click.echo(text)
    if out:
        write_result(out, result)
    if docs:
        before, rest = docs.read_text(encoding="utf-8").split(BEGIN)
        docs.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def ask(manifest: Path, cache: Path, compare: bool) -> tuple[dict[str, Any], str]:
    """Ask with the shipped settings, and with others; return the figures and their markdown."""
    machine = describe_machine()
    clips = [clip for clip in read_manifest(manifest).clips if clip.label]
    result: dict[str, Any] = {"machine": machine}
    lines: list[str] = []
    for name, settings in VARIANTS.items() if compare else [*VARIANTS.items()][:1]:
        started = time.monotonic()
        answers = ask_default_network([c.path for c in clips], settings=settings, cache=cache)
        rows = compare_labels(clips, answers)
        right, count = count_right(rows)
        seconds = round(time.monotonic() - started, 1)
        if name == "as shipped":
            result |= {"note": answers.note, "weights": answers.digest, "seconds": seconds}
            result |= {"right": right, "of": count, "clips": rows, "variants": {}}
            lines += [format_rows(rows), "", f"**{right} of {count}** agree. {answers.note}"]
        else:
            result["variants"][name] = {
                "right": right,
                "predictions": [row["prediction"] for row in rows],
            }
            first = [row["prediction"] for row in result["clips"]]
            moved = sum(row["prediction"] != was for row, was in zip(rows, first, strict=True))
            lines += ["", f"* {name}: {right} of {count} agree; {moved} answers differ"]
    return result, "\n".join(lines)


if __name__ == "__main__":
    main()
