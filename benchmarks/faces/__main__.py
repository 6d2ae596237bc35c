"""Recall, precision, right person and tracks of the faces found, against labels made by hand.

    python -m benchmarks.faces [CLIPS...] [--data FOLDER] [--set faces.x=y] [--faults] [-o FILE]
        [--variant half|mirrored|sparse|dark]

``CLIPS`` are names as the labels have them or their folders (``labelled/dfew_sad.mp4``, ``faces``),
all by default. ``benchmarks/faces/metrics.py`` says what each figure means. The table's columns, in
percent: labelled faces found, the same of those that the independent reference sees; boxes that
hold a face (all, seen, followed, chosen); frames with an empty box; frames whose chosen face is the
clip's own person, or another; purity of the tracks. Then tracks per person, tracks, doubled boxes,
flickers; frames, those with a box, with a seen one, with a face to plain dlib and to YuNet; frames
per second of processor time, decoding and search together. A variant shows the same clips in
another size, brightness or rate, beside which there are no counts of dlib and YuNet.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks.faces.labels import ClipLabels, read_labels
from benchmarks.faces.metrics import Counts, add_up, measure
from benchmarks.faces.plain import FILE, Plain, read_plain
from benchmarks.faces.variants import AS_IS, VARIANTS, Variant
from benchmarks.machine import describe_machine, write_result
from cache.digest import digest_file
from cache.settings import parse_overrides, settings_from
from pipeline.choice.choice import choose_faces
from pipeline.faces.identity import Recogniser
from pipeline.faces.recogniser import find_recogniser, load_recogniser
from pipeline.faces.search import track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BoxSource, is_seen
from pipeline.media.frames import VideoReader

PERCENT = (
    ("found", "recall"),
    ("of ref", "recall_of_reference"),
    ("true", "precision"),
    ("seen", "precision_seen"),
    ("follow", "precision_followed"),
    ("chosen", "precision_chosen"),
    ("empty", "frames_with_empty"),
    ("right", "right_person"),
    ("other", "other_person"),
    ("pure", "purity"),
)
OTHERS = ("tr/per", "tracks", "double", "flick", "frames", "face", "seen", "dlib", "YuNet", "fr/s")
HEADER = f"{'(first ten columns: %)':34s}" + "".join(
    f"{title:>7}" for title in (*(title for title, _ in PERCENT), *OTHERS)
)


@dataclass(frozen=True)
class Measured:
    """Figures of one clip: against the labels, and beside detectors asked in every frame.

    ``with_face`` and ``with_seen`` count the frames that have a box, and one that a detector saw.
    """

    counts: Counts
    plain: Plain | None
    frames: int
    with_face: int
    with_seen: int
    seconds: float

    @property
    def faults(self) -> list[str]:
        """Faults of the clip, in words."""
        if self.plain is None or self.with_face >= self.plain.dlib:
            return self.counts.faults
        fewer = f"a face in {self.with_face} frames, plain dlib in {self.plain.dlib}"
        return [*self.counts.faults, fewer]


def run(
    path: Path,
    labels: ClipLabels,
    settings: FaceSettings,
    variant: Variant,
    plain: Plain | None,
    recogniser: Recogniser | None,
) -> Measured:
    """Find the faces of one clip as ``avfuse extract`` does, and measure them."""
    started = time.process_time()
    found = track_faces(variant.frames(VideoReader(path)), settings, recogniser=recogniser)
    seconds = time.process_time() - started
    chosen = choose_faces(found, settings.policy, switch_seconds=settings.switch_seconds)
    counts = measure(found, chosen, variant.labels(labels))
    seen = np.unique(found.tracks.frame[is_seen(found.tracks.rung)])
    with_face = int((found.rung != BoxSource.WHOLE).sum())
    return Measured(counts, plain, len(found.times), with_face, len(seen), seconds)


def figures(clips: list[Measured]) -> dict[str, Any]:
    """Return the figures of one clip or of several together, as the result file has them."""
    counts = add_up(each.counts for each in clips)
    frames = sum(each.frames for each in clips)
    seconds = sum(each.seconds for each in clips)
    result = {
        name: None if share is None else round(share, 4) for name, share in counts.shares().items()
    } | {
        "frames_per_second": round(frames / seconds, 1),
        "frames": frames,
        "with_face": sum(each.with_face for each in clips),
        "with_seen": sum(each.with_seen for each in clips),
        "counts": {name: value for name, value in asdict(counts).items() if name != "faults"},
    }
    plain = [each.plain for each in clips if each.plain]
    if plain:
        result |= {
            "times_plain_dlib": round(sum(each.dlib_seconds for each in plain) / seconds, 1),
            "with_face_of_dlib": sum(each.dlib for each in plain),
            "with_face_of_yunet": sum(each.yunet for each in plain),
            "clips_with_fewer_than_dlib": sum(
                each.with_face < each.plain.dlib for each in clips if each.plain
            ),
        }
    return result


def show(name: str, values: dict[str, Any]) -> str:
    """Return a row of the table that ``HEADER`` heads."""
    shares = (
        "      -" if values[key] is None else f"{100 * values[key]:7.1f}" for _, key in PERCENT
    )
    tracks, counts = values["tracks_per_person"], values["counts"]
    return (
        f"{name:34s}{''.join(shares)}{'-' if tracks is None else f'{tracks:.1f}':>7}"
        f"{counts['tracks']:7d}{counts['doubled']:7d}{counts['flickers']:7d}{values['frames']:7d}{values['with_face']:7d}"
        f"{values['with_seen']:7d}{values.get('with_face_of_dlib', '-'):>7}"
        f"{values.get('with_face_of_yunet', '-'):>7}{values['frames_per_second']:7.0f}"
    )


@click.command()
@click.argument("clips", nargs=-1)
@click.option(
    "--data",
    envvar="AVFUSE_TEST_DATA",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose clips/ holds the labelled clips; AVFUSE_TEST_DATA by default.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="faces.NAME=VALUE", help="Another setting."
)
@click.option("--faults", is_flag=True, help="List every missed face and empty box.")
@click.option(
    "--plain",
    default=FILE,
    type=click.Path(path_type=Path),
    help="File of the detectors' own counts; a new one times dlib in turn with the search.",
)
@click.option("--variant", type=click.Choice(list(VARIANTS)), help="The clips in another picture.")
@click.option("--identity/--no-identity", default=True, help="Embed faces, and join tracks by it.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON with every figure.")
def main(
    clips: tuple[str, ...], data: Path, overrides: tuple[str, ...], faults: bool, plain: Path,
    variant: str | None, identity: bool, output: Path | None,
) -> None:  # fmt: skip
    """Measure the faces found in the labelled clips."""
    cv2.setNumThreads(1)
    settings = settings_from(
        FaceSettings, parse_overrides(overrides).get("faces", {}), where="faces."
    )
    labels = {
        name: value
        for name, value in read_labels().items()
        if not clips
        or any(name == clip or name.startswith(f"{clip.rstrip('/')}/") for clip in clips)
    }
    if not labels:
        raise click.BadParameter(f"no labels of {', '.join(clips)}", param_hint="CLIPS")
    model = find_recogniser()
    recogniser = load_recogniser(model, digest_file(model)) if identity else None
    measured: dict[str, Measured] = {}
    click.echo(HEADER)
    for name, value in labels.items():
        path = data / "clips" / name
        beside = None if variant else read_plain(name, path, plain)
        picture = VARIANTS[variant] if variant else AS_IS
        measured[name] = run(path, value, settings, picture, beside, recogniser)
        click.echo(show(name, figures([measured[name]])))
        for fault in measured[name].faults if faults else ():
            click.echo(f"    {fault}")
    total = figures(list(measured.values()))
    click.echo(show("all", total))
    if output:
        rows = {name: {**figures([each]), "faults": each.faults} for name, each in measured.items()}
        result = {
            "machine": describe_machine(),
            "settings": list(overrides),
            "variant": variant,
            "identity": identity,
            "all": total,
            "clips": rows,
        }
        write_result(output, result)


if __name__ == "__main__":
    main()
