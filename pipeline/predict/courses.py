"""Courses of answers, to be drawn into films: the default network's and those of a run's heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cache.manifest.clip import Clip
from extractors.weights.class_names import SEVEN
from pipeline.inspect.cells import ClipFaces, read_faces
from pipeline.inspect.frames import limits_of
from pipeline.inspect.shown import find_shown
from pipeline.media.settings import DecodeSettings
from pipeline.predict.answer import HINT, Answer
from pipeline.predict.band import Course
from pipeline.predict.by_run import Answered

UNTRAINED = "untrained: random weights, it says nothing about emotions"


def course_of_answer(answer: Answer) -> Course | None:
    """Return the course of the default network's answer; None for a picture or a failed video."""
    curve = answer.curve
    if answer.is_picture or answer.state == "failed":
        return None
    return Course(
        answer.video,
        answer.prediction,
        max((answer.probabilities or {"": 0.0}).values()),
        "" if answer.prediction is None else HINT,
        SEVEN,
        curve.times,
        curve.of_seven(),
        None if answer.faces is None else answer.faces.chosen,
        limits=_limits(answer.faces),
    )


def read_courses(
    name: str, clips: Sequence[Clip], cache: Path, answered: Answered
) -> dict[Path, Course]:
    """Return the courses of a run's answers, by the file; those that failed are left out.

    Args:
        name: of the run.
        clips: what was answered.
        cache: where their features are.
        answered: the answers, with their windows.

    Raises:
        ValueError, OSError: an entry can't be read.
    """
    shown = None if answered.faces is None else find_shown(cache, answered.faces.folder.name)
    courses = {}
    for clip in clips:
        found = answered.explanations.get(clip.id)
        if found is None:
            continue
        sees = shown is not None and "video" in found.attention
        faces = read_faces(clip, shown) if shown is not None and sees else None
        remark = f"{name}, windows of {found.windows.seconds:.1f} s"
        courses[clip.path] = Course(
            clip.path,
            found.prediction,
            float(found.probabilities.max()),
            UNTRAINED if answered.untrained else remark,
            found.classes,
            found.windows.times,
            found.windows.probabilities,
            None if faces is None or not len(faces.chosen.times) else faces.chosen,
            {mode: (part.times, part.weights) for mode, part in found.attention.items()},
            _limits(faces),
        )
    return courses


def _limits(faces: ClipFaces | None) -> DecodeSettings:
    return DecodeSettings() if faces is None else limits_of(faces.entry.provenance)
