"""openSMILE's tables, a file a clip and a row a clip: right are 3 steps of 3, and 1 vector of 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.manifest.manifest import read_manifest
from pipeline.exchange.importing import import_features
from pipeline.exchange.settings import ImportSettings
from tests.pipeline.import_sources import times, values

LLD = "name;frameTime;F0semitoneFrom27.5Hz_sma3nz;jitterLocal_sma3nz;Loudness_sma3\n"
ROWS = [[2.50, 0.10, 0.3], [2.51, 0.11, 0.3], [2.52, 0.12, 0.3]]
VECTORS = {"happy--a.mp4": [2.5, 0.3], "sad--b.mp4": [2.6, 0.4]}
SETTINGS = ImportSettings("csv", like="opensmile")


@pytest.fixture(params=["made here", "as reported"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "as reported":
        faults: Path = request.getfixturevalue("faults")
        return faults / "opensmile-csv"
    (tmp_path / "lld").mkdir()
    lines = [f"'unknown';{i / 100:.6f};{';'.join(map(str, row))}\n" for i, row in enumerate(ROWS)]
    for clip in VECTORS:
        (tmp_path / "lld" / f"{clip}.csv").write_text(LLD + "".join(lines))
    functionals = [f"'{clip}';0.000000;{a};{b}\n" for clip, (a, b) in VECTORS.items()]
    text = "name;frameTime;F0_amean;loud_amean\n" + "".join(functionals)
    (tmp_path / "func.csv").write_text(text)
    (tmp_path / "m.csv").write_text("clip,path\nhappy--a.mp4,a.mp4\nsad--b.mp4,b.mp4\n")
    return tmp_path


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_file_a_clip_has_three_steps_of_three(
    folder: Path, tmp_path: Path, as_folder: bool
) -> None:
    files = folder / "lld" if as_folder else sorted((folder / "lld").iterdir())
    report = import_features(tmp_path / "cache", "lld", files, _clips(folder), SETTINGS)
    for clip in VECTORS:
        assert times(report, clip) == [0.0, 0.01, 0.02]
        assert np.array_equal(values(report, clip), np.array(ROWS, np.float32))


@pytest.mark.parametrize(
    "settings", [SETTINGS, ImportSettings("csv", id_column="name", time_column="frameTime")]
)
def test_a_row_a_clip_has_one_vector_of_two(
    folder: Path, tmp_path: Path, settings: ImportSettings
) -> None:
    table = folder / "func.csv"
    report = import_features(tmp_path / "cache", "func", table, _clips(folder), settings)
    assert report.names == ("F0_amean", "loud_amean")
    for clip, vector in VECTORS.items():
        assert times(report, clip) == [0.0]
        assert np.array_equal(values(report, clip), np.array([vector], np.float32))


def _clips(folder: Path) -> list[str]:
    return [clip.id for clip in read_manifest(folder / "m.csv", check_files=False).clips]
