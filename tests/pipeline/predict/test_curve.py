"""The curve over a video's frames: its mean, its line of text and its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from extractors.weights.class_names import SEVEN
from pipeline.faces.tracks import BoxSource
from pipeline.predict import plot
from pipeline.predict.answer import Answer, Curve, seven_of
from pipeline.predict.courses import course_of_answer
from pipeline.predict.curve import ASCII_LEVELS, draw_line, format_answer, write_curves

CLASSES = (*SEVEN, "contempt")


def curve(*rows: float, faces: Sequence[int] | None = None) -> Curve:
    """A curve of all classes; angry has these probabilities, happy and contempt share the rest."""
    times = np.arange(len(rows)) / 10
    rung = np.array(
        [BoxSource.DETECT if on else BoxSource.WHOLE for on in faces or [1] * len(rows)]
    )
    probabilities = np.zeros((len(rows), len(CLASSES)))
    probabilities[:, 0] = rows
    probabilities[:, CLASSES.index("happy")] = 1 - np.array(rows)
    return Curve(times, rung, probabilities, CLASSES)


def test_frames_without_a_face_are_in_no_mean_and_blank_in_the_line() -> None:
    shown = curve(0.0, 0.9, 0.5, 1.0, faces=[1, 0, 1, 1])
    nothing = dict.fromkeys(CLASSES, 0.0)
    assert shown.mean() == pytest.approx({**nothing, "angry": 0.5, "happy": 0.5})
    assert draw_line(shown, "angry", levels="0123") == "0 23"
    assert curve(0.9, faces=[0]).mean() is None


def test_a_long_curve_is_averaged_into_columns() -> None:
    assert draw_line(curve(0.0, 0.4, 1.0, 0.8), "angry", levels="0123456789", columns=2) == "29"
    assert draw_line(curve(0.3), "angry", levels="0123456789") == "3"


def test_a_video_with_a_formula_for_a_name_is_text_in_the_table(tmp_path: Path) -> None:
    shown = curve(0.25)
    answer = Answer(Path("=v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    write_curves(tmp_path / "c.csv", [answer])
    assert (tmp_path / "c.csv").read_text() == (
        f"video,time_seconds,face,{','.join(CLASSES)}\n"
        "'=v.mp4,0.000,detect,0.25,0.0,0.0,0.75,0.0,0.0,0.0,0.0\n"
    )


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    shown = curve(0.0, 1.0)
    answer = Answer(Path("v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    text = format_answer(answer, ascii_only=True)
    assert text.isascii()
    assert f"|{ASCII_LEVELS[0]}{ASCII_LEVELS[-1]}|" in text
    assert "█" in format_answer(answer)


def test_frames_that_were_only_followed_are_said_and_counted_apart() -> None:
    shown = curve(0.0, 0.5, 1.0, 0.3, 0.2, faces=[1, 1, 1, 1, 0])
    shown.rung[1:3] = BoxSource.FOLLOW, BoxSource.REGION
    answer = Answer(Path("v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    said = "v.mp4: angry (face in 4 of 5 frames, in 2 of them followed from others)"
    assert said in format_answer(answer)
    answered = answer.to_json()
    assert [answered[f"frames{name}"] for name in ("", "_with_face", "_seen", "_followed")] == [
        5, 4, 2, 2
    ]  # fmt: skip


def test_a_picture_of_an_answer_says_that_it_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []

    def read_titles(figure: Figure, kind: str) -> bytes:
        titles.extend(axes.get_title() for axes in figure.axes)
        return b""

    monkeypatch.setattr(plot, "save_figure", read_titles)
    shown = curve(0.25, 0.5)
    answered = Answer(Path("v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    silent = Answer(Path("w.mp4"), "ok", (), shown, None, None)
    plot.draw_plot([answered, silent], "png")
    assert titles == ["v.mp4: angry (a hint: the default network alone)", "w.mp4: no answer"]


def test_curves_are_of_the_seven_as_the_answer_is_and_contempt_is_in_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: dict[str, list[float]] = {}

    def read_lines(figure: Figure, kind: str) -> bytes:
        drawn.update((line.get_label(), list(line.get_ydata())) for line in figure.axes[0].lines)
        return b""

    monkeypatch.setattr(plot, "save_figure", read_lines)
    shown = curve(0.3, 0.9, faces=[1, 0])
    shown.probabilities[0] = [0.2, 0, 0, 0.3, 0, 0, 0, 0.5]
    answered = Answer(Path("v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    plot.draw_plot([answered], "png")
    assert tuple(drawn) == SEVEN
    np.testing.assert_allclose(drawn["angry"], [0.4, np.nan])
    np.testing.assert_allclose(drawn["happy"], [0.6, np.nan])
    assert draw_line(shown, "angry", levels="0123456789") == "4 "
    course = course_of_answer(answered)
    assert course is not None
    np.testing.assert_allclose(course.probabilities[0], [0.4, 0, 0, 0.6, 0, 0, 0])


def test_a_face_of_which_only_contempt_is_left_may_show_any_of_the_seven() -> None:
    np.testing.assert_allclose(seven_of(np.eye(8)[[7, 0]], CLASSES)[0], 1 / 7)
