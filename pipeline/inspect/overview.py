"""One clip over its time: its tracks, its sound, and how alike its frames are to a network."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cache.entries.entry import EntryError
from cache.sets.feature_set import FeatureSet
from pipeline.faces.tracks import BoxSource, TrackArrays, is_seen
from pipeline.inspect.cells import ClipFaces
from pipeline.inspect.colours import colour_of
from pipeline.inspect.sound import Spectrogram

MOST_STEPS = 400  # of the similarity; steps of a longer clip are averaged
MOST_TRACKS = 20
BLOCK = 4096  # steps read at a time
LEGEND = (
    "From above, on one time axis: the tracks of faces (a full bar where a detector saw the face, "
    "a hatched one where it was followed, a dotted line where it was held; black above it where "
    "it was the chosen one), the spectrogram of the sound, and the cosine similarity of every two "
    "frames as a network sees them: light is alike."
)


@dataclass(frozen=True)
class Overview:
    """A picture of a clip's time, and what it shows in words."""

    picture: bytes
    legend: str = LEGEND


@dataclass(frozen=True)
class Similarity:
    """Cosine similarity of the steps of a clip.

    Shapes (S steps): ``edges``: (S + 1,), seconds. ``values``: (S, S), in [-1, 1].

    Attributes:
        edges: where a step begins and the last ends.
        values: see above.
        name: of the set.
    """

    edges: NDArray[np.float64]
    values: NDArray[np.float64]
    name: str


def read_similarity(feature_set: FeatureSet, clip: str) -> Similarity | None:
    """Compare the embeddings of a clip's frames; None for fewer than two.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: it is damaged, or holds no embedding per frame.
        OSError: it can't be read.
    """
    with feature_set.open_entry(clip) as opened:
        rows = opened.rows
        steps = len(rows["times"])
        names = [n for n, part in rows.items() if len(part.shape) == 2 and part.shape[0] == steps]
        if not names:
            raise EntryError(f"{feature_set.folder.name} has no embedding per frame of {clip}")
        if steps < 2:
            return None
        times = rows["times"][slice(None)]
        # The crop itself where there are several views of it.
        chosen = rows["basic"] if "basic" in names else rows[sorted(names)[0]]
        count = min(MOST_STEPS, steps)
        sums = np.zeros((count, chosen.shape[1]))
        for start in range(0, steps, BLOCK):
            part = chosen[slice(start, start + BLOCK)]
            np.add.at(sums, np.arange(start, start + len(part)) * count // steps, part)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit = sums / np.maximum(lengths, 1e-12)
    starts = times[-(-np.arange(count) * steps // count)]
    last = times[-1] + (times[-1] - times[0]) / (steps - 1)
    return Similarity(np.append(starts, last), unit @ unit.T, feature_set.folder.name)


def draw_overview(
    faces: ClipFaces, sound: Spectrogram | None, alike: Similarity | None, kind: str = "png"
) -> Overview:
    """Draw a clip's time; the same input gives the same bytes.

    Args:
        faces: its tracks and the chosen one.
        sound: None where there is none.
        alike: None where no network's set was asked for.
        kind: "png", "pdf" or "svg".
    """
    numbers = _longest(faces.found.tracks)
    times = faces.found.times
    ends = [float(times[-1])] if len(times) else [1e-3]
    ends += [sound.span[1]] if sound else []
    width, side = 9.0, 7.4  # inches; the similarity is about square
    heights = [
        0.5 + 0.24 * max(1, len(numbers)),
        *([1.1] if sound else []),
        *([side] if alike else []),
    ]
    with mpl.rc_context({"font.size": 8, "hatch.linewidth": 0.6}):
        figure = Figure(figsize=(width, sum(heights) + 0.6), layout="constrained")
        rows: list[Axes] = figure.subplots(
            len(heights), squeeze=False, sharex=True, height_ratios=heights
        )[:, 0].tolist()
        left = iter(rows)
        _draw_tracks(next(left), faces, numbers)
        if sound:
            axes = next(left)
            axes.imshow(
                sound.to_grey(),
                cmap="gray",
                aspect="auto",
                extent=(*sound.span, 0, 1),
            )
            axes.set_yticks([])
            axes.set_ylabel("sound")
        if alike:
            axes = next(left)
            low = float(np.quantile(alike.values, 0.02))
            drawn = axes.pcolormesh(
                alike.edges, alike.edges, alike.values, cmap="viridis", vmin=low, vmax=1.0,
                rasterized=True,
            )  # fmt: skip
            axes.invert_yaxis()
            axes.set_ylabel("seconds")
            axes.set_title(
                f"cosine similarity of frames, {alike.name}", fontsize=8, parse_math=False
            )
            figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.01)
        rows[0].set_xlim(0, max(ends))
        rows[-1].set_xlabel("seconds")
        return Overview(save_figure(figure, kind))


def save_figure(figure: Figure, kind: str = "png") -> bytes:
    """Write a figure, the same bytes each time, with the letters of a PDF as text.

    Args:
        figure: what is drawn.
        kind: "png", "pdf" or "svg".
    """
    dates = {"pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date", "Creator")}
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "avfuse", "pdf.fonttype": 42}):
        metadata = dict.fromkeys(dates.get(kind, ("Software",)))
        figure.savefig(content, format=kind, dpi=110, metadata=metadata)
    return content.getvalue()


def _longest(tracks: TrackArrays) -> list[int]:
    """Return the numbers of the longest tracks, sorted."""
    numbers, counts = np.unique(tracks.number, return_counts=True)
    return sorted(numbers[np.argsort(-counts, kind="stable")[:MOST_TRACKS]].tolist())


def _draw_tracks(axes: Axes, faces: ClipFaces, numbers: Sequence[int]) -> None:
    """Draw each track as a row: who is seen, followed or held when, and who is the chosen one."""
    found, tracks, chosen = faces.found, faces.found.tracks, faces.chosen
    times = found.times
    step = (times[-1] - times[0]) / max(1, len(times) - 1) if len(times) else 0.0
    ends = np.append(times[1:], times[-1] + step) if len(times) else times
    for row, number in enumerate(numbers):
        mine = tracks.number == number
        frames, sources = tracks.frame[mine], tracks.rung[mine]
        colour = np.divide(colour_of(number), 255)
        held = sources == BoxSource.HOLD
        looks: Mapping[str, tuple[np.ndarray, dict[str, Any]]] = {
            "seen": (is_seen(sources), {"height": 0.5, "color": colour}),
            "followed": (
                ~is_seen(sources) & ~held,
                {"height": 0.3, "facecolor": "white", "edgecolor": colour, "hatch": "/////"},
            ),
            "held": (held, {"height": 0.0, "edgecolor": colour, "linestyle": ":", "linewidth": 2}),
        }
        for which, look in looks.values():
            for first, last in _stretches(frames[which]):
                axes.barh(row, ends[last] - times[first], left=times[first], **look)
        for first, last in _stretches(np.flatnonzero(chosen.track == number)):
            axes.plot([times[first], ends[last]], [row - 0.36] * 2, color="black", linewidth=2)
    labels = [f"{number} {faces.people.get(number, '')}".rstrip() for number in numbers]
    axes.set_yticks(range(len(numbers)), [label.replace("$", r"\$") for label in labels])
    axes.set_ylim(max(len(numbers), 1) - 0.4, -0.6)
    axes.set_ylabel("track")
    if not numbers:
        axes.text(0.01, 0.5, "no face", transform=axes.transAxes, va="center")


def _stretches(frames: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last of frames that follow one another."""
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts if len(part)]
