"""Map of a run's clips: the features of each, averaged over time, in two dimensions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainer.data.features import read_features
from trainer.explain.cached import find_cache
from trainer.report.settings_diff import read_settings
from trainer.runs.folder import Run, RunError

Kind = Literal["pca", "tsne", "none"]
# Clips whose steps are in memory at once.
AT_ONCE = 256
LEAST_CLIPS = 3
PERPLEXITY = 30.0
SEED = 0


@dataclass(frozen=True)
class EmbeddingMap:
    """Places of N clips in two dimensions.

    Args:
        clips: those that have a place.
        points: (N, 2), within [0, 1]; one scale for both axes.
        about: what was mapped, and how, in a sentence.
    """

    clips: tuple[str, ...]
    points: NDArray[np.float64]
    about: str


def map_run(run: Run, kind: Kind, *, cache: Path | None = None) -> EmbeddingMap:
    """Map the clips of a run by the features that its heads see, not by what heads make of them.

    Heads of several folds put their own embeddings into spaces of their own, which have no map in
    common; the features of the cache have. Video is mapped where the run uses it, else sound.

    Args:
        run: a finished run.
        kind: "pca", the plane along which the clips differ most, or "tsne", neighbours near each
            other, with the distances between groups meaning nothing.
        cache: the cache's folder; None: where it was when the run was trained.

    Raises:
        RunError: the run states no cache or no settings; it is an older run's; the cache is gone or
            has other sets; too few clips have features. Says which.
    """
    settings = read_settings(run)
    if settings is None or "cache" not in run.info:
        raise RunError("the run names no features of its own, as it was made from other runs")
    folder = find_cache(run, cache)
    modality = settings.modalities[0]
    chosen = settings.modality(modality)
    keys = {str(one.get("name")): str(one.get("folder")) for one in run.info["sets"]}
    names = [keys.get(name, name) for name in chosen.set.split("+")]
    try:
        clips, means = _average(folder, names, run.predictions.clips, chosen.features)
    # Every error of sets, features, packs and entries is a ValueError.
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    if len(clips) < LEAST_CLIPS:
        raise RunError(f"{len(clips)} clips have {modality} features; a map needs {LEAST_CLIPS}")
    points, how = project(means, kind)
    about = (
        f"Each point is a clip: the mean over time of its {modality} features "
        f"({chosen.set}, {run.info['features'].get(modality, chosen.features)}), as they stand in "
        f"the cache, before any head. {how}"
    )
    return EmbeddingMap(clips, points, about)


def project(values: NDArray[np.float64], kind: Kind) -> tuple[NDArray[np.float64], str]:
    """Put points into two dimensions, the same ones each time.

    Args:
        values: (N, D), N at least ``LEAST_CLIPS``.
        kind: "pca" or "tsne".

    Returns:
        (N, 2) within [0, 1], and how they were made, in a sentence.
    """
    parts, shares = principal_components(values)
    if kind == "tsne":
        from sklearn.manifold import TSNE  # takes a second to load

        perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
        found = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(parts)
        how = (
            f"t-SNE, perplexity {perplexity:.3g}, of {parts.shape[1]} principal components: "
            "neighbours are alike; how far groups lie apart means nothing."
        )
        return _into_square(found), how
    how = (
        f"PCA: the two directions along which the clips differ most, with {100 * shares[0]:.0f} % "
        f"and {100 * shares[1]:.0f} % of the variance."
    )
    return _into_square(parts[:, :2]), how


def principal_components(
    values: NDArray[np.float64], count: int = 50
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates along the directions in which points differ most.

    Args:
        values: (N, D).
        count: the most directions to keep, at least 2.

    Returns:
        (N, K) coordinates, the largest of each direction positive, K at least 2; and (K,) shares of
        the variance, the highest first, 0 where all points are one.
    """
    centred = values - values.mean(axis=0)
    wide = centred.shape[1] > centred.shape[0]
    strengths, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    order = np.argsort(-strengths, kind="stable")[:count]
    strengths = np.maximum(strengths[order], 0.0)
    parts = vectors[:, order] * np.sqrt(strengths) if wide else centred @ vectors[:, order]
    if parts.shape[1] < 2:
        parts, strengths = np.pad(parts, ((0, 0), (0, 1))), np.pad(strengths, (0, 1))
    # Either sign is as good: the same one each time.
    parts *= np.where(parts[np.abs(parts).argmax(axis=0), np.arange(parts.shape[1])] < 0, -1.0, 1.0)
    return parts, strengths / (np.square(centred).sum() or 1.0)


def _average(
    cache: Path, names: Sequence[str], clips: Sequence[str], features: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the clips that have steps, and the mean step of each, (N, D)."""
    found: list[str] = []
    means: list[NDArray[np.float64]] = []
    with tempfile.TemporaryDirectory(prefix="avfuse-map-") as packs:  # nothing in the cache changes
        for start in range(0, len(clips), AT_ONCE):
            some = clips[start : start + AT_ONCE]
            steps = read_features(cache, names, some, features, packs=Path(packs)).sequences
            for row in np.flatnonzero(steps.lengths).tolist():
                found.append(some[row])
                means.append(steps.of(row).mean(axis=0, dtype=np.float64).ravel())
            for pack in Path(packs).rglob("*"):
                if pack.is_file():
                    pack.unlink()
    return tuple(found), np.array(means)


def _into_square(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    exact = points.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    size = float((high - low).max()) or 1.0
    result: NDArray[np.float64] = 0.5 + (exact - (low + high) / 2) / size
    return result
