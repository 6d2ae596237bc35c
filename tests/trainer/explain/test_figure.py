"""The figure for a paper."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.inspect.colours import PALETTE
from tests.trainer.explain_helper import make_explanation, make_panel, make_pictures
from trainer.explain import figure
from trainer.explain.explanation import Windows
from trainer.explain.figure import DPI, WIDTH, draw_figure
from trainer.explain.panel import Panel
from trainer.training.predict import Attention


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_panels_give_the_same_bytes(kind: str) -> None:
    panels = [make_panel("c1"), make_panel("c2", second=True)]
    once = draw_figure(panels, kind)
    assert once == draw_figure(panels, kind)
    assert b"CreationDate" not in once
    assert (b"FontFile2" in once) == (kind == "pdf")


@pytest.mark.slow
def test_a_figure_is_as_wide_as_a_column_and_shows_the_frames_in_their_colours() -> None:
    image = Image.open(io.BytesIO(draw_figure([make_panel()]))).convert("RGB")
    assert image.width == round(WIDTH * DPI)
    pixels = np.asarray(image).reshape(-1, 3)
    assert (pixels == (255, 0, 0)).all(axis=1).any()
    assert (pixels == (0, 114, 178)).all(axis=1).any()  # the first run's attention


@pytest.mark.slow
def test_a_clip_that_lacks_everything_is_drawn_with_letters_of_any_kind() -> None:
    nothing = np.zeros(0)
    bare = make_explanation(
        "$a_1$ \u4e2d",
        label=None,
        prediction=None,
        attention={"video": Attention(nothing, nothing)},
        windows=Windows(nothing, np.zeros((0, 3)), 1.0),
    )
    assert draw_figure([Panel(bare)]).startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_spectrogram_without_attention_says_why_it_has_no_curve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = {"audio": Attention(np.zeros(1), np.ones(1))}
    titles: list[str] = []
    monkeypatch.setattr(figure, "_prepare", lambda *given: titles.append(given[-1]))
    draw_figure([Panel(make_explanation(attention=one), pictures=make_pictures())])
    assert titles[0] == "spectrogram (audio: one step a clip, so no attention curve)"


def test_more_clips_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 to 8 clips, got 9; write a page \(.html\)"):
        draw_figure([make_panel()] * 9)


def test_figures_pages_and_films_have_the_same_colours() -> None:
    css = (Path(figure.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert re.findall(r"--c\d: (#\w+);", css)[: len(figure.COLOURS)] == [*figure.COLOURS]
    # The last two, grey and yellow, are for dark pictures there.
    assert [f"#{bytes(colour).hex()}" for colour in PALETTE[:6]] == [*figure.COLOURS[:6]]
