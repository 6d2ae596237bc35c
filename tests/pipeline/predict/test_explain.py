"""Explanations of a run's clips and of other videos, through the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.manifest.manifest import Clip, read_manifest
from pipeline.cli import main
from pipeline.predict.by_run import predict_videos
from pipeline.predict.explain import MOST_CLIPS, explain
from tests.trainer.run_helper import make_run
from trainer.explain.cached import explain_run
from trainer.runs.folder import Run, read_run

QUICK = ("--set", "optim.epochs=1", "--set", "optim.batch_size=3", "--set", "video.set=resnet18")


def train(corpus: Path, cache: Path, run: Path, *options: str) -> Run:
    command = ["train", str(corpus), "--cache", str(cache), "--run", str(run), *QUICK, *options]
    result = CliRunner().invoke(main, command)
    if result.exit_code != 0:
        pytest.fail(result.output)
    return read_run(run)


@pytest.fixture(scope="module")
def run(corpus: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the default preset."""
    return train(corpus, extracted, tmp_path_factory.mktemp("run") / "fusion")


@pytest.fixture(scope="module")
def video_run(corpus: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that sees and doesn't hear."""
    folder = tmp_path_factory.mktemp("run") / "video"
    return train(corpus, extracted, folder, "--set", "fusion.kind=video")


@pytest.fixture
def tested(corpus: Path, run: Run) -> Clip:
    """A clip that the run was tested on."""
    return read_manifest(corpus).by_id[run.predictions.clips[0]]


def command(run: Run, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["explain", str(run.path), *map(str, arguments)])


def shown(page: Path) -> list[dict[str, Any]]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    data: list[dict[str, Any]] = json.loads(found[1]) if found else []
    return data


@pytest.mark.slow
def test_a_clip_and_its_file_are_one_and_come_from_the_cache(
    run: Run, video_run: Run, tested: Clip, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "page.html"
    both = ("--run2", video_run.path)
    result = command(run, tested.id, tested.path, "-o", page, *both)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"1 clip explained\nwritten: {page}\n"
    (one,) = shown(page)
    expected = explain_run(run, [tested.id])[tested.id]
    assert one["explanation"] == {**expected.to_json(1000), "run": "fusion"}
    assert list(one["second"]["attention"]) == ["video"]
    assert len(one["pictures"]["strip"]["times"]) == 12
    assert one["pictures"]["spectrogram"]
    again = command(run, tested.id, "-o", page)
    assert again.exit_code == 2
    assert "pass --overwrite" in again.output
    figure = tmp_path / "page.pdf"
    assert command(run, tested.id, "-o", figure, *both).exit_code == 0
    assert figure.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_another_video_is_extracted_and_gets_the_answer_of_predict(
    run: Run, video_run: Run, tested: Clip, tmp_path: Path
) -> None:
    copy = tmp_path / "<b>copy.mp4"
    shutil.copy(tested.path, copy)
    (tmp_path / "notes.mp4").write_text("not a video")
    found = explain(run, [copy, tmp_path / "notes.mp4"], run2=video_run)
    assert list(found.unseen) == [str(tmp_path / "notes.mp4")]
    assert "it looks like text" in found.unseen[str(tmp_path / "notes.mp4")]
    (panel,) = found.panels
    assert (panel.first.clip, panel.first.label) == ("<b>copy.mp4", None)
    answer = predict_videos(run, [copy])["videos"][0]
    np.testing.assert_allclose(
        panel.first.probabilities, list(answer["probabilities"].values()), atol=1e-6
    )
    # The cache's features are the same, and the one head is the one that tested the clip.
    known = explain_run(run, [tested.id])[tested.id]
    np.testing.assert_allclose(
        panel.first.windows.probabilities, known.windows.probabilities, atol=1e-4
    )
    assert panel.second is not None
    assert panel.pictures is not None
    assert panel.pictures.strip


@pytest.mark.slow
def test_a_clip_whose_cache_is_gone_is_extracted_and_answered_by_the_heads_that_tested_it(
    corpus: Path, extracted: Path, run: Run, tested: Clip, tmp_path: Path
) -> None:
    shutil.copytree(extracted, tmp_path / "cache")
    folds = train(corpus, tmp_path / "cache", tmp_path / "folds", "--folds", "clip:2")
    shutil.rmtree(tmp_path / "cache")
    (panel,) = explain(folds, [tested.id], run2=run).panels
    row = folds.predictions.clips.index(tested.id)
    np.testing.assert_allclose(
        panel.first.probabilities, folds.predictions.probabilities[row], atol=1e-4
    )
    one = panel.first
    assert (one.clip, one.label, one.num_heads) == (tested.id, tested.label, 1)
    assert one.fold == folds.predictions.folds[row]
    assert panel.second is not None
    trained = next(c for c in folds.predictions.clips if c not in run.predictions.clips)
    (panel,) = explain(folds, [trained], run2=run).panels
    assert panel.second is None
    assert panel.pictures is not None
    assert f"{run.path} was not tested on this clip" in panel.pictures.why


@pytest.mark.slow
def test_a_clip_that_the_run_was_trained_on_is_said_to_be_one(run: Run, corpus: Path) -> None:
    trained = next(clip for clip in read_manifest(corpus).clips if clip.split == "train")
    (panel,) = explain(run, [trained.path]).panels
    assert panel.pictures is not None
    assert "was trained on this clip" in panel.pictures.why


@pytest.mark.slow
def test_a_clip_whose_video_is_gone_is_explained_without_frames(
    run: Run, corpus: Path, tested: Clip, tmp_path: Path
) -> None:
    moved = tmp_path / "manifest.csv"
    moved.write_text(corpus.read_text().replace(tested.path.name, "gone.mp4"))
    page = tmp_path / "page.html"
    result = command(run, tested.id, "-o", page, "--manifest", moved)
    assert result.exit_code == 0
    assert "no pictures" in result.stderr
    (one,) = shown(page)
    assert "strip" not in one["pictures"]
    assert one["explanation"]["windows"]["times"]


def test_an_ensemble_is_refused_by_its_kind(tmp_path: Path) -> None:
    made = read_run(make_run(tmp_path / "e", kind="ensemble"))
    result = command(made, made.predictions.clips[0], "-o", tmp_path / "page.html")
    assert result.exit_code == 2
    assert "has no heads of its own (it is of kind ensemble)" in result.output


@pytest.mark.slow
def test_what_can_not_be_explained_is_refused_in_words(
    run: Run, tested: Clip, corpus: Path, extracted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    for arguments, message in (
        ((tested.id[:-1], "-o", out), f"(did you mean '{tested.id}'?)"),
        ((tested.id, "-o", tmp_path / "page.gif"), "expected a name that ends in .html, .png"),
        ((*[tested.id] * 9, "-o", tmp_path / "page.png"), "a figure shows 1 to 8 clips, got 9"),
        ((tested.id, "-o", out, "--cache", tmp_path / "no"), "is gone; name the folder"),
        ((tested.id, "-o", out, "--run2", tmp_path), "is not a run folder"),
    ):
        result = command(run, *arguments)
        assert result.exit_code == 2, arguments
        assert message in result.output
    with pytest.raises(ValueError, match=f"at most {MOST_CLIPS} clips, got {MOST_CLIPS + 1}"):
        explain(run, [tested.id] * (MOST_CLIPS + 1))
    (tmp_path / "page-2.html").write_text("mine")
    result = command(run, *[tested.id] * 51, "-o", out)  # 50 stand on a page
    assert (result.exit_code, "page-2.html exists; pass --overw" in result.output) == (2, True)
    two = tmp_path / "two.csv"
    rows = corpus.read_text().replace(",sad,", ",happy,")
    two.write_text(rows.replace("clips/", f"{corpus.parent}/clips/"))
    other = train(two, extracted, tmp_path / "two")
    with pytest.raises(ValueError, match="has the classes happy, surprise, expected those of"):
        explain(run, [tested.id], run2=other)
    assert not out.exists()
