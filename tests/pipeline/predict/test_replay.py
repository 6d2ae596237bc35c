"""Recorded sets become plans again: one for all of them, so that a video is decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cache.settings import settings_from
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, parse_weights
from pipeline.predict.replay import Recorded, replay_plans

RANDOM = ("resnet18=random:3", "vggface=random:5")


def record(cache: Path, sets: Sequence[str], **settings: Any) -> dict[str, Recorded]:
    """Plan sets and return them by name, as a run records them."""
    weights = parse_weights([text for text in RANDOM if text.partition("=")[0] in sets])
    plan = plan_sets(sets, settings_from(StageOneSettings, settings), weights, cache=cache)
    return {
        planned.name: Recorded(planned.spec, {"weights": str(planned.choice or "")})
        for planned in plan.sets
    }


def by_key(*records: dict[str, Recorded]) -> dict[str, Recorded]:
    return {one.spec.key: one for record in records for one in record.values()}


@pytest.mark.slow
def test_all_sets_of_a_run_are_planned_as_one(tmp_path: Path) -> None:
    names = ("resnet18", "vggface", "spectrogram", "logmel")
    made = record(tmp_path, names, crops={"size": 64}, spectrogram={"num_bins": 101})
    keys = [made[name].spec.key for name in (*names, "resnet18")]
    (plan,) = replay_plans(by_key(made), keys, {}, cache=tmp_path)
    assert [planned.name for planned in plan.sets] == ["faces", "identity", *names]
    assert [planned.spec.key for planned in plan.sets[2:]] == keys[:-1]


@pytest.mark.slow
def test_networks_with_crops_of_their_own_are_planned_apart(tmp_path: Path) -> None:
    small = record(tmp_path, ["resnet18", "logmel"], crops={"size": 64})
    large = record(tmp_path, ["vggface"], crops={"size": 96})
    keys = [small["resnet18"].spec.key, large["vggface"].spec.key, small["logmel"].spec.key]
    plans = replay_plans(by_key(small, large), keys, {}, cache=tmp_path)
    names = [[planned.name for planned in plan.sets] for plan in plans]
    with_faces = [["faces", "identity", name] for name in ("resnet18", "vggface")]
    assert names == [*with_faces, ["logmel"]]
    assert [plan.sets[-1].spec.key for plan in plans] == keys


def test_a_set_that_the_run_does_not_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="doesn't record how its set 0123456789abcdef was made"):
        replay_plans({}, ["0123456789abcdef01"], {}, cache=tmp_path)
