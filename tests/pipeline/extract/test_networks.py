"""Networks are loaded once per process and held against the plan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from extractors.networks import NETWORKS
from extractors.weights import load
from extractors.weights.load import save_weights
from extractors.weights.random import initialise
from pipeline.extract.networks import load_here
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, parse_weights


def write_weights(path: Path, seed: int) -> Path:
    module = NETWORKS["resnet18"].build()
    initialise(module, seed)
    save_weights(module, path, {})
    return path


def plan(tmp_path: Path, choice: str, batch_size: int = 0) -> Plan:
    return plan_sets(
        ["resnet18"],
        StageOneSettings(),
        parse_weights([f"resnet18={choice}"]),
        cache=tmp_path / "cache",
        device="cpu",
        batch_size=batch_size,
    )


@pytest.mark.slow
def test_a_plan_has_the_digest_and_the_settings_of_the_network_that_is_loaded(
    tmp_path: Path,
) -> None:
    for choice in (write_weights(tmp_path / "w.safetensors", 5), "random:7", "default"):
        made = plan(tmp_path, str(choice))
        network = load_here(made.sets[-1], made)
        assert network.weights_digest == made.sets[-1].spec.weights
        assert load_here(made.sets[-1], made) is network


def test_weights_that_changed_between_plan_and_load_are_noticed(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", 5)
    made = plan(tmp_path, str(path))
    write_weights(path, 6)
    with pytest.raises(ValueError, match=r"weights of resnet18 changed since .*w\.safetensors"):
        load_here(made.sets[-1], made)


def test_a_file_that_the_plan_digested_is_not_digested_again_while_it_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_weights(tmp_path / "w.safetensors", 5)
    made, digested = plan(tmp_path, str(path)), []
    real = load.digest_tensors
    monkeypatch.setattr(load, "digest_tensors", lambda t: digested.append(1) or real(t))
    assert load_here(made.sets[-1], made).weights_digest == made.sets[-1].spec.weights
    assert digested == []
    os.utime(path)  # the same bytes, which only reading them can tell
    again = replace(made.sets[-1], choice=replace(made.sets[-1].choice, seed=1))
    assert load_here(again, made).weights_digest == made.sets[-1].spec.weights
    assert digested == [1]


def test_a_negative_batch_size_is_refused_when_planning(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="batch_size must not be negative, got -1"):
        plan(tmp_path, "random", batch_size=-1)


def test_a_file_that_was_replaced_since_an_earlier_run_of_the_process_is_loaded_anew(
    tmp_path: Path,
) -> None:
    path = write_weights(tmp_path / "w.safetensors", 5)
    before = plan(tmp_path, str(path))
    first = load_here(before.sets[-1], before)
    write_weights(path, 6)
    after = plan(tmp_path, str(path))
    second = load_here(after.sets[-1], after)
    assert second.weights_digest == after.sets[-1].spec.weights != first.weights_digest
