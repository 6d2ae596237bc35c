"""A good JPEG given to ``predict``: an answer that says it is one picture.

Files of other kinds, and pictures made there, are tried in
``tests/pipeline/media/test_recognise.py``, ``tests/pipeline/predict/test_picture.py`` and
``tests/pipeline/commands/test_predict.py``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.media.container import MediaError, probe
from tests.pipeline.command import avfuse


@pytest.mark.slow
def test_the_photograph_gets_the_answer_of_a_video_of_it(faults: Path, tmp_path: Path) -> None:
    photo, film = faults / "still-picture" / "face.jpg", tmp_path / "film.mkv"
    if shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg is absent; it makes a video of the picture")
    lossless = ("-pix_fmt", "bgr0", "-c:v", "ffv1", str(film))
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", str(photo), *lossless], check=True)
    result = avfuse("predict", photo, film, "--json")
    assert result.exit_code == 0, result.output
    picture, video = json.loads(result.stdout)["videos"]
    assert (picture["kind"], picture["state"], picture["frames_with_face"]) == ("picture", "ok", 1)
    assert picture["prediction"] == video["prediction"]
    # FFmpeg and Pillow enlarge the colours of a JPEG otherwise.
    assert picture["probabilities"] == pytest.approx(video["probabilities"], abs=0.03)


def test_to_all_else_it_is_a_picture(faults: Path) -> None:
    with pytest.raises(MediaError, match=r"face\.jpg is a JPEG picture, not a video; "):
        probe(faults / "still-picture" / "face.jpg")
