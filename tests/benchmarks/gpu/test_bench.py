"""Parts of a benchmark: each figure is on the disk at once, and no part takes others with it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.bench import PATIENCE, Bench, run_parts
from benchmarks.ratio import Row, format_rows

pytestmark = pytest.mark.slow  # each part is a new process


def wait_until_written(bench: Bench) -> Iterator[dict[str, Any]]:
    """Go on only when the file holds what was measured, which nothing else could see."""
    yield {"first": 7, "rows": [{"what": "a"}]}
    deadline, parts = time.monotonic() + 20, dict[str, Any]()
    while "waits" not in parts and time.monotonic() < deadline:
        time.sleep(0.05)
        if (bench.folder / "out.json").exists():
            parts = json.loads((bench.folder / "out.json").read_text())["parts"]
    yield {"seen": parts["waits"]["first"], "rows": [{"what": "b"}]}


def fail(_: Bench) -> Iterator[dict[str, Any]]:
    yield {"first": 5}
    raise RuntimeError("the GPU fell off")


def die(_: Bench) -> Iterator[dict[str, Any]]:
    yield {"first": 3}
    os._exit(11)


def hang(bench: Bench) -> Iterator[dict[str, Any]]:
    child = subprocess.Popen(["sleep", "600"])
    (bench.folder / "child").write_text(str(child.pid))
    yield {"first": 2}
    child.wait()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "m.csv", tmp_path, "cpu", "fp32", 2, budget=20.0)


def test_every_figure_is_written_before_the_next_is_measured(bench: Bench) -> None:
    result: dict[str, Any] = {"machine": "a"}
    assert run_parts({"waits": wait_until_written}, bench, result, bench.folder / "out.json") == []
    found = json.loads((bench.folder / "out.json").read_text())
    assert found["machine"] == "a"
    assert found["parts"]["waits"]["seen"] == 7
    assert found["parts"]["waits"]["rows"] == [{"what": "a"}, {"what": "b"}]


def test_a_part_that_fails_or_dies_keeps_its_figures_and_the_others_go_on(bench: Bench) -> None:
    parts = {"fails": fail, "dies": die, "waits": wait_until_written}
    result: dict[str, Any] = {}
    assert run_parts(parts, bench, result, bench.folder / "out.json") == ["fails", "dies"]
    found = json.loads((bench.folder / "out.json").read_text())["parts"]
    assert (found["fails"]["first"], found["dies"]["first"]) == (5, 3)
    assert found["fails"]["error"] == "RuntimeError: the GPU fell off"
    assert found["dies"]["error"] == "its process died (exit code 11)"
    assert found["waits"]["seen"] == 7


def test_a_part_that_hangs_is_ended_with_all_that_it_started(bench: Bench) -> None:
    impatient = replace(bench, budget=4.0)
    result: dict[str, Any] = {}
    started = time.monotonic()
    assert run_parts({"hangs": hang}, impatient, result, None) == ["hangs"]
    assert time.monotonic() - started < PATIENCE * 4 + 5
    assert result["parts"]["hangs"]["first"] == 2
    assert result["parts"]["hangs"]["error"] == "ended after 6 s, its budget exceeded"
    state = Path("/proc") / (bench.folder / "child").read_text() / "stat"
    deadline = time.monotonic() + 10  # until whoever adopted it has buried it
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_row_names_whose_figure_its_target_is() -> None:
    row = Row("frames", 823.0, 820, "frames/s", source="InsightFace-REST")
    line = "| frames | 823 frames/s | at least 820 frames/s (InsightFace-REST) | holds |"
    assert format_rows([row.to_json()]).splitlines()[-1] == line
