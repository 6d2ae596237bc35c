"""Half precision: in the key, and what it costs is stored with the entries."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import list_sets
from extractors.running.face_network import load_face_network
from pipeline.cli import main
from pipeline.extract.plan import plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import parse_weights
from tests.conftest import SMALL
from tests.extractors.small import needs_bfloat16


@pytest.fixture
def plain_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without instructions for half precision: PyTorch's answer is replaced."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "Plain"})


LACKS = r"bfloat16: this processor \(Plain\) has none of AVX512-BF16, AMX-BF16, Arm's BF16"


@pytest.mark.usefixtures("plain_processor")
def test_a_processor_without_the_instructions_is_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = ["extract", str(corpus), "--cache", str(cache), "--jobs", "0", "--device", "cpu"]
    command += ["--sets", "resnet18", *SMALL, "--precision", "bf16"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert re.search(LACKS, " ".join(result.stderr.split()))
    assert not cache.exists()


@pytest.mark.usefixtures("plain_processor")
def test_python_is_refused_too_when_it_runs_a_plan_or_builds_a_network(
    corpus: Path, tmp_path: Path
) -> None:
    settings = load_settings(["network.precision=bfloat16"])
    plan = plan_sets(
        ["resnet18"],
        settings,
        parse_weights(["resnet18=random"]),
        cache=tmp_path / "cache",
        device="cpu",
    )  # planning is allowed: it may be for another machine
    with pytest.raises(ValueError, match=LACKS):
        run_extract(read_manifest(corpus).clips, plan)
    assert not plan.cache.exists()
    with pytest.raises(ValueError, match=LACKS):
        load_face_network("resnet18", None, settings.network)


@needs_bfloat16
@pytest.mark.slow
def test_a_precision_has_a_set_of_its_own_and_says_how_far_it_is_from_float32(
    corpus: Path, tmp_path: Path
) -> None:
    clip = read_manifest(corpus).clips[0].id
    manifest = corpus.parent / f"{tmp_path.name}.csv"
    manifest.write_text("".join(corpus.read_text().splitlines(keepends=True)[:2]))
    for precision in ("fp32", "bf16"):
        command = ["extract", str(manifest), "--cache", str(tmp_path / "cache"), "--jobs", "0"]
        command += ["--sets", "resnet18", *SMALL, "--views", "basic", "--precision", precision]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
    sets = [item for item in list_sets(tmp_path / "cache") if item.spec.name == "resnet18"]
    found = {str(item.spec.settings["precision"]): item.read(clip) for item in sets}
    assert set(found) == {"float32", "bfloat16"}
    exact, rounded = (found[name].arrays["basic"] for name in ("float32", "bfloat16"))
    assert "deviation_from_float32" not in found["float32"].attributes
    stored = found["bfloat16"].attributes["deviation_from_float32"]
    assert 0 < stored["max_relative"] < 0.05
    assert 0.999 < stored["min_cosine"] < 1
    # Measured on the clip's first batch, which here is the whole clip.
    difference = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert abs(difference - stored["max_relative"]) < 1e-6 + 0.1 * stored["max_relative"]
