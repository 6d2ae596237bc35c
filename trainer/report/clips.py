"""Clips of a page as compact data: table, explanations and pictures, within a budget of bytes.

Columns are arrays over all clips, and probabilities thousandths, so that 10,000 clips stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.wording import number_of
from trainer.data.folds import natural_key
from trainer.explain.cached import explain_run
from trainer.explain.panel import embed_json
from trainer.explain.pictures import Pictures, embed_pictures
from trainer.report.embedding import EmbeddingMap
from trainer.runs.folder import Run, RunError

# Bytes of explanations and pictures, so that a page of 400 clips stays below 5 MB.
BUDGET = 4_200_000
# Clips that have a panel with curves; explaining one takes milliseconds, 10,000 a minute.
MOST_DETAILED = 400
# Points of a curve: a panel of the page is about so many pixels wide, times three.
POINTS = 200
# Clips that are drawn before the budget is looked at again.
AT_ONCE = 8


Draw = Callable[[Sequence[Clip]], Mapping[str, Pictures]]


@dataclass
class ClipData:
    """Clips of a page.

    Args:
        data: JSON of the page's script.
        notes: sentences on what the page doesn't show, and why.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def gather_clips(
    runs: Sequence[Run],
    names: Sequence[str],
    *,
    cache: Path | None = None,
    draw: Draw | None = None,
    sheets: Mapping[str, str] | None = None,
    embedding: EmbeddingMap | None = None,
    budget: int = BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> ClipData:
    """Gather what the page knows of every clip of some runs.

    Explanations and pictures are those of at most ``MOST_DETAILED`` clips, and of no more than have
    room: where runs differ first, then mistakes, the surest first, then the clips of which the run
    is least sure.

    Args:
        runs: runs with the same classes; a clip that both have has the same label in both.
        names: how the page calls them.
        cache: folder of the cache; None: where each run says.
        draw: draws pictures; None for none.
        sheets: clip to the address of its contact sheet.
        embedding: places of the clips on a map.
        budget: bytes for explanations and pictures.
        progress: called with the number of clips drawn and of all to draw.
    """
    table = _gather_table(runs, names)
    clips: list[str] = table["clips"]
    found = ClipData({**table, "explanations": [{} for _ in runs[:2]], "pictures": {}})
    place = {clip: row for row, clip in enumerate(clips)}
    order = _order(runs)
    left = _explain(found, runs, order[:MOST_DETAILED], place, cache, budget)
    if draw is not None:
        _draw(found, runs, order[:MOST_DETAILED], place, draw, left, progress)
    if len(order) > MOST_DETAILED:
        found.notes.append(
            f"Curves and pictures are of {MOST_DETAILED} of {len(order)} clips: "
            "mistakes first, the surest before others. avfuse explain shows any clip."
        )
    found.data["sheets"] = {
        place[clip]: link for clip, link in (sheets or {}).items() if clip in place
    }
    if embedding is not None:
        found.data["map"] = {
            "rows": [place[clip] for clip in embedding.clips],
            "points": np.rint(1000 * embedding.points).astype(int).tolist(),
        }
    return found


def _gather_table(runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any]:
    known: dict[str, tuple[str, int | None, str]] = {}
    speaker_of: dict[str, str] = {}  # an older run names none
    for run in reversed(runs):  # what the first says stands
        of = run.predictions
        columns = zip(of.labels, of.folds, of.modalities, strict=True)
        known |= dict(zip(of.clips, columns, strict=True))
        speaker_of |= {c: name for c, name in zip(of.clips, of.speakers, strict=True) if name}
    clips = sorted(known, key=natural_key)
    classes = runs[0].classes
    number = {name: index for index, name in enumerate(classes)}
    speakers = sorted({*speaker_of.values()}, key=natural_key)
    speaker: dict[str | None, int] = {name: index for index, name in enumerate(speakers)}
    faces = _share_of_frames(runs)
    return {
        "classes": list(classes),
        "clips": clips,
        "labels": [number[known[clip][0]] for clip in clips],
        "speakers": speakers,
        "speaker": [speaker.get(speaker_of.get(clip), -1) for clip in clips],
        "folds": [known[clip][1] for clip in clips],
        "modalities": [known[clip][2] for clip in clips],
        "faces": [faces.get(clip) for clip in clips] if faces else [],
        "runs": [
            {"name": name, **_answers(run, clips)} for name, run in zip(names, runs, strict=True)
        ],
    }


