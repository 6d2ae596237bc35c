"""Pictures: what is in them is read back from the figure, and they are PNGs."""

from __future__ import annotations

from io import BytesIO

import matplotlib.image
import matplotlib.pyplot
import pytest
from matplotlib.figure import Figure

from trainer.runs import plots
from trainer.runs.plots import plot_confusion, plot_curves

HISTORY = [
    {"fold": fold, "seed": seed, "epoch": epoch, "train_loss": fold + 1 / epoch, "inner": None}
    for fold in (0, 1)
    for seed in (0, 1, 2)
    for epoch in (1, 2, 3, 4, 5)
]
LOSS = {"loss": ["train_loss", "inner"], "accuracy": ["none"]}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is drawn from here on."""
    drawn: list[Figure] = []

    class Kept(Figure):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]  # passed on
            drawn.append(self)

    monkeypatch.setattr(plots, "Figure", Kept)
    return drawn


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_confusion_matrix_shows_its_counts_row_by_row(figures: list[Figure]) -> None:
    png = plot_confusion([[3, 1], [0, 7]], ["calm", "sad"], title="of what")
    assert matplotlib.image.imread(BytesIO(png)).shape[2] == 4
    axes = figures[0].axes[0]
    assert texts(figures[0]) == ["3", "1", "0", "7"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["calm (4)", "sad (7)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["calm", "sad"]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 1.0]]  # type: ignore[union-attr]  # it has one: it was drawn
    assert axes.get_title() == "of what"


def test_untrained_features_are_said_in_the_title(figures: list[Figure]) -> None:
    plot_confusion([[1]], ["a"], title="icmi19", untrained=True)
    plot_curves(HISTORY, figures=LOSS, title="icmi19", untrained=True)
    assert "untrained features" in figures[0].axes[0].get_title()
    assert "untrained features" in figures[1].get_suptitle()


def test_a_long_title_stays_in_the_picture(figures: list[Figure]) -> None:
    title = "a preset, 4 seeds, train -> test, at most 30 epochs, chosen inside the training clips"
    plot_confusion([[1, 0], [0, 1]], ["a", "b"], title=f"{title}\naccuracy", untrained=True)
    figure = figures[0]
    box = figure.axes[0].title.get_window_extent()
    assert box.x0 > 0
    assert box.x1 < figure.bbox.width
    lines = figure.axes[0].get_title().splitlines()
    assert " ".join(lines) == f"{title} accuracy untrained features"
    assert lines[-2:] == ["accuracy", "untrained features"]


@pytest.mark.slow
def test_a_class_without_clips_many_classes_and_odd_names_can_be_drawn(
    figures: list[Figure],
) -> None:
    plot_confusion([[0, 0], [1, 1]], ["$a", "b" * 50], title="$\\frac{$")  # no formula
    rows = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert rows == [r"\$a (0)", "b" * 17 + "… (2)"]
    plot_confusion([[1] * 23] * 23, [f"c{i}" for i in range(23)], title="t")
    assert texts(figures[1]) == []


def test_curves_are_a_line_a_head_and_their_mean(figures: list[Figure]) -> None:
    png = plot_curves(HISTORY, figures=LOSS, title="t")
    assert matplotlib.image.imread(BytesIO(png)).shape[2] == 4
    (axes,) = figures[0].axes
    assert axes.get_ylabel() == "loss"
    assert len(axes.lines) == 6 + 1
    # folds 0 and 1 are shifted by 1, so the mean is 1/2 above 1/epoch
    mean = axes.lines[-1]
    assert mean.get_label() == "train_loss (mean of 6)"
    assert list(mean.get_ydata()) == pytest.approx([0.5 + 1 / epoch for epoch in range(1, 6)])  # type: ignore[arg-type]  # it holds numbers


def test_one_head_of_one_epoch_is_a_point(figures: list[Figure]) -> None:
    plot_curves(HISTORY[:1], figures=LOSS, title="t")
    (line,) = figures[0].axes[0].lines
    assert (line.get_marker(), line.get_label()) == ("o", "train_loss")


def test_a_history_without_figures_is_an_empty_picture(figures: list[Figure]) -> None:
    plot_curves([], figures=LOSS, title="t")
    assert len(figures[0].axes) == 1


def test_the_same_input_gives_the_same_bytes_and_leaves_no_figure_open() -> None:
    there = matplotlib.pyplot.get_fignums()  # of other tests
    first = plot_curves(HISTORY, figures=LOSS, title="t")
    assert plot_curves(HISTORY, figures=LOSS, title="t") == first
    assert matplotlib.pyplot.get_fignums() == there
