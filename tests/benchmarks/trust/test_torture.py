"""The torture: every other operation survives its kills, counts are kept, and it bites."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.trust.kills.extract import Extract
from benchmarks.trust.kills.launcher import ROOT, Launcher
from benchmarks.trust.kills.operation import CacheWatch, draw_moment
from benchmarks.trust.kills.runs import RunWatch, Sweep, Train
from benchmarks.trust.kills.tally import Ledger, Tally, upper_bound
from benchmarks.trust.kills.upkeep import CollectGarbage, Import, Pack
from benchmarks.trust.torture import TURNS, torture
from tests.trainer.corpus_helper import values, write_set


@pytest.mark.slow
def test_a_few_kills_of_every_other_operation_lose_nothing(tmp_path: Path) -> None:
    ledger = Ledger(None, seed=41)
    turns = {Train: 3, Sweep: 1, Import: 3, Pack: 2, CollectGarbage: 2}
    torture(tmp_path, ledger, kills=11, turns=turns)
    assert ledger.faults == []
    assert {name: tally.counts["kills"] for name, tally in ledger.tallies.items()} == {
        kind.name: kills for kind, kills in turns.items()
    }
    assert all(tally.counts["rounds_compared"] for tally in ledger.tallies.values())


@pytest.mark.slow
def test_a_killed_torture_keeps_its_counts_and_goes_on(tmp_path: Path) -> None:
    def command(kills: int) -> list[str]:
        place = ["--folder", str(tmp_path / "folder"), "--results", str(results)]
        return [sys.executable, "-m", "benchmarks.trust.torture", "--kills", str(kills), *place]

    def counted() -> int:
        return int(json.loads(results.read_text())["kills"]) if results.exists() else 0

    results = tmp_path / "results.json"
    with subprocess.Popen(command(1000), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while counted() < 2 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    kills = counted()
    assert kills >= 2
    done = subprocess.run(command(kills + 1), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(results.read_text())
    assert result["kills"] == kills + 1
    assert [sitting["kills"] for sitting in result["sittings"]] == [kills, 1]
    assert result["faults"] == []


def test_the_bound_is_that_of_the_rule_of_three() -> None:
    assert upper_bound(0, 0) is None
    assert upper_bound(0, 1) == 0.95  # 1 - 0.05 ** (1 / n)
    assert upper_bound(0, 2) == pytest.approx(1 - 0.05**0.5, abs=1e-6)
    assert upper_bound(0, 3000) == pytest.approx(1 - 0.05 ** (1 / 3000), abs=1e-6)
    # One loss of two kills: none or one of two such losses has probability 1 - p ** 2 = 0.05.
    assert upper_bound(1, 2) == pytest.approx(0.95**0.5, abs=1e-6)
    assert upper_bound(3, 3) == 1.0


def test_the_same_start_is_killed_at_the_same_moment() -> None:
    first = [draw_moment(5, "train", start, {"group": 0.5, "worker": 0.5}) for start in range(99)]
    again = [draw_moment(5, "train", start, {"group": 0.5, "worker": 0.5}) for start in range(99)]
    assert first == again
    assert len({moment.share for moment in first}) == 99
    assert 0.6 < sum(moment.while_writing for moment in first) / 99 < 0.95
    assert {moment.target for moment in first} == {"group", "worker"}
    assert sum(TURNS.values()) == 100


def test_a_lost_a_changed_and_a_damaged_entry_are_faults(tmp_path: Path) -> None:
    made = write_set(
        tmp_path, "lips", {f"c{n}": {"values": values(3, 5, seed=n)} for n in range(3)}
    )
    watch, tally = CacheWatch(tmp_path), Tally("import")
    watch.check(tally)
    assert tally.faults == []
    made.entry_path("c0").unlink()
    changed = bytearray(made.entry_path("c1").read_bytes())
    changed[-1] ^= 1
    made.entry_path("c1").write_bytes(changed)
    watch.check(tally)
    told = "\n".join(tally.faults)
    assert "lost: " in told
    assert "damaged entry: clip c1" in told
    assert "changed: " in told


def test_a_run_that_lost_a_head_or_goes_back_is_a_fault(tmp_path: Path) -> None:
    run, heads = tmp_path / "run", tmp_path / "run" / "checkpoints"
    heads.mkdir(parents=True)
    (tmp_path / "undisturbed").mkdir()
    watch, tally = RunWatch(run, tmp_path / "undisturbed"), Tally("train")
    (heads / "seed-0.safetensors").write_bytes(b"a head")
    watch.done = {heads / "seed-1.progress": 3}
    watch.check(tally)
    assert tally.faults == []  # the head whose state is gone is there
    (heads / "seed-0.safetensors").unlink()
    watch.done = {heads / "seed-1.progress": 3}
    watch.check(tally)
    assert [line.partition(": ")[2].split(":")[0] for line in tally.faults] == ["lost", "lost"]
    (run / "predictions.csv").write_text("half a tab")
    watch.check(tally)
    assert "other than that of the undisturbed run" in tally.faults[-1]


def test_the_state_of_a_head_that_was_saved_already_may_go(tmp_path: Path) -> None:
    """A kill between the two leaves both; the next run removes the state."""
    heads = tmp_path / "run" / "checkpoints"
    heads.mkdir(parents=True)
    (tmp_path / "undisturbed").mkdir()
    watch, tally = RunWatch(tmp_path / "run", tmp_path / "undisturbed"), Tally("train")
    (heads / "seed-0.safetensors").write_bytes(b"a head")
    about = {"avfuse": json.dumps({"progress": {"history": [1, 2, 3]}})}
    values = {"weight": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(values, heads / "seed-0.progress", metadata=about)
    watch.check(tally)
    (heads / "seed-0.progress").unlink()
    watch.check(tally)
    assert tally.faults == []


def test_results_of_another_seed_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first = Ledger(path, seed=1)
    first.tally(Extract.name).add("kills", 7)
    first.tally(Extract.name).fault("lost: something")
    first.keep()
    again = Ledger(path, seed=1)
    assert again.kills == 7
    assert again.faults == first.faults
    with pytest.raises(ValueError, match="is of seed 1, not 2"):
        Ledger(path, seed=2)


def test_the_counts_of_another_core_are_added_once(tmp_path: Path) -> None:
    for seed, kills in ((1, 17), (2, 23)):
        ledger = Ledger(tmp_path / f"{seed}.json", seed=seed)
        ledger.tally("train").add("kills", kills)
        ledger.keep()
    both = Ledger(tmp_path / "1.json", seed=1)
    both.add(tmp_path / "2.json")
    both.keep()
    found = json.loads((tmp_path / "1.json").read_text())
    assert (found["kills"], found["seeds"]) == (40, [1, 2])
    assert sorted(sitting["kills"] for sitting in found["sittings"]) == [0, 17, 23]
    with pytest.raises(ValueError, match="of seed 2, which is counted already"):
        Ledger(tmp_path / "1.json", seed=1).add(tmp_path / "2.json")


@pytest.mark.slow
def test_a_launcher_that_began_nothing_has_nothing_to_end() -> None:
    """The first process of a machine is of session 0, as is nothing of ours."""
    with Launcher() as launcher:
        assert launcher.survivors() == []
