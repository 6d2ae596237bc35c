"""The scripts and the notebook of ``examples`` run, on real files, and print what they say."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest

import pipeline

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
MOST_LINES = 40
# What each is called with, and a part of what it prints.
CALLS = {
    "compare_poolings.py": (["manifest.csv", "CACHE", "poolings"], "self less mean: "),
    "extract_and_predict.py": (["clips", "made", "holiday.mp4"], "9 clips: {'happy': 3"),
    "own_feature.py": (["manifest.csv", "OWN", "runs/voice"], "9 clips with 2 numbers a step"),
    "own_loop.py": (["manifest.csv", "CACHE"], "'sad-s3-1': "),
    "plot_features.py": (["CACHE", "sad-s1-1", "plot.png"], ""),
}


@pytest.fixture(scope="module")
def made(workplace: Path) -> Path:
    """Folder in which the clips are extracted already, under the ids that their folders give."""
    folder = workplace / "made"
    pipeline.index_corpus("folder", workplace / "clips", out=folder / "manifest.csv")
    pipeline.extract_features(folder / "manifest.csv", cache=folder / "cache", jobs=2)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_and_prints_its_answer_alone(
    name: str,
    at_work: Path,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words, expected = CALLS[name]
    if "OWN" in words:
        shutil.copytree("CACHE", "OWN")
    if words[-1] == "holiday.mp4" and (folder := os.environ.get("AVFUSE_TEST_DATA")):
        clips = (Path(folder) / "clips" / "labelled").glob("*.mp4")
        words = [*words[:-1], str(min(clips, key=lambda path: path.stat().st_size))]
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    said = capfd.readouterr()
    assert expected in said.out
    assert said.err == ""
    if name == "plot_features.py":
        assert Path("plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short_and_says_how_to_call_it(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert text.splitlines()[2].startswith(f"    python {name} ")


@pytest.mark.slow
def test_the_notebook_runs_without_widgets_and_says_little(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "clips").symlink_to(made.parent / "clips")
    shutil.copytree(made / "cache", tmp_path / "tour" / "cache")
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", 4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert {output.get("name", "result") for output in outputs} == {"stdout", "result"}
    assert "9 clips" in outputs[0]["text"]
    assert (tmp_path / "tour" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "tour" / "explained.html").is_file()


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
