"""Encoders behind features that may have seen the clips which a run reports on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cache.digest import digest_json
from cache.manifest.clip import Clip
from trainer.data.splits import FoldPlan, find_leaks, plan_folds


@pytest.fixture
def plan() -> FoldPlan:
    clips = [Clip(f"c{i}", Path(f"/c{i}.mp4"), "ab"[i % 2], None, f"s{i // 2}") for i in range(8)]
    return plan_folds(clips, folds="speaker:2")


def made_by(**trained_on: Any) -> list[dict[str, Any]]:
    return [{"name": "alexnet", "provenance": {"trained_on": trained_on}}]


def of(plan: FoldPlan, fold: int, part: str) -> str:
    return digest_json([clip.id for clip in getattr(plan.folds[fold], part)])


def test_an_encoder_of_other_clips_is_warned_about_for_every_fold(plan: FoldPlan) -> None:
    (text,) = find_leaks(made_by(test_clips="f" * 64, train_clips="f" * 64, fold="fold 3"), plan)
    assert text == (
        "the audio encoder behind alexnet was trained apart and tested on fold 3; it may have seen "
        "the test clips of fold 0, fold 1: their figures may leak"
    )
    (unknown,) = find_leaks(made_by(), plan)
    assert "tested on clips that are not recorded" in unknown


def test_an_encoder_of_one_folds_training_clips_leaks_into_the_other_fold_alone(
    plan: FoldPlan,
) -> None:
    for part in ("train", "test"):
        own = {f"{part}_clips": of(plan, 0, part), "fold": "fold 0"}
        (text,) = find_leaks(made_by(**own), plan)
        assert text.endswith("it may have seen the test clips of fold 1: their figures may leak")


def test_features_that_no_training_made_leak_nothing(plan: FoldPlan) -> None:
    assert list(find_leaks([{"name": "resnet18", "provenance": {}}], plan)) == []
