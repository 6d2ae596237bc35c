"""Heads asked about clips and about windows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.corpus import Corpus
from trainer.data.normalisation import fit_normalisation
from trainer.explain.explanation import HOP_SECONDS, WINDOW_SECONDS, Explanation, Windows
from trainer.explain.steps import ClipSteps
from trainer.training.predict import Attention, predict_head
from trainer.training.trained import TrainedHead

# Windows of one clip; of a longer clip they lie farther apart.
MOST_WINDOWS = 2000
# Windows whose steps are in memory at once.
AT_ONCE = 512
# A clip's last step lasts a moment itself, at least in films.
STEP_SECONDS = 0.05


def explain_steps(
    heads: Sequence[TrainedHead],
    steps: ClipSteps,
    clips: Sequence[int] | NDArray[np.int64],
    *,
    windows: bool = True,
    device: str = "cpu",
) -> list[Explanation]:
    """Explain clips by the mean of heads that have the same settings but for the seed.

    Args:
        heads: at least one.
        steps: the clips' features.
        clips: indices of the clips to explain.
        windows: also ask about windows; without them the probabilities over time are empty. Heads
            with ``audio.align=sentence`` are asked about whole sentences alone.
        device: where to compute.

    Returns:
        An explanation per clip, without label, fold and speaker.

    Raises:
        CorpusError: the features don't fit the heads; see ``predict_head``.
    """
    windows = windows and not heads[0].settings.aligns
    answers = [
        predict_head(head, steps.corpus, clips, attention=True, device=device) for head in heads
    ]
    probabilities = np.mean([answer.probabilities for answer in answers], axis=0)
    over_time = _ask_windows(heads, steps, clips if windows else [], device)
    classes = heads[0].classes
    explained = []
    for row, clip in enumerate(clips):
        attention = {
            name: mean_attention([answer.attention[name][row] for answer in answers])
            for name in heads[0].settings.modalities
        }
        seen = any(len(part.times) for part in attention.values())
        explained.append(
            Explanation(
                clip=steps.corpus.clip_ids[clip],
                label=None,
                prediction=classes[int(probabilities[row].argmax())] if seen else None,
                probabilities=probabilities[row] if seen else np.zeros(len(classes)),
                classes=classes,
                attention=attention,
                windows=over_time[row] if windows else _no_windows(len(classes)),
                num_heads=len(heads),
                untrained=any(head.untrained for head in heads),
            )
        )
    return explained


def mean_attention(parts: Sequence[Attention]) -> Attention:
    """Average weights over heads; those of a grid at one time are added up."""
    times, place = np.unique(parts[0].times, return_inverse=True)
    weights = np.zeros(len(times))
    for part in parts:
        np.add.at(weights, place, part.weights / len(parts))
    return Attention(times, weights)


def plan_windows(first: float, last: float) -> NDArray[np.float64]:
    """Plan the windows of a clip, (W, 2): first second, and the second that a window ends before.

    One lasts ``WINDOW_SECONDS`` and begins ``HOP_SECONDS`` after the one before. A clip that is
    shorter is one window; of a long one there are ``MOST_WINDOWS``, farther apart.
    """
    room = last - first + STEP_SECONDS - WINDOW_SECONDS
    if room < 0.0:
        return np.array([[first, last + STEP_SECONDS]])
    hop = max(HOP_SECONDS, room / (MOST_WINDOWS - 1))
    starts = first + hop * np.arange(int(room / hop + 1e-9) + 1)
    return np.stack([starts, starts + WINDOW_SECONDS], axis=1)


def _ask_windows(
    heads: Sequence[TrainedHead],
    steps: ClipSteps,
    clips: Sequence[int] | NDArray[np.int64],
    device: str,
) -> list[Windows]:
    """Ask the heads about windows of each clip; those without a step are left out."""
    settings = heads[0].settings
    bounds = [plan_windows(*steps.span(clip)) for clip in clips]
    places = np.repeat(np.asarray(clips, np.int64), [len(part) for part in bounds])
    together = np.concatenate([np.zeros((0, 2)), *bounds])
    given, seen = np.zeros((len(together), len(heads[0].classes))), np.zeros(len(together), bool)
    bare = [_without_speakers(head) for head in heads]
    for part in _pieces(len(together)):
        corpus = steps.cut(places[part], together[part])
        corpus = _normalise_speakers(corpus, steps.corpus, heads[0])
        seen[part] = np.any([corpus.has(name) for name in settings.modalities], axis=0)
        for head in bare:
            answer = predict_head(head, corpus, range(len(corpus)), device=device)
            given[part] += answer.probabilities / len(heads)
    found = []
    ends = np.cumsum([len(part) for part in bounds], dtype=np.int64)
    for end, windows in zip(ends, bounds, strict=True):
        rows = np.arange(end - len(windows), end)
        own = windows[seen[rows]]
        seconds = float(windows[0, 1] - windows[0, 0])
        found.append(Windows(own.mean(axis=1), given[rows[seen[rows]]], seconds))
    return found


def _pieces(count: int) -> Iterator[slice]:
    return (slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE))


def _no_windows(num_classes: int) -> Windows:
    return Windows(np.zeros(0), np.zeros((0, num_classes)), WINDOW_SECONDS)


def _is_per_speaker(head: TrainedHead, modality: str) -> bool:
    return head.settings.modality(modality).normalise == "per-speaker"


def _normalise_speakers(windows: Corpus, whole: Corpus, head: TrainedHead) -> Corpus:
    """Normalise windows by all steps of their speaker's clips, where the head wants that."""
    sequences = dict(windows.sequences)
    for name in head.settings.modalities:
        if not _is_per_speaker(head, name):
            continue
        part, all_steps = sequences[name], whole.sequences[name]
        values = part.values.copy()
        for speaker in set(windows.speakers):
            own = [i for i, other in enumerate(whole.speakers) if other == speaker]
            rows = part.rows(np.flatnonzero([other == speaker for other in windows.speakers]))
            fitted = fit_normalisation(all_steps.values, all_steps.rows(np.array(own)))
            values[rows] = fitted.apply(part.values[rows])
        sequences[name] = part.with_values(values)
    return replace(windows, sequences=sequences)


def _without_speakers(head: TrainedHead) -> TrainedHead:
    """Return a head that takes steps which are normalised per speaker already."""
    changed: dict[str, Any] = {
        name: replace(head.settings.modality(name), normalise="none")
        for name in head.settings.modalities
        if _is_per_speaker(head, name)
    }
    return replace(head, settings=replace(head.settings, **changed))
