"""What is said of the default network: counted by hand, and the same in page and result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.science import default_network
from benchmarks.science.default_network import Asked, figures, format_table, measure_faces
from extractors.weights.class_names import SEVEN
from extractors.weights.default import DEFAULT_FILES, DEFAULT_NETWORK
from tests.pipeline.default_weights import ship_small_default

ROOT = Path(default_network.__file__).parents[2]


def test_the_page_has_the_table_of_the_result_file() -> None:
    measured = json.loads((ROOT / "benchmarks/results/default-network.json").read_text())
    page = (ROOT / "docs/default-network.md").read_text()
    assert format_table(measured["rows"]) in page


def test_neutral_answers_are_counted_beside_neutral_labels() -> None:
    row = figures(["sad", "happy", "neutral"], ["neutral", "happy", "neutral"], SEVEN)
    assert row["neutral"] == {"answered": 2, "labelled": 1}
    last = " ".join(format_table({"three": row}).splitlines()[-1].split())
    assert last == (
        "| three | 3 | **66.7 %** [20.8, 93.9] | 66.7 | | | | 100.0 | 100.0 | 0.0 | | | 2 / 1 |"
    )


@pytest.mark.slow
def test_a_folder_of_faces_is_measured_on_the_seven_whatever_it_calls_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_small_default(monkeypatch, tmp_path / "d.safetensors")
    for name, size in (("Anger", 48), ("happy", 48), ("sadness", 64), ("bored", 48)):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        Image.new("L", (size, size), 99).save(folder / "1.png")
    found = measure_faces(Asked(DEFAULT_FILES[DEFAULT_NETWORK]), tmp_path / "faces")
    assert (found["n"], found["classes"]) == (3, list(SEVEN))
    assert [name for name, share in found["recall"].items() if share is not None] == [
        *("angry", "happy", "sad")
    ]
