from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.choice import FaceArrays, choose_faces
from pipeline.decode import VideoReader
from pipeline.detect import Detection, FivePointPredictor, HogDetector
from pipeline.faces import FaceSettings, find_faces, track_faces
from pipeline.ladder import View
from pipeline.rungs import Rung
from pipeline.scanner import Find, Scanner
from pipeline.search import KEPT_BYTES, FaceSearch
from pipeline.tracks import overlap
from tests.pipeline.scenes import background, clip, place, true_box

SIZE = (240, 320)
DETECTED = {Rung.DETECT, Rung.REGION, Rung.CONTRAST, Rung.TILT}


def scene(
    num: int, where: Callable[[int], tuple[float, float] | None], face: float = 60.0, seed: int = 0
) -> list[np.ndarray]:
    """Frames with the face where ``where`` says, or without it."""
    images = []
    for frame in range(num):
        at = where(frame)
        empty = background(*SIZE, seed)
        images.append(empty if at is None else place(empty, at, face))
    return images


def moving(frame: int) -> tuple[float, float]:
    return 90 + 3.0 * frame, 110 + 15 * np.sin(frame / 5)


def rungs(faces: FaceArrays) -> list[Rung]:
    return [Rung(int(rung)) for rung in faces.rung]


# ---- what comes out


def test_a_moving_face_is_found_in_every_frame_where_it_is() -> None:
    faces = find_faces(clip(scene(40, moving)))
    assert set(rungs(faces)) == {Rung.DETECT}
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


@pytest.mark.parametrize("ladder", ["papers", "full"])
def test_a_clip_without_a_face_is_passed_whole(ladder: str) -> None:
    faces = find_faces(clip(scene(30, lambda _: None)), FaceSettings(ladder=ladder))  # type: ignore[arg-type]
    assert set(rungs(faces)) == {Rung.WHOLE}
    assert (faces.box == [0, 0, 320, 240]).all()
    assert not faces.landmarks.any()
    assert not faces.score.any()
    assert set(faces.track) == {-1}


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_how_frames_are_cut_into_chunks_changes_nothing(chunk: int) -> None:
    images = scene(30, lambda i: moving(i) if i not in range(12, 16) else None)
    expected = track_faces(clip(images)).arrays()
    found = track_faces(clip(images, chunk=chunk)).arrays()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_clip_of_one_frame_has_its_face() -> None:
    assert rungs(find_faces(clip(scene(1, moving)))) == [Rung.DETECT]


# ---- the ladder


def test_the_papers_ladder_is_dlib_in_every_frame_or_the_whole_frame() -> None:
    images = scene(12, lambda i: moving(i) if i % 4 else None)
    faces = find_faces(clip(images), FaceSettings(ladder="papers"))
    for image, rung, box, score in zip(images, faces.rung, faces.box, faces.score, strict=True):
        found = HogDetector(1).detect(image, 0.0)
        assert bool(found) == (rung == Rung.DETECT)
        if found:
            assert tuple(box) == found[0].box
            assert score == pytest.approx(found[0].score)
    assert set(rungs(faces)) == {Rung.WHOLE, Rung.DETECT}


def test_every_frame_scans_give_exactly_dlibs_boxes() -> None:
    images = scene(12, moving)
    faces = find_faces(clip(images), FaceSettings(scan="every-frame"))
    assert set(rungs(faces)) == {Rung.DETECT}
    for image, box in zip(images, faces.box, strict=True):
        assert tuple(box) == HogDetector(1).detect(image, 0.0)[0].box


def test_regions_give_nearly_the_boxes_of_every_frame() -> None:
    images = scene(30, moving)
    every = find_faces(clip(images), FaceSettings(scan="every-frame"))
    region = find_faces(clip(images))
    shares = [overlap(one, other) for one, other in zip(every.box, region.box, strict=True)]
    assert np.median(shares) > 0.9


