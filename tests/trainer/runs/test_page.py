"""The HTML page of a run: true to its predictions, self-contained, and safe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main


@pytest.fixture(scope="module")
def run(corpus: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one audio head, trained too little to be right about every clip."""
    folder = tmp_path_factory.mktemp("run") / "r"
    command = ["train", str(corpus), "--cache", str(extracted), "--run", str(folder)]
    command += ["--set", "fusion.kind=video", "--set", "video.set=resnet18"]
    result = CliRunner().invoke(main, [*command, "--set", "optim.epochs=1"])
    if result.exit_code != 0:
        pytest.fail(result.output)
    return folder


@pytest.mark.slow
def test_the_page_has_the_figures_the_pictures_and_the_warnings(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "r.html"
    result = CliRunner().invoke(main, ["report", str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{100 * metrics['all']['ensemble']['accuracy']:.1f} %" in page
    assert page.count("data:image/png;base64,") == 2
    assert "untrained" in page
    assert 'src="http' not in page
    assert "<link" not in page


def test_a_clip_that_is_wrong_is_listed_and_its_name_cannot_inject(
    run: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    info = json.loads((copy / "run.json").read_text())
    info["command"] = ["<script>alert(1)</script>"]
    (copy / "run.json").write_text(json.dumps(info))
    out = tmp_path / "r.html"
    assert CliRunner().invoke(main, ["report", str(copy), "-o", str(out)]).exit_code == 0
    page = out.read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    lines = (run / "predictions.csv").read_text().splitlines()[1:]
    wrong = [line.split(",")[0] for line in lines if line.split(",")[1] != line.split(",")[2]]
    assert f"{len(wrong)} clips are predicted wrong" in page or not wrong
    for clip in wrong:
        assert f"<td>{clip}</td>" in page


def test_an_existing_page_and_a_folder_that_is_no_run_are_refused(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.html"
    out.write_text("mine")
    result = CliRunner().invoke(main, ["report", str(run), "-o", str(out)])
    assert result.exit_code == 2
    assert "pass --overwrite" in result.output
    assert out.read_text() == "mine"
    result = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path / "x.html")])
    assert result.exit_code == 2
    assert "is not a run folder" in result.output
