"""By which source a face is found, bridged, held and let go, and where tracks end."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from pipeline.choice.choice import choose_faces, find_faces
from pipeline.faces.detect import HogDetector
from pipeline.faces.frame import Frame
from pipeline.faces.landmarks import are_upright
from pipeline.faces.scanner import Find, Scanner
from pipeline.faces.search import track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BoxSource, overlap
from tests.pipeline.scenes import SIZE, background, clip, moving, place, scene, sources, true_box


@pytest.mark.slow
def test_the_papers_ladder_is_dlib_in_every_frame_or_the_whole_frame() -> None:
    images = scene(12, lambda i: moving(i) if i % 4 else None)
    faces = find_faces(clip(images), FaceSettings(ladder="papers"))
    for image, source, box, score in zip(images, faces.rung, faces.box, faces.score, strict=True):
        found = HogDetector(1).detect(image, 0.0)
        assert bool(found) == (source == BoxSource.DETECT)
        if found:
            assert tuple(box) == found[0].box
            assert score == pytest.approx(found[0].score)
    assert set(sources(faces)) == {BoxSource.WHOLE, BoxSource.DETECT}


@pytest.mark.slow
def test_every_frame_scans_give_exactly_dlibs_boxes() -> None:
    images = scene(12, moving)
    faces = find_faces(clip(images), FaceSettings(scan="every-frame"))
    assert set(sources(faces)) == {BoxSource.DETECT}
    for image, box in zip(images, faces.box, strict=True):
        assert tuple(box) == HogDetector(1).detect(image, 0.0)[0].box


@pytest.mark.slow
def test_regions_give_nearly_the_boxes_of_every_frame() -> None:
    images = scene(30, moving)
    every = find_faces(clip(images), FaceSettings(scan="every-frame"))
    region = find_faces(clip(images))
    shares = [overlap(one, other) for one, other in zip(every.box, region.box, strict=True)]
    assert np.median(shares) > 0.9


@pytest.mark.slow
def test_whole_frames_are_scanned_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[bool] = []
    scan = Scanner.scan

    def count(self: Scanner, now: Frame, *, lost: bool) -> list[Find] | None:
        found = scan(self, now, lost=lost)
        scans.append(found is not None)
        return found

    monkeypatch.setattr(Scanner, "scan", count)
    find_faces(clip(scene(75, moving, face=50)), FaceSettings(scan_seconds=1.0))
    assert [i for i, scanned in enumerate(scans) if scanned] == [0, 25, 50]


@pytest.mark.slow
def test_a_face_covered_for_a_moment_is_bridged_and_stays_one_track() -> None:
    images = scene(30, lambda _: (150, 110))
    for frame in (12, 13, 14):
        images[frame] = background(*SIZE)
    faces = find_faces(clip(images))
    found = sources(faces)
    assert set(found[:12] + found[15:]) == {BoxSource.DETECT}
    assert set(found[12:15]) <= {BoxSource.HOLD, BoxSource.FOLLOW}
    assert set(faces.track) == {0}
    assert overlap(faces.box[13], faces.box[11]) > 0.9


@pytest.mark.slow
def test_a_face_that_is_gone_is_let_go_at_once() -> None:
    """Its box is held for some frames, and what is held counts only if the face comes back."""
    images = scene(40, lambda i: (150, 110) if i < 10 else None)
    found = sources(find_faces(clip(images)))
    assert found == [BoxSource.DETECT] * 10 + [BoxSource.WHOLE] * 30


@pytest.mark.slow
def test_a_face_that_comes_between_two_scans_is_followed_back_to_its_first_frame() -> None:
    images = scene(60, lambda i: (100 + 2.0 * i, 110) if i >= 14 else None)
    faces = find_faces(clip(images), FaceSettings(lost_seconds=1.0))
    found = sources(faces)
    assert set(found[:14]) == {BoxSource.WHOLE}
    assert set(found[14:]) == {BoxSource.DETECT}
    assert overlap(faces.box[15], true_box((130, 110), 60)) > 0.6


@pytest.mark.slow
def test_a_leaning_face_has_a_source_of_its_own() -> None:
    images = [
        place(background(*SIZE), (150, 120), 80, tilt=min(55.0, 2.2 * frame)) for frame in range(40)
    ]
    faces = find_faces(clip(images))
    assert BoxSource.WHOLE not in sources(faces)
    assert sources(faces)[-10:] == [BoxSource.TILT] * 10
    eyes = faces.landmarks[-1, :4]
    lean = np.degrees(np.arctan2(*(eyes[:2].mean(0) - eyes[2:].mean(0))[::-1]))
    assert lean == pytest.approx(-55, abs=15)


@pytest.mark.slow
def test_a_face_in_the_dark_is_found_by_raising_the_contrast() -> None:
    images = [image // 25 for image in scene(20, lambda _: (150, 110), face=80)]
    faces = find_faces(clip(images), FaceSettings(second="none"))
    assert set(sources(faces)) == {BoxSource.CONTRAST}
    assert overlap(faces.box[-1], true_box((150, 110), 80)) > 0.6


@pytest.mark.slow
def test_tracks_end_at_a_cut() -> None:
    dark = [image // 4 for image in scene(15, lambda _: (80, 110))]
    faces = find_faces(clip(dark + scene(15, lambda _: (230, 110), seed=4)))
    assert BoxSource.WHOLE not in sources(faces)
    assert not set(faces.track[:15]) & set(faces.track[15:])


@pytest.mark.slow
def test_a_flash_costs_one_frame() -> None:
    images = scene(30, lambda _: (150, 110), face=80)
    images[14] = np.full_like(images[14], 255)
    assert [
        i
        for i, source in enumerate(sources(find_faces(clip(images))))
        if source != BoxSource.DETECT
    ] == [14]


@pytest.mark.slow
def test_a_face_goes_on_where_only_the_light_changes() -> None:
    images = scene(30, lambda _: (150, 110), face=80)
    images[14:] = [image // 3 for image in images[14:]]
    faces = find_faces(clip(images))
    assert set(sources(faces)) == {BoxSource.DETECT}
    assert set(faces.track) == {0}


class Likenesses:
    """Recogniser to which each crop is so far from the one before it."""

    def __init__(self, step: float) -> None:
        self.step, self.count = step, 0

    def embed(self, chips: np.ndarray) -> np.ndarray:
        embeddings = np.zeros((len(chips), 128), np.float32)
        embeddings[:, 0] = self.step * np.arange(self.count, self.count + len(chips))
        self.count += len(chips)
        return embeddings


@pytest.mark.slow
@pytest.mark.parametrize(("step", "people"), [(0.37, 1), (0.39, 2)])
def test_behind_a_cut_another_face_in_the_same_place_is_another(step: float, people: int) -> None:
    """Two shots that frame two people alike, who were one track."""
    images = scene(30, lambda _: (150, 110), face=80)
    images[14:] = [image // 3 for image in images[14:]]
    found = track_faces(clip(images), FaceSettings(), recogniser=Likenesses(step))
    assert len(found.tracks) == 30
    assert len(set(found.tracks.number)) == people
    by_motion = track_faces(clip(images), FaceSettings(join="motion"), recogniser=Likenesses(step))
    assert set(by_motion.tracks.number) == {0}


@pytest.mark.slow
def test_a_second_face_may_come_and_go_without_disturbing_the_first() -> None:
    images = [
        place(image, (260, 100), 50) if 10 <= i < 25 else image
        for i, image in enumerate(scene(40, lambda _: (90, 120), face=80))
    ]
    found = track_faces(clip(images), FaceSettings(scan_seconds=0.2))
    assert set(choose_faces(found, "largest").track) == {0}
    second = found.tracks.frame[found.tracks.number == 1]
    assert set(range(10, 25)) <= set(second.tolist())


@pytest.mark.parametrize("ladder", ["papers", "full"])
def test_the_papers_ladder_takes_landmarks_as_the_predictor_gives_them(
    ladder: Literal["papers", "full"],
) -> None:
    class Hair:
        """Always an eye high up in the hair: a tilt of 45 degrees, wherever the box is."""

        def predict(self, _image: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
            points = np.array([(8, 2), (7, 3), (3, 7), (4, 6), (7, 7)], np.float32)
            return np.array(box[:2], np.float32) + points

    faces = find_faces(clip(scene(3, moving)), FaceSettings(ladder=ladder), predictor=Hair())
    upright = are_upright(faces.box, faces.landmarks)
    assert upright.tolist() == [ladder == "full"] * 3
