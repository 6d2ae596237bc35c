"""Curves of the default network's answers as a picture, one row a video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from extractors.weights.class_names import SEVEN
from extractors.weights.facts import plain
from pipeline.inspect.colours import PALETTE
from pipeline.inspect.overview import save_figure
from pipeline.predict.answer import HINT, Answer

MAX_ROWS = 12  # videos in one picture
# Beside the colours of ``PALETTE``, in their order.
STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def draw_plot(answers: Sequence[Answer], kind: str) -> bytes:
    """Draw the seven classes' probabilities over time; videos that failed and pictures have none.

    The same answers give the same bytes.

    Args:
        answers: the first ``MAX_ROWS`` with a curve are shown.
        kind: "png", "pdf" or "svg".
    """
    shown = [one for one in answers if not one.is_picture and len(one.curve.times)][:MAX_ROWS]
    figure = Figure(figsize=(9, 1 + 2.6 * max(1, len(shown))), layout="constrained")
    rows = figure.subplots(max(1, len(shown)), squeeze=False)[:, 0]
    for axes, answer in zip(rows, shown, strict=False):
        for number, (name, values) in enumerate(zip(SEVEN, answer.curve.of_seven().T, strict=True)):
            axes.plot(
                answer.curve.times,
                values,  # nan without a face: gaps stay
                label=name,
                linewidth=1.4,
                color=np.divide(PALETTE[number % len(PALETTE)], 255),
                linestyle=STYLES[number % len(STYLES)],
            )
        said = f"{answer.prediction} ({HINT})" if answer.prediction else "no answer"
        title = f"{plain(answer.video.name)}: {said}"
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.set_ylim(0, 1)
        axes.set_ylabel("probability")
    rows[-1].set_xlabel("seconds")
    if shown:
        figure.legend(
            *rows[0].get_legend_handles_labels(), ncols=4, fontsize=8, loc="outside upper right"
        )
    return save_figure(figure, kind)