def _answers(run: Run, clips: Sequence[str]) -> dict[str, Any]:
    """Return prediction and thousandths of each clip; -1 and nothing for one that the run lacks."""
    table = run.predictions
    row = {clip: index for index, clip in enumerate(table.clips)}
    thousandths = np.rint(1000 * table.probabilities).astype(int)
    highest = table.probabilities.argmax(axis=1) if len(table.clips) else []
    return {
        "predictions": [int(highest[row[clip]]) if clip in row else -1 for clip in clips],
        "probabilities": [thousandths[row[clip]].tolist() if clip in row else [] for clip in clips],
    }


def _share_of_frames(runs: Sequence[Run]) -> dict[str, int]:
    """Return thousandths of the frames of each clip that have a face; empty where none is made."""
    for run in runs:
        for one in run.metrics.get("coverage", {}).values():
            per_clip: Mapping[str, Mapping[str, Any]] = one.get("per_clip", {})
            if per_clip:
                return {
                    clip: round(1000 * counts["frames_with_face"] / counts["frames"])
                    for clip, counts in per_clip.items()
                    if counts["frames"]
                }
    return {}


def _order(runs: Sequence[Run]) -> list[str]:
    """Sort the clips of the first run by how much one wants to look at them."""
    first = runs[0].predictions
    others = [
        dict(zip(r.predictions.clips, r.predictions.predictions, strict=True)) for r in runs[1:]
    ]
    rows = []
    for clip, label, prediction, probabilities in zip(
        first.clips, first.labels, first.predictions, first.probabilities, strict=True
    ):
        changed = any(other.get(clip, prediction) != prediction for other in others)
        wrong, sure = prediction != label, float(probabilities.max())
        rows.append((not changed, not wrong, -sure if wrong else sure, clip))
    return [clip for *_, clip in sorted(rows)]


def _explain(
    found: ClipData,
    runs: Sequence[Run],
    order: Sequence[str],
    place: Mapping[str, int],
    cache: Path | None,
    budget: int,
) -> int:
    """Add explanations while there is room; return the bytes left."""
    for run, into in zip(runs, found.data["explanations"], strict=False):
        own = set(run.predictions.clips)
        try:
            explained = explain_run(run, [clip for clip in order if clip in own], cache=cache)
        except RunError as error:
            found.notes.append(f"No curves of attention and probabilities over time: {error}.")
            continue
        for clip, one in explained.items():
            values = one.to_json(POINTS)
            budget -= len(embed_json(values))
            if budget < 0:
                found.notes.append(
                    f"Curves are of {number_of(len(into), 'clip')}: for more there is no room."
                )
                return 0
            into[place[clip]] = values
    return budget


def _draw(
    found: ClipData,
    runs: Sequence[Run],
    order: Sequence[str],
    place: Mapping[str, int],
    draw: Draw,
    budget: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Add pictures while there is room, and say why there are none."""
    manifests = [run.info["manifest"]["path"] for run in runs if "manifest" in run.info]
    if not manifests:
        found.notes.append("No pictures of clips: the run names no manifest.")
        return
    try:
        known = read_manifest(Path(str(manifests[0])), check_files=False).by_id
    except (ValueError, OSError) as error:
        found.notes.append(f"No pictures of clips: {error}.")
        return
    into = found.data["pictures"]
    wanted = [known[clip] for clip in order if clip in known]
    try:
        _fill(found, place, _each(draw, wanted, progress), budget)
    except ImportError as error:  # stage two runs without the libraries of stage one
        found.notes.append(f"No pictures of clips: {error}.")
    if into and not any("strip" in one for one in into.values()):
        found.notes.append(f"No frames of clips: {min(one['why'] for one in into.values())}.")


def _fill(
    found: ClipData,
    place: Mapping[str, int],
    drawn: Iterable[tuple[str, Pictures]],
    budget: int,
) -> None:
    into = found.data["pictures"]
    for clip, one in drawn:
        values = embed_pictures(one)
        budget -= len(embed_json(values))
        if budget < 0:
            found.notes.append(
                f"Pictures are of {number_of(len(into), 'clip')}, mistakes first: for more there "
                "is no room in a page that is to stay below 5 MB."
            )
            return
        into[place[clip]] = values


def _each(
    draw: Draw, clips: Sequence[Clip], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[str, Pictures]]:
    for start in range(0, len(clips), AT_ONCE):
        if progress:
            progress(start, len(clips))
        yield from draw(clips[start : start + AT_ONCE]).items()
