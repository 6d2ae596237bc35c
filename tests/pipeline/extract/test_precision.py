"""Half precision: in the key, and what it costs is stored with the entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import list_sets
from pipeline.cli import main
from tests.conftest import SMALL


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