def test_whole_frames_are_scanned_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[bool] = []
    scan = Scanner.scan

    def count(self: Scanner, now: View, *, lost: bool) -> list[Find] | None:
        found = scan(self, now, lost=lost)
        scans.append(found is not None)
        return found

    monkeypatch.setattr(Scanner, "scan", count)
    find_faces(clip(scene(75, moving, face=50)), FaceSettings(scan_seconds=1.0))
    assert [i for i, scanned in enumerate(scans) if scanned] == [0, 25, 50]


def test_a_face_covered_for_a_moment_is_bridged_and_stays_one_track() -> None:
    images = scene(30, lambda _: (150, 110))
    for frame in (12, 13, 14):
        images[frame] = background(*SIZE)
    faces = find_faces(clip(images))
    found = rungs(faces)
    assert set(found[:12] + found[15:]) == {Rung.DETECT}
    assert set(found[12:15]) <= {Rung.HOLD, Rung.FOLLOW}
    assert set(faces.track) == {0}
    assert overlap(faces.box[13], faces.box[11]) > 0.9


def test_a_face_that_is_gone_is_held_for_a_few_frames_and_then_let_go() -> None:
    images = scene(40, lambda i: (150, 110) if i < 10 else None)
    found = rungs(find_faces(clip(images), FaceSettings(hold_frames=3)))
    assert found[:10] == [Rung.DETECT] * 10
    assert found[10:13] == [Rung.HOLD] * 3
    assert set(found[13:]) == {Rung.WHOLE}


def test_a_face_that_comes_between_two_scans_is_followed_back_to_its_first_frame() -> None:
    images = scene(60, lambda i: (100 + 2.0 * i, 110) if i >= 14 else None)
    faces = find_faces(clip(images), FaceSettings(lost_seconds=1.0))
    found = rungs(faces)
    assert set(found[:14]) <= {Rung.WHOLE, Rung.HOLD}  # held backwards, too
    assert set(found[:8]) == {Rung.WHOLE}
    assert set(found[14:]) == {Rung.DETECT}
    assert overlap(faces.box[15], true_box((130, 110), 60)) > 0.6


def test_a_leaning_face_stands_on_its_own_rung() -> None:
    images = [
        place(background(*SIZE), (150, 120), 80, tilt=min(55.0, 2.2 * frame)) for frame in range(40)
    ]
    faces = find_faces(clip(images))
    assert Rung.WHOLE not in rungs(faces)
    assert rungs(faces)[-10:] == [Rung.TILT] * 10
    eyes = faces.landmarks[-1, :4]
    lean = np.degrees(np.arctan2(*(eyes[:2].mean(0) - eyes[2:].mean(0))[::-1]))
    assert lean == pytest.approx(-55, abs=15)


