"""Entries made on a GPU: those of the processor, whoever computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import find_set
from tests.conftest import SMALL
from tests.pipeline.extracting import extract, report

CLIPS = 3


@pytest.fixture(scope="module")
def few(corpus: Path) -> Path:
    """A manifest of some clips of the generated corpus and one that can't be read."""
    (corpus.parent / "broken.mp4").write_bytes(b"\0" * 5_000)
    clips = read_manifest(corpus).clips[:CLIPS]
    path = corpus.parent / "few.csv"
    write_manifest(path, clips, overwrite=True)
    lines = path.read_text().splitlines()
    broken = "broken,broken.mp4" + "," * (lines[0].count(",") - 1)
    path.write_text("\n".join([*lines, broken]) + "\n")
    return path


def assert_same_entries(found: Path, expected: Path, names: tuple[str, ...]) -> None:
    states = [{clip: row["state"] for clip, row in report(c).items()} for c in (found, expected)]
    assert states[0] == states[1]
    assert sorted(states[0].values()) == ["failed", *["ok"] * CLIPS]
    for name in names:
        sets = [find_set(cache, name) for cache in (found, expected)]
        assert sets[0].spec.key == sets[1].spec.key
        for clip in (clip for clip, state in states[0].items() if state == "ok"):
            ours, theirs = (one.read(clip, verify=True) for one in sets)
            assert set(ours.arrays) == set(theirs.arrays)
            for key, values in theirs.arrays.items():
                largest = np.abs(values).max()
                np.testing.assert_allclose(ours.arrays[key], values, rtol=0, atol=1e-4 * largest)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["shared", "own"])
def test_workers_on_a_gpu_yield_the_entries_of_the_processor(
    how: str, few: Path, tmp_path: Path, gpu: str
) -> None:
    common = ("--sets", "resnet18", *SMALL, "--jobs", "2")  # 18 views
    for device, cache in (("cpu", "expected"), (gpu, "found")):
        options = ("--device", device, "--consumer", how if device == gpu else "own")
        result = extract(few, tmp_path / cache, *common, *options)
        assert result.exit_code == 1, result.output
    assert_same_entries(tmp_path / "found", tmp_path / "expected", ("faces", "resnet18"))


@pytest.mark.slow
def test_two_networks_share_a_gpu_in_one_run(few: Path, tmp_path: Path, gpu: str) -> None:
    common = ["--sets", "ir50,resnet18", "--views", "basic", "--jobs", "2"]
    common += ["--weights", "ir50=random", "--weights", "resnet18=random"]
    for device, cache in (("cpu", "expected"), (gpu, "found")):
        consumer = "shared" if cache == "found" else "own"
        options = ("--device", device, "--consumer", consumer)
        result = extract(few, tmp_path / cache, *common, *options)
        assert result.exit_code == 1, result.output
    assert_same_entries(tmp_path / "found", tmp_path / "expected", ("ir50", "resnet18"))


@pytest.mark.slow
def test_half_precision_on_a_gpu_says_in_every_entry_what_it_cost(
    few: Path, tmp_path: Path, gpu: str
) -> None:
    options = ("--sets", "resnet18", *SMALL, "--jobs", "2", "--device", gpu, "--precision", "bf16")
    result = extract(few, tmp_path, *options, "--views", "basic", "--consumer", "shared")
    assert result.exit_code == 1, result.output
    made = find_set(tmp_path, "resnet18")
    for clip in (clip for clip, row in report(tmp_path).items() if row["state"] == "ok"):
        deviation = made.read(clip).attributes["deviation_from_float32"]
        assert 0 < deviation["max_relative"] < 0.05


@pytest.mark.slow
def test_a_run_on_a_second_gpu_computes_there(few: Path, tmp_path: Path, second_gpu: str) -> None:
    common = ("--sets", "resnet18", *SMALL, "--views", "basic", "--jobs", "2")
    torch.cuda.reset_peak_memory_stats(second_gpu)
    before = torch.cuda.memory_allocated(0)
    for device, cache in (("cpu", "expected"), (second_gpu, "found")):
        result = extract(few, tmp_path / cache, *common, "--device", device)
        assert result.exit_code == 1, result.output
    assert torch.cuda.max_memory_allocated(second_gpu) > 0
    assert torch.cuda.memory_allocated(0) == before
    assert_same_entries(tmp_path / "found", tmp_path / "expected", ("resnet18",))
