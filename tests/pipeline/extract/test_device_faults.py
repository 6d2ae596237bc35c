"""A device that fails in the middle of a run ends it, and no clip is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import find_set
from extractors.running import faults
from extractors.running.begun import Begun
from extractors.running.face_network import FaceNetwork
from tests.conftest import SMALL
from tests.pipeline.extracting import entries, extract, report

CLIPS = 3
EXTRACT = ("--sets", "resnet18", *SMALL, "--views", "basic")
# Whole clips in one batch: the first is done before the second begins.
HOW = {"own": ("--jobs", "0"), "shared": ("--jobs", "1", "--consumer", "shared")}
begin = FaceNetwork.begin


@pytest.fixture
def few(corpus: Path) -> Path:
    path = corpus.parent / "device-faults.csv"
    write_manifest(path, read_manifest(corpus).clips[:CLIPS], overwrite=True)
    return path


# A GPU can't be broken here, nor filled: its errors stand in for it, on the processor.
def fail_after_one(monkeypatch: pytest.MonkeyPatch, cache: Path, error: Exception) -> None:
    """Let networks fail from the moment when there is an entry."""

    def begin_or_fail(network: FaceNetwork, crops: object) -> Begun:
        if any(cache.glob("resnet18*/*/*.h5")):
            raise error
        return begin(network, crops)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(FaceNetwork, "begin", begin_or_fail)


def lose_device(_: object) -> None:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure")


@pytest.mark.slow
@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("memory", [False, True])
def test_a_fault_of_the_device_ends_the_run_and_the_same_command_goes_on(
    how: str, memory: bool, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*EXTRACT, *HOW[how])
    with monkeypatch.context() as broken:
        error = torch.OutOfMemoryError if memory else torch.AcceleratorError
        fail_after_one(broken, tmp_path, error("CUDA error: an illegal memory access"))
        if not memory:
            broken.setattr(faults, "try_device", lose_device)
        result = extract(few, tmp_path, *command)
    assert result.exit_code == 1
    said = "has too little free memory" if memory else "computes no more"
    assert f"Error: cpu {said}" in result.stderr
    assert "1 of 3 clips are done and stay. Run the same command again" in result.stderr
    assert not (tmp_path / "extract-report.json").exists()
    done = find_set(tmp_path, "resnet18")
    assert len(done.clip_ids()) == 1
    assert not done.failures()
    before = entries(tmp_path)
    result = extract(few, tmp_path, *command)
    assert result.exit_code == 0, result.output
    assert [clip["state"] for clip in report(tmp_path).values()] == ["ok"] * CLIPS
    assert before.items() <= entries(tmp_path).items()


@pytest.mark.slow
def test_an_error_on_a_device_that_works_fails_its_clip_and_is_tried_again(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        fail_after_one(broken, tmp_path, RuntimeError("no such crops"))
        result = extract(few, tmp_path, *EXTRACT, *HOW["shared"])
    assert result.exit_code == 1
    states = sorted(clip["state"] for clip in report(tmp_path).values())
    assert states == ["failed", "failed", "ok"]
    faults = {clip["sets"]["resnet18"]["fault"] for clip in report(tmp_path).values()} - {""}
    assert len(faults) == 1  # by its place in the process that runs the network
    assert faults.pop().startswith("RuntimeError in test_device_faults.py:")
    assert not find_set(tmp_path, "resnet18").failures()
    assert extract(few, tmp_path, *EXTRACT, *HOW["own"]).exit_code == 0
