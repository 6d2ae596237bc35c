"""Answer of a run in plain words, for somebody who sees one for the first time."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from cache.wording import name_by_reason, name_some, number_of
from trainer.data.speakers import BY_FACES
from trainer.runs.folder import PREDICTIONS, Run
from trainer.runs.terminal import (
    choose_interval,
    describe_interval,
    describe_temperatures,
    format_percent,
)

# With fewer clips the interval is about 15 points wide or wider.
FEW_CLIPS = 200
MOST_LISTED = 20
CELL, NAME = 3, 12  # widths in the confusion table


def format_answer(run: Run, paths: Mapping[str, Path], *, width: int = 80) -> str:
    """Write accuracy, confusion, mistakes and faces of a run, and what they mean.

    Args:
        run: a finished run.
        paths: clip id to its file, for the clips that went wrong.
        width: of the lines, in characters. Paths are never broken, and a confusion table that is
            wider is left out.

    Returns:
        Paragraphs with an empty line between them.
    """
    table = _confusion(run) if NAME + CELL * (len(run.classes) + 1) <= width else ()
    parts = (_accuracy(run), _meaning(run), table, _mistakes(run, paths), _faces(run))
    written = ("\n".join(_wrap(line, width) for line in part) for part in parts)
    return "\n\n".join(filter(None, written))


def _accuracy(run: Run) -> Iterator[str]:
    figures = run.metrics["all"]["ensemble"]
    yield (
        f"Accuracy {format_percent(figures['accuracy'])}: {figures['correct']} of {figures['n']} "
        f"clips right; {describe_interval(figures)}."
    )
    name, share = _most_frequent(run)
    yield (
        f"Always answering {name}, the most frequent class, would give {format_percent(share)}; "
        f"a blind guess {format_percent(1 / len(run.classes))}."
    )


def _meaning(run: Run) -> Iterator[str]:
    figures = run.metrics["all"]["ensemble"]
    n, (low, high) = figures["n"], choose_interval(figures) or (0.0, 1.0)
    name, share = _most_frequent(run)
    if run.predictions.untrained:
        yield "Random weights stand behind these features: no figure here means anything."
    if n < FEW_CLIPS:
        yield (
            f"{n} clips are a demonstration, not an accuracy: the interval is "
            f"{100 * (high - low):.0f} points wide."
        )
    if low > share:
        yield f"The heads do better than always answering {name}."
    else:
        yield f"That the heads do better than always answering {name} is not shown."
    if not run.info["speaker_independent"]:
        yield (
            "Clips of one person may be in both training and test, as not every speaker is known "
            "or they are shared: on new people the accuracy may be lower."
        )
    if calibrated := describe_temperatures(run.metrics):
        yield f"Probabilities are calibrated: {calibrated}."
    if copies := run.info.get("copies"):
        yield (
            f"{number_of(len(copies), 'clip')} reported on "
            f"{'has' if len(copies) == 1 else 'have'} the content of a training clip: the accuracy "
            "is too high."
        )
    if run.info["speaker_independent"] == BY_FACES:
        yield (
            "Training and test were divided by persons found by their faces: a person who was "
            "taken for two may be in both."
        )


def _most_frequent(run: Run) -> tuple[str, float]:
    """The most frequent label of the clips reported on, and its share."""
    ((name, count),) = Counter(run.predictions.labels).most_common(1)
    return name, count / len(run.predictions.labels)


def _confusion(run: Run) -> Iterator[str]:
    table = run.metrics["all"]["ensemble"]["confusion"]
    numbers = range(1, len(run.classes) + 1)
    yield "Confusion: a row is a label, a column an answer, by the row's number."
    yield " " * (NAME + CELL) + "".join(f"{number:>{CELL}}" for number in numbers)
    for number, name, counts in zip(numbers, run.classes, table, strict=True):
        row = "".join(f"{count or '.':>{CELL}}" for count in counts)
        yield f"{number:>{CELL - 1}} {_shorten(name):{NAME}}{row}"


def _shorten(name: str) -> str:
    return name if len(name) < NAME else f"{name[: NAME - 2]}~"


def _mistakes(run: Run, paths: Mapping[str, Path]) -> Iterator[str]:
    found = run.predictions
    highest = found.probabilities.max(axis=1)
    rows = zip(found.clips, found.labels, found.predictions, highest, strict=True)
    wrong = [row for row in rows if row[1] != row[2]]
    if not wrong:
        yield "No clip went wrong."
        return
    yield f"{number_of(len(wrong), 'clip')} went wrong: label, answer, its probability, file."
    for clip, label, answer, probability in wrong[:MOST_LISTED]:
        yield f"  {label} -> {answer} {probability:.2f}  {paths.get(clip, clip)}"
    if len(wrong) > MOST_LISTED:
        yield f"  and {len(wrong) - MOST_LISTED} more; all are in {run.path / PREDICTIONS}"


def _faces(run: Run) -> Iterator[str]:
    for coverage in run.metrics["coverage"].values():
        frames, found = coverage["frames"], coverage["frames_with_face"]
        line = f"A face was found in {found} of {frames} frames ({format_percent(found / frames)})"
        if followed := coverage.get("frames_followed"):  # which older runs don't state
            line += f", in {followed} of them followed from others"
        yield f"{line}."
        if not found:
            yield "So the heads have learnt from whole pictures, not from faces."
        elif without := coverage["clips_without_face"]:
            yield (
                f"No face at all in {name_some(without)}: there the whole picture stands for the "
                "face."
            )
    missing = run.metrics["missing"]
    if missing["count"]:
        reasons = {clip["clip"]: clip["reason"] for clip in missing["clips"]}
        yield f"Left out: {name_by_reason(reasons)}."


def _wrap(line: str, width: int) -> str:
    if line.startswith(" "):  # a row of a table
        return line
    return "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False))
