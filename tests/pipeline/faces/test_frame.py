from __future__ import annotations

import numpy as np

from pipeline.faces.frame import CutFinder
from tests.pipeline.scenes import background


def cuts(images: list[np.ndarray]) -> list[int]:
    finder = CutFinder()
    return [number for number, image in enumerate(images) if finder.is_cut(image)]


def test_a_still_picture_has_no_cut_and_the_first_frame_begins_none() -> None:
    assert cuts([background(90, 160)] * 5) == []


def test_another_scene_is_a_cut_at_its_first_frame() -> None:
    day, night = np.full((90, 160, 3), 200, np.uint8), np.full((90, 160, 3), 30, np.uint8)
    assert cuts([day] * 5 + [night] * 4 + [day] * 3) == [5, 9]


def test_noise_and_a_slow_pan_are_no_cuts() -> None:
    rng = np.random.default_rng(0)
    wide = background(90, 900)
    pan = [wide[:, 4 * i : 4 * i + 160] for i in range(50)]
    noisy = [
        np.clip(image.astype(int) + rng.integers(-15, 16, image.shape), 0, 255).astype(np.uint8)
        for image in pan
    ]
    assert cuts(pan) == []
    assert cuts(noisy) == []


def test_a_fast_camera_that_gets_faster_step_by_step_is_no_cut() -> None:
    wide = cv_stripes(90, 4000)
    at = np.cumsum(np.concatenate([np.arange(0, 40, 2), np.full(20, 40), np.arange(40, 0, -2)]))
    assert cuts([wide[:, x : x + 160] for x in at]) == []


def cv_stripes(height: int, width: int) -> np.ndarray:
    """Soft stripes, each 200 pixels wide."""
    row = 128 + 60 * np.sin(np.arange(width) * 2 * np.pi / 400)
    return np.repeat(np.tile(row.astype(np.uint8), (height, 1))[..., None], 3, axis=2)


def test_a_frame_of_another_size_is_a_cut() -> None:
    assert cuts([background(90, 160), background(96, 160)]) == [1]


def test_the_next_cut_is_found_right_behind_one() -> None:
    scenes = [np.full((90, 160, 3), level, np.uint8) for level in (20, 120, 220, 20)]
    assert cuts(scenes) == [1, 2, 3]


def test_a_cut_between_alike_scenes_is_seen_in_their_histograms() -> None:
    scenes = [np.full((90, 160, 3), level, np.uint8) for level in (100, 100, 118, 118)]
    assert cuts(scenes) == [2]  # 18 grey levels, less than a fast camera makes