def test_a_face_in_the_dark_is_found_by_raising_the_contrast() -> None:
    images = [image // 25 for image in scene(20, lambda _: (150, 110), face=80)]
    faces = find_faces(clip(images))
    assert set(rungs(faces)) == {Rung.CONTRAST}
    assert overlap(faces.box[-1], true_box((150, 110), 80)) > 0.6


# ---- cuts and tracks


def test_tracks_end_at_a_cut() -> None:
    dark = [image // 4 for image in scene(15, lambda _: (80, 110))]
    faces = find_faces(clip(dark + scene(15, lambda _: (230, 110), seed=4)))
    assert Rung.WHOLE not in rungs(faces)
    assert not set(faces.track[:15]) & set(faces.track[15:])


def test_a_flash_costs_one_frame() -> None:
    images = scene(30, lambda _: (150, 110), face=80)
    images[14] = np.full_like(images[14], 255)
    assert [i for i, rung in enumerate(rungs(find_faces(clip(images)))) if rung != Rung.DETECT] == [
        14
    ]


def test_a_face_goes_on_where_only_the_light_changes() -> None:
    images = scene(30, lambda _: (150, 110), face=80)
    images[14:] = [image // 3 for image in images[14:]]
    faces = find_faces(clip(images))
    assert set(rungs(faces)) == {Rung.DETECT}
    assert set(faces.track) == {0}


def test_a_second_face_may_come_and_go_without_disturbing_the_first() -> None:
    images = [
        place(image, (260, 100), 50) if 10 <= i < 25 else image
        for i, image in enumerate(scene(40, lambda _: (90, 120), face=80))
    ]
    found = track_faces(clip(images), FaceSettings(scan_seconds=0.2))
    assert set(choose_faces(found, "largest").track) == {0}
    second = found.tracks.frame[found.tracks.number == 1]
    assert set(range(10, 25)) <= set(second.tolist())


# ---- other detectors


class Scripted:
    """A detector that knows where the face is, and counts how often it is asked."""

    def __init__(self, where: Callable[[int], tuple[float, float] | None], score: float) -> None:
        self.where, self.score, self.asked = where, score, 0

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:  # noqa: ARG002
        at = self.where(self.asked)
        self.asked += 1
        return [] if at is None else [Detection(true_box(at, 60), self.score)]


def test_another_detector_searches_every_frame() -> None:
    detector = Scripted(moving, 5.0)
    faces = find_faces(clip(scene(10, moving)), detector=detector)
    assert detector.asked == 10
    assert faces.box == pytest.approx(np.array([true_box(moving(i), 60) for i in range(10)]))


def test_a_second_detector_is_asked_only_where_the_first_sees_nothing() -> None:
    covered = scene(30, lambda i: (150, 110) if i < 10 else None)
    second = Scripted(lambda _: (150, 110), 0.9)
    faces = find_faces(clip(covered), second=second)
    assert second.asked == 20
    assert rungs(faces) == [Rung.DETECT] * 10 + [Rung.SECOND] * 20


def test_a_second_detector_must_be_sure_to_bring_in_a_face_of_its_own() -> None:
    empty = clip(scene(10, lambda _: None))
    unsure, sure = Scripted(lambda _: (150, 110), 0.79), Scripted(lambda _: (150, 110), 0.81)
    assert set(rungs(find_faces(empty, second=unsure))) == {Rung.WHOLE}
    assert set(rungs(find_faces(empty, second=sure))) == {Rung.SECOND}


def test_the_papers_ladder_asks_no_second_detector() -> None:
    second = Scripted(lambda _: (150, 110), 0.9)
    find_faces(clip(scene(5, lambda _: None)), FaceSettings(ladder="papers"), second=second)
    assert second.asked == 0


# ---- bounds and settings


def test_the_papers_ladder_with_a_second_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="has no second detector, got second=yunet"):
        FaceSettings(ladder="papers", second="yunet")


def test_kept_frames_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = SIZE[0] * SIZE[1] * 3
    monkeypatch.setattr("pipeline.search.KEPT_BYTES", 5 * frame)
    search = FaceSearch(FaceSettings(), FivePointPredictor())
    for index, image in enumerate(scene(30, lambda _: None)):
        search.add(index, index / 25, image)
        assert sum(view.image.nbytes for view in search.kept) <= 5 * frame
    assert KEPT_BYTES < 100_000_000


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
        FaceSettings(**{name: value})  # type: ignore[arg-type]


# ---- real clips; the counts of plain dlib are those of benchmarks/faces.py


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
    faces = find_faces(VideoReader(data / "clips" / name))
    found = [rung for rung in rungs(faces) if rung in DETECTED]
    assert len(found) >= plain


@pytest.mark.parametrize("name", ["no_face.mp4", "cartoon_6_channels.mp4"])
def test_nothing_is_taken_for_a_face_where_none_is(data: Path, name: str) -> None:
    faces = find_faces(VideoReader(data / "clips" / "odd" / name))
    assert set(rungs(faces)) == {Rung.WHOLE}


def test_a_face_leaves_with_its_shot(data: Path) -> None:
    path = data / "clips" / "faces" / "face_leaves_vfr_hevc.mov"
    faces = find_faces(VideoReader(path, None, 2.1, 3.0))
    last = int(np.flatnonzero(faces.rung)[-1])
    assert all(rung in DETECTED for rung in rungs(faces)[: last + 1])
    assert faces.times[last] + 2.1 == pytest.approx(
        2.367, abs=0.001
    )  # frame 71; 72 is another shot
