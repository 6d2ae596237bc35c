"""Map of clips: true to distances it can keep, the same each time, and silent on what is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.manifest import Manifest
from tests.trainer.experiment_helper import NUM_CLIPS, train
from trainer.report.embedding import Kind, map_run, project
from trainer.runs.folder import Run, RunError


@pytest.fixture(scope="module")
def run(manifest: Manifest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(manifest, cache, tmp_path_factory.mktemp("runs") / "run")


def test_points_on_a_line_stay_on_it_in_their_order() -> None:
    places = np.array([0.0, 1.0, 3.0, 7.0])
    points, how = project(np.outer(places, [1.0, -2.0, 3.0]), "pca")
    assert points[:, 0] == pytest.approx([0, 1 / 7, 3 / 7, 1])  # the farthest is positive
    assert points[:, 1] == pytest.approx([0.5] * 4, abs=1e-6)
    assert "with 100 % and 0 % of the variance" in how


@pytest.mark.slow  # t-SNE loads a good part of scikit-learn
@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_a_map_is_the_same_each_time_and_within_its_square(kind: Kind) -> None:
    values = np.random.default_rng(0).normal(size=(13, 7))
    first, again = project(values, kind)[0], project(values, kind)[0]
    assert np.array_equal(first, again)
    assert first.shape == (13, 2)
    assert (first.min(), first.max()) == pytest.approx((0.0, 1.0))


def test_equal_clips_share_a_place() -> None:
    points, _ = project(np.ones((5, 3)), "pca")
    assert points == pytest.approx(np.full((5, 2), 0.5))


def test_a_run_is_mapped_by_its_video_features_and_its_classes_lie_apart(run: Run) -> None:
    found = map_run(run, "pca")
    assert found.clips == run.predictions.clips
    assert len(found.points) == NUM_CLIPS
    assert "the mean over time of its video features (resnet18, basic)" in found.about
    labels = np.array(run.predictions.labels)
    own = np.array([found.points[labels == name].mean(axis=0) for name in run.classes])
    near = np.linalg.norm(found.points[:, None] - own, axis=2).argmin(axis=1)
    assert (np.array(run.classes)[near] == labels).all()


def test_what_is_gone_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the cache .*gone, is gone; .* --cache"):
        map_run(run, "pca", cache=tmp_path / "gone")
    with pytest.raises(RunError, match="names no features of its own"):
        map_run(replace(run, path=tmp_path), "pca")
    few = replace(run, predictions=run.predictions.select(lambda i: i < 2))
    with pytest.raises(RunError, match="2 clips have video features; a map needs 3"):
        map_run(few, "pca")
