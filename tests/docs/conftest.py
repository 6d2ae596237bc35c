"""The folder that the blocks of every page begin with, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import avfuse, no_pictures, working_in


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three classes and speakers, its cache, two runs, a video and a picture."""
    pytest.importorskip("skimage", reason="the generated corpus needs the photograph")
    import cv2

    from pipeline.commands.demo_corpus import DemoSettings, make_demo_corpus

    folder = tmp_path_factory.mktemp("worked")
    make_demo_corpus(folder / "clips", DemoSettings(speakers=3, takes=1))
    rows = (folder / "clips" / "manifest.csv").read_text().splitlines()
    (folder / "clips" / "manifest.csv").unlink()
    lines = [rows[0], *(row.replace(",", ",clips/", 1) for row in rows[1:])]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(folder / "clips/happy/happy-s1-1.mp4", folder / "holiday.mp4")
    _, frame = cv2.VideoCapture(str(folder / "holiday.mp4")).read()
    cv2.imwrite(str(folder / "photo.jpg"), frame)
    with working_in(folder), no_pictures():
        sets = ("--sets", "resnet29,logmel,spectrogram", "--views", "basic")
        results = [avfuse("extract", "manifest.csv", "--cache", "CACHE", *sets)]
        train = ("train", "manifest.csv", "--cache", "CACHE", "--folds", "speaker:3")
        results.append(avfuse(*train, "--run", "runs/first"))
        results.append(avfuse(*train, "--run", "runs/other", "--set", "fusion.kind=video"))
    if failed := [result.output for result in results if result.exit_code != 0]:
        pytest.fail("\n".join(failed))
    return folder
