"""A run's clips explained from its cache, and what is said where that can't be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.manifest import Manifest
from tests.trainer.corpus_helper import write_set
from tests.trainer.experiment_helper import VIDEO_DIM, train
from tests.trainer.run_helper import make_run
from trainer.explain.cached import explain_run
from trainer.runs.experiment import Protocol
from trainer.runs.folder import CHECKPOINTS, INFO, Run, RunError, read_run


@pytest.fixture(scope="module")
def run(manifest: Manifest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two folds and two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "r"
    return train(manifest, cache, folder, Protocol(folds="speaker:2", num_seeds=2))


@pytest.fixture
def copy(run: Run, cache: Path, tmp_path: Path) -> Run:
    """The run and its cache, to be spoilt."""
    shutil.copytree(run.path, tmp_path / "r")
    shutil.copytree(cache, tmp_path / "cache")
    info = json.loads((tmp_path / "r" / INFO).read_text())
    (tmp_path / "r" / INFO).write_text(
        json.dumps({**info, "cache": str(tmp_path / "cache")}), encoding="utf-8"
    )
    return read_run(tmp_path / "r")


def test_every_clip_is_answered_by_the_heads_that_tested_it(run: Run) -> None:
    table = run.predictions
    found = explain_run(run)
    assert list(found) == list(table.clips)
    for row, clip in enumerate(table.clips):
        one = found[clip]
        np.testing.assert_allclose(one.probabilities, table.probabilities[row], atol=1e-6)
        assert one.prediction == table.predictions[row]
        assert one.speaker == table.speakers[row] is not None
        assert (one.label, one.fold, one.num_heads) == (table.labels[row], table.folds[row], 2)
        assert {name: part.weights.sum() for name, part in one.attention.items()} == {
            "video": pytest.approx(1.0, abs=1e-5),
            "audio": pytest.approx(1.0, abs=1e-5),
        }


def test_the_clips_asked_for_come_in_their_order_each_once(run: Run) -> None:
    clips = [run.predictions.clips[i] for i in (7, 2, 7)]
    found = explain_run(run, clips)
    assert list(found) == [clips[0], clips[1]]
    alone = explain_run(run, clips[:1])[clips[0]]
    np.testing.assert_allclose(found[clips[0]].windows.probabilities, alone.windows.probabilities)


def test_nothing_in_the_cache_changes(copy: Run) -> None:
    folder = Path(copy.info["cache"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    explain_run(copy, [copy.predictions.clips[0]])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_set_of_the_same_name_that_came_later_does_not_matter(copy: Run) -> None:
    folder = Path(copy.info["cache"])
    other = {"c00": {"basic": np.zeros((3, VIDEO_DIM), np.float32)}}
    write_set(folder, "resnet18", other, weights="b" * 64)
    clip = copy.predictions.clips[0]
    assert explain_run(copy, [clip])[clip].prediction == copy.predictions.predictions[0]


def test_a_cache_that_is_gone_is_named_and_may_be_elsewhere(copy: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").rename(tmp_path / "moved")
    with pytest.raises(
        RunError, match=r"cache of .*r, .*cache, is gone; name the folder .*--cache"
    ):
        explain_run(copy)
    clip = copy.predictions.clips[0]
    assert clip in explain_run(copy, [clip], cache=tmp_path / "moved")


def test_features_that_changed_since_the_training_are_refused_by_name(copy: Run) -> None:
    clip = copy.predictions.clips[3]
    changed = {clip: {"basic": np.ones((7, VIDEO_DIM), np.float32)}}
    write_set(Path(copy.info["cache"]), "resnet18", changed, weights="a" * 64)
    with pytest.raises(RunError, match=rf"other features of 1 clip than .*, {clip} first"):
        explain_run(copy)
    assert explain_run(copy, [copy.predictions.clips[4]])


def test_a_set_that_is_gone_is_named(copy: Run) -> None:
    for folder in Path(copy.info["cache"]).glob("resnet18-*"):
        shutil.rmtree(folder)
    with pytest.raises(RunError, match="has no feature set resnet18-"):
        explain_run(copy)


def test_a_checkpoint_that_is_gone_or_damaged_is_named(copy: Run) -> None:
    first, second = sorted((copy.path / CHECKPOINTS).iterdir())[:2]
    first.write_bytes(b"x")
    with pytest.raises(RunError, match=f"{first.name} is not a checkpoint"):
        explain_run(copy)
    second.unlink()
    first.unlink()
    with pytest.raises(RunError, match=f"{first.name} is gone; train the run again"):
        explain_run(copy)


def test_a_clip_that_was_not_tested_is_refused(run: Run) -> None:
    with pytest.raises(RunError, match="not tested on 1 clip of those asked for, other first"):
        explain_run(run, ["other", run.predictions.clips[0]])


def test_a_run_without_heads_of_its_own_is_refused(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "e", kind="ensemble"))
    with pytest.raises(RunError, match=r"has no heads of its own .*of kind ensemble"):
        explain_run(run)
