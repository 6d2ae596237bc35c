"""Networks are loaded once per process and held against the plan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extractors.networks import NETWORKS
from extractors.weights import load
from extractors.weights.load import save_weights
from extractors.weights.random import initialise
from pipeline.cli import main
from pipeline.extract.networks import load_here
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, parse_weights
from pipeline.workers.error import MachineError


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
    kept = path.rename(tmp_path / "kept")
    write_weights(path, 6)
    with pytest.raises(MachineError, match=r"of resnet18 can't .*/w\.safetensors changed since"):
        load_here(made.sets[-1], made)
    path.unlink()
    with pytest.raises(MachineError, match=r"of resnet18 can't be loaded: .*/w\.safetensors"):
        load_here(made.sets[-1], made)
    kept.rename(path)  # with the right file back nothing is left of the other
    assert load_here(made.sets[-1], made).weights_digest == made.sets[-1].spec.weights


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "consumer"), [(0, "own"), (2, "own"), (2, "shared")])
def test_weights_replaced_during_a_run_end_it_and_no_clip_is_failed_for_them(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, consumer: str
) -> None:
    path, cache = write_weights(tmp_path / "w.safetensors", 5), tmp_path / "cache"

    def plan_then_replace(*given: Any, **settings: Any) -> Plan:
        made = plan_sets(*given, **settings)
        write_weights(path, 6)
        return made

    monkeypatch.setattr("pipeline.extract.plan.plan_sets", plan_then_replace)
    command = ["extract", str(corpus), "--cache", str(cache), "--sets", "resnet18"]
    command += ["--weights", f"resnet18={path}", "--jobs", str(jobs), "--consumer", consumer]
    result = CliRunner().invoke(main, [*command, "--shard", "1/3"])
    assert result.exit_code == 1, result.output
    assert f"Error: the weights of resnet18 can't be loaded: {path} changed since" in result.output
    assert "clips are done and stay. Run the same command again to go on." in result.output
    assert list(cache.glob("resnet18-*/set.json"))
    assert not list(cache.rglob("failures/*"))


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
