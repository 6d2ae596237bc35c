"""Faces of a clip: the arrays that come out, other detectors, bounds, and real clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.choice.choice import find_faces
from pipeline.faces.detect import Detection, FivePointPredictor
from pipeline.faces.search import KEPT_BYTES, FaceSearch, track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BoxSource, is_seen, overlap
from pipeline.media.frames import VideoReader
from tests.pipeline.painted import Painted, paint
from tests.pipeline.scenes import (
    SIZE,
    background,
    clip,
    moving,
    place,
    scene,
    sources,
    true_box,
)

DETECTED = {BoxSource.DETECT, BoxSource.REGION, BoxSource.CONTRAST, BoxSource.TILT}


# ---- what comes out


@pytest.mark.slow
def test_a_moving_face_is_found_in_every_frame_where_it_is() -> None:
    faces = find_faces(clip(scene(40, moving)))
    assert set(sources(faces)) == {BoxSource.DETECT}
    shares = [overlap(box, true_box(moving(i), 60)) for i, box in enumerate(faces.box)]
    assert min(shares) > 0.55
    assert np.median(shares) > 0.75
    assert set(faces.track) == {0}
    middle = faces.landmarks.mean(1) - [moving(i) for i in range(40)]
    assert np.abs(middle).max() < 15
    assert faces.times == pytest.approx(np.arange(40) / 25)


def test_arrays_have_the_shapes_of_the_set() -> None:
    arrays = track_faces(clip(scene(5, moving))).arrays()
    assert {name: (values.shape, values.dtype.name) for name, values in arrays.items()} == {
        "times": ((5,), "float64"),
        "rung": ((5,), "uint8"),
        "tracks/frame": ((5,), "int32"),
        "tracks/number": ((5,), "int32"),
        "tracks/box": ((5, 4), "float32"),
        "tracks/landmarks": ((5, 5, 2), "float32"),
        "tracks/score": ((5,), "float32"),
        "tracks/rung": ((5,), "uint8"),
    }
    assert all(np.isfinite(values).all() for values in arrays.values())


def test_a_clip_without_frames_has_rows_of_no_length() -> None:
    arrays = track_faces([]).arrays() | vars(find_faces([]))
    assert all(len(values) == 0 for values in arrays.values())
    assert arrays["landmarks"].shape == arrays["tracks/landmarks"].shape == (0, 5, 2)


@pytest.mark.slow
@pytest.mark.parametrize("ladder", ["papers", "full"])
def test_a_clip_without_a_face_is_passed_whole(ladder: str) -> None:
    faces = find_faces(clip(scene(30, lambda _: None)), FaceSettings(ladder=ladder))  # type: ignore[arg-type]  # one of its values, as text
    assert set(sources(faces)) == {BoxSource.WHOLE}
    assert (faces.box == [0, 0, 320, 240]).all()
    assert not faces.landmarks.any()
    assert not faces.score.any()
    assert set(faces.track) == {-1}


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_how_frames_are_cut_into_chunks_changes_nothing(chunk: int) -> None:
    images = scene(30, lambda i: moving(i) if i not in range(12, 16) else None)
    expected = track_faces(clip(images)).arrays()
    found = track_faces(clip(images, chunk=chunk)).arrays()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_clip_of_one_frame_has_its_face() -> None:
    assert sources(find_faces(clip(scene(1, moving)))) == [BoxSource.DETECT]


# ---- other detectors


class Scripted:
    """A detector that knows where the face is, and counts how often it is asked."""

    def __init__(self, where: Callable[[int], tuple[float, float] | None], score: float) -> None:
        self.where, self.score, self.asked = where, score, 0

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:  # noqa: ARG002  # a detector has it
        at = self.where(self.asked)
        self.asked += 1
        return [] if at is None else [Detection(true_box(at, 60), self.score)]


def test_another_detector_searches_every_frame() -> None:
    detector = Scripted(moving, 5.0)
    faces = find_faces(clip(scene(10, moving)), detector=detector)
    assert detector.asked == 10
    assert faces.box == pytest.approx(np.array([true_box(moving(i), 60) for i in range(10)]))


def painted(scores: list[float]) -> list[np.ndarray]:
    images = scene(len(scores), lambda _: None)
    return [
        paint(image, (120, 80, 180, 140), score) if score else image
        for image, score in zip(images, scores, strict=True)
    ]


@pytest.mark.slow
def test_a_second_detector_finds_what_the_first_does_not() -> None:
    standing = scene(1, lambda _: (150, 110))
    lying = place(background(*SIZE, 3), (160, 120), 90, tilt=75)
    images = standing * 10 + [lying] * 20
    alone = sources(find_faces(clip(images), FaceSettings(second="none")))
    assert alone == [BoxSource.DETECT] * 10 + [BoxSource.WHOLE] * 20
    found = sources(find_faces(clip(images)))
    assert set(found[10:]) <= {BoxSource.SECOND, BoxSource.REGION}
    assert BoxSource.SECOND in found[10:15]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.79] * 9, 0),  # never accepted
        ([0.0] * 4 + [0.81] + [0.0] * 4, 0),  # once
        ([0.81] * 9, 9),
        ([0.79, 0.79, 0.81, 0.79, 0.81, 0.79, 0.79, 0.0, 0.0], 7),  # borne out between and beside
    ],
)
def test_a_face_of_the_second_detector_rests_on_frames_in_which_it_is_accepted(
    scores: list[float], expected: int
) -> None:
    found = sources(find_faces(clip(painted(scores)), second=Painted()))
    assert sum(source != BoxSource.WHOLE for source in found) == expected


def test_the_papers_ladder_asks_no_second_detector() -> None:
    second = Scripted(lambda _: (150, 110), 0.9)
    find_faces(clip(scene(5, lambda _: None)), FaceSettings(ladder="papers"), second=second)
    assert second.asked == 0


# ---- bounds and settings


def test_the_papers_ladder_has_no_second_detector() -> None:
    assert FaceSettings(ladder="papers").second == "none"
    with pytest.raises(ValueError, match="has no second detector, got second=mmod"):
        FaceSettings(ladder="papers", second="mmod")


def test_kept_frames_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = SIZE[0] * SIZE[1] * 3
    monkeypatch.setattr("pipeline.faces.search.KEPT_BYTES", 5 * frame)
    search = FaceSearch(FaceSettings(), FivePointPredictor())
    for index, image in enumerate(scene(30, lambda _: None)):
        search.add(index, index / 25, image)
        assert sum(kept.image.nbytes for kept in search.kept) <= 5 * frame
    assert KEPT_BYTES < 100_000_000


@pytest.mark.slow
def test_large_frames_are_kept_small() -> None:
    search = FaceSearch(FaceSettings(upsample=0), FivePointPredictor())
    search.add(0, 0.0, background(1080, 1920))
    assert search.kept[0].image.shape == (540, 960, 3)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("upsample", -1, "upsample must not be negative, got -1"),
        ("hold_frames", -1, "hold_frames must not be negative"),
        ("lost_seconds", -0.1, "lost_seconds must not be negative"),
        ("link_overlap", 0.0, r"link_overlap must be in \(0, 1\], got 0.0"),
    ],
)
def test_settings_check_themselves(name: str, value: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FaceSettings(**{name: value})  # type: ignore[arg-type]  # a wrong value is what is tested


# ---- real clips; the counts of plain dlib are those of benchmarks/faces/plain.py


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("labelled/dfew_disgust.mp4", 23),
        ("labelled/mer_00003462.mp4", 24),
        ("labelled/mer_00005854.mp4", 25),
        ("faces/several_faces_5_frames.mp4", 4),
    ],
)
def test_faces_are_found_in_at_least_the_frames_in_which_plain_dlib_finds_them(
    data: Path, name: str, plain: int
) -> None:
    found = track_faces(VideoReader(data / "clips" / name))
    assert is_seen(found.rung).sum() >= plain


@pytest.mark.slow
def test_nothing_is_taken_for_a_face_where_none_is(data: Path) -> None:
    faces = find_faces(VideoReader(data / "clips" / "odd" / "no_face.mp4"))
    assert set(sources(faces)) == {BoxSource.WHOLE}


@pytest.mark.slow
def test_a_face_leaves_with_its_shot(data: Path) -> None:
    path = data / "clips" / "faces" / "face_leaves_vfr_hevc.mov"
    faces = find_faces(VideoReader(path, None, Span(2.1, 3.0)))
    last = int(np.flatnonzero(faces.rung)[-1])
    assert all(source in DETECTED for source in sources(faces)[: last + 1])
    assert faces.times[last] + 2.1 == pytest.approx(
        2.367, abs=0.001
    )  # frame 71; 72 is another shot
