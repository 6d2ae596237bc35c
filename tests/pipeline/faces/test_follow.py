from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.follow import Likeness, follow
from pipeline.faces.tracks import overlap
from tests.pipeline.scenes import background, place, true_box

SIZE = (240, 320)


@pytest.mark.parametrize("face", [40, 80, 150])
@pytest.mark.parametrize(("dx", "dy", "zoom"), [(5, -3, 1.0), (-4, 2, 1.06), (0, 6, 0.95)])
def test_a_box_moves_and_grows_with_its_face(face: int, dx: int, dy: int, zoom: float) -> None:
    before = place(background(*SIZE), (150, 120), face)
    now = place(background(*SIZE), (150 + dx, 120 + dy), face * zoom)
    moved = follow(before, now, true_box((150, 120), face))
    assert moved is not None
    assert overlap(moved, true_box((150 + dx, 120 + dy), face * zoom)) > 0.93


def test_following_back_undoes_following() -> None:
    before = place(background(*SIZE), (150, 120), 80)
    now = place(background(*SIZE), (157, 117), 80)
    box = true_box((150, 120), 80)
    there = follow(before, now, box)
    assert there is not None
    back = follow(now, before, there)
    assert back is not None
    assert overlap(back, box) > 0.97


def test_a_face_that_is_gone_is_not_followed() -> None:
    before = place(background(*SIZE), (150, 120), 80)
    assert follow(before, background(*SIZE, seed=5), true_box((150, 120), 80)) is None


def test_a_place_without_texture_is_not_followed() -> None:
    flat = np.full((*SIZE, 3), 90, np.uint8)
    assert follow(flat, flat, true_box((150, 120), 80)) is None


@pytest.mark.parametrize("centre", [(2, 3), (318, 238), (-90, 50)])
def test_a_box_at_or_beyond_the_edge_raises_nothing(centre: tuple[int, int]) -> None:
    image = place(background(*SIZE), (150, 120), 80)
    follow(image, image, true_box(centre, 50))


def test_likeness_tells_the_face_from_what_covers_it() -> None:
    image, box = place(background(*SIZE), (150, 120), 80), true_box((150, 120), 80)
    likeness = Likeness(image, box)
    moved = place(background(*SIZE, seed=3), (170, 100), 100)
    assert likeness.of(image, box) == pytest.approx(1.0, abs=1e-3)
    assert likeness.of(moved, true_box((170, 100), 100)) > 0.8
    assert likeness.of(background(*SIZE), box) < 0.5
