"""Cells whose heads are no networks, and ensembles of them that aren't plain means."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.manifest import Manifest
from cache.settings import SettingsError
from trainer.runs.folder import NESTED, read_run
from trainer.sweeps.cell import Place
from trainer.sweeps.file import SweepError, read_sweep
from trainer.sweeps.sweep import run_sweep

pytestmark = pytest.mark.usefixtures("no_pictures")

TEXT = """
[base]
preset = "svm"
folds = "speaker:4"
seeds = 2
set = { audio.set = "spectrogram", video.set = "resnet18" }
[[cells]]
name = "svm"
[[cells]]
name = "linear"
set = { head.kind = "linear" }
[[cells]]
name = "video"
set = { head.kind = "discriminant", fusion.kind = "video" }
[[cells]]
name = "product"
ensemble = ["svm", "video"]
method = "product"
[[cells]]
name = "stack"
ensemble = ["svm", "linear"]
method = "stack"
"""


@pytest.mark.slow
def test_cells_of_every_kind_are_joined_as_their_file_says(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "kinds.toml").write_text(TEXT)
    sweep = read_sweep(str(tmp_path / "kinds.toml"))
    place = Place(manifest.path, cache, tmp_path / "out")
    results = run_sweep(sweep, place)
    assert [(result.state, result.reason) for result in results] == [("ok", "")] * 5
    runs = {name.cell: read_run(tmp_path / "out" / "cells" / name.cell) for name in results}
    assert [name for name, run in runs.items() if (run.path / NESTED).exists()] == ["svm", "linear"]
    assert runs["svm"].info["seeds"] == [0]
    assert runs["product"].info["method"] == "product"
    assert [part["fold"] for part in runs["stack"].info["stack"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("method = 'stack'", "method=stack is of an ensemble: name its cells"),
        ("ensemble = ['b']\nmethod = 'sum'", "method must be one of mean, product, stack"),
    ],
)
def test_a_way_to_join_that_there_is_not_is_refused(
    line: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"[[cells]]\nname = 'a'\n{line}\n[[cells]]\nname = 'b'\n")
    with pytest.raises((SweepError, SettingsError), match=message):
        read_sweep(str(path))
