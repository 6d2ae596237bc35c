"""Figures of extraction on a GPU, computed from the report of ``avfuse extract``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.stage_one import judge, summarise
from cache.manifest.manifest import read_manifest, write_manifest

ROOT = Path(__file__).parent.parent.parent.parent


def report(device: float, **consumer: float) -> dict[str, Any]:
    """A run of 10 s after 3 s of starting, two workers that each worked for 9 s."""
    return {
        "frames": {"detect": 40, "whole": 10},
        "states": {"ok": 1, "failed": 1},
        "seconds": 13.0,
        "start_seconds": 3.0,
        "interrupted": 2,
        "peak_memory_bytes": 7,
        "clips": [{"state": "ok", "seconds": 12.0}, {"state": "failed", "seconds": 5.0}],
        "seconds_by_step": {"faces": 9.0, "decode": 5.4, "queue": 1.8, "network": 1.8},
        "consumer_seconds": {**consumer, "device": {"network": device, "transfer": 0.1}},
    }


def test_what_keeps_the_device_busy_or_waiting_is_named() -> None:
    assert judge(report(8.7, launch=3.0), on_gpu=True) == (
        "The device was the limit: it computed during 87% of the time."
    )
    fed = judge(report(5.0, gather=6.1, launch=2.0, idle=1.0), on_gpu=True)
    assert fed.startswith("The thread that feeds the device was the limit: 61% of the time went")
    assert judge(report(3.0, launch=1.0), on_gpu=True) == (
        "The workers were the limit: they spent 50% on faces and 30% on decode, and 20% waiting "
        "for embeddings; the device computed during 30% of the time."
    )
    waiting = report(4.0, launch=1.0)
    waiting["seconds_by_step"] = {"faces": 4.0, "queue": 5.0, "transfer": 1.0}
    assert judge(waiting, on_gpu=True).startswith(
        "Workers and device waited for each other: the workers 60% of their time"
    )


def test_a_processor_computes_in_the_thread_that_feeds_it() -> None:
    found = report(8.2, launch=8.3)
    assert judge(found, on_gpu=True).startswith("The thread that feeds")
    assert judge(found, on_gpu=False).startswith("The workers were the limit")


def test_rates_count_from_the_first_clip_and_failures_as_nothing() -> None:
    found = summarise(report(3.0), wall=15.0, cpu=24.0, jobs=2)
    assert (found["clips"], found["frames"], found["interrupted"]) == (1, 50, True)
    assert (found["start_seconds"], found["seconds"]) == (5.0, 10.0)
    assert found["frames_per_second"] == 5.0
    assert found["frames_per_second_of_ended_clips"] == round(2 * 50 / 12, 2)
    assert found["cores_busy"] == 1.6
    with pytest.raises(RuntimeError, match="no clip was done in 15 s"):
        summarise({**report(3.0), "frames": {}}, wall=15.0, cpu=24.0, jobs=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rehearsal_measures_every_part_of_stage_one_and_says_what_it_is(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gpu.json"
    few = write_manifest(tmp_path / "few.csv", read_manifest(corpus).clips[:2])
    command = [sys.executable, "-m", "benchmarks.gpu", str(few), "--device", "cpu"]
    command += ["--budget", "100", "--only", "known-faces", "--only", "stage-one"]
    done = subprocess.run(
        [*command, "--only", "transfer", "-o", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rehearsal on a processor" in done.stdout
    found = json.loads(out.read_text())
    assert list(found["parts"]) == ["stage-one", "known-faces", "transfer"]
    for part in ("stage-one", "known-faces"):
        for views in ("1 view", "18 views"):
            one = found["parts"][part][views]
            assert one["frames"] > 0
            assert one["consumer_seconds"]["device"]["network"] > 0
            assert ("faces" in one["worker_seconds_by_step"]) == (part == "stage-one")
    assert found["parts"]["transfer"]["to_the_consumer"]["crops_per_second"] > 0
    assert len(found["rows"]) == 2 * (3 + 2) + 1


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that CUDA can use")
def test_without_a_gpu_it_says_so_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "-o", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith("no CUDA device")) == (0, True)
    assert "skipped" in json.loads((tmp_path / "gpu.json").read_text())
