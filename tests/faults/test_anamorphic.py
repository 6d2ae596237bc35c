"""A film whose pixels are not square: its faces are those of the same film in square pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import find_set
from pipeline.faces.search import track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import read_tracks
from pipeline.media.frames import VideoReader
from pipeline.predict.by_default import ask_default_network
from tests.pipeline.ratios import write_ratio
from tests.pipeline.videos import read_all, write_video


@pytest.mark.slow
def test_a_dvd_gets_the_faces_and_the_answer_of_its_square_twin(
    faults: Path, tmp_path: Path
) -> None:
    films = [faults / "anamorphic" / f"{name}.mpg" for name in ("anamorphic", "square")]
    dvd, square = ask_default_network(films, cache=tmp_path).videos
    assert (dvd.state, square.state) == ("ok", "ok")
    assert dvd.notes == ("anamorphic: pixels are not square: shown 1024x576",)
    assert square.notes == ()
    assert dvd.probabilities is not None
    assert square.probabilities is not None
    assert square.prediction == dvd.prediction == "neutral"
    for name, value in square.probabilities.items():
        assert dvd.probabilities[name] == pytest.approx(value, abs=0.03)
    faces = find_set(tmp_path, "faces")
    one, other = (read_tracks(faces.read(f"video-{number}")) for number in range(2))
    assert one.frame_size == other.frame_size == (576, 1024)
    assert np.array_equal(one.tracks.frame, other.tracks.frame)
    assert np.abs(one.tracks.box - other.tracks.box).mean() < 4  # pixels, of faces of some 200


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ratio", "width"), [("a.mpg", "4/3", 288), ("a.mp4", "1/2", 768)])
def test_a_squeezed_film_gets_the_faces_of_its_square_twin(
    corpus: Path, tmp_path: Path, name: str, ratio: str, width: int
) -> None:
    images = read_all(VideoReader(read_manifest(corpus).clips[0].path)).images[:7]
    twin = [cv2.resize(image, (384, 288)) for image in images]
    squeezed = write_ratio(
        tmp_path / name, ratio, [cv2.resize(image, (width, 288)) for image in twin]
    )
    square = write_video(tmp_path / "square.mp4", twin)
    one, other = (track_faces(VideoReader(path), FaceSettings()) for path in (squeezed, square))
    assert one.rung.tolist() == other.rung.tolist()
    boxes = [found.arrays()["tracks/box"] for found in (one, other)]
    assert len(boxes[0]) == len(boxes[1]) == 7
    assert np.abs(boxes[0] - boxes[1]).max() < 6  # pixels, of a face of 100
