from __future__ import annotations

import pytest

from pipeline.faces.tracks import Box, link, overlap


def square(x: float, y: float, side: float) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 2, 3), (0, 0, 2, 3), 1.0),
        ((0, 0, 2, 3), (1, 0, 3, 3), 3 / 9),
        ((0, 0, 2, 3), (2, 0, 4, 3), 0.0),
        ((0, 0, 4, 4), (1, 1, 2, 3), 2 / 16),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(one: Box, other: Box, expected: float) -> None:
    assert overlap(one, other) == pytest.approx(expected)
    assert overlap(other, one) == pytest.approx(expected)


def test_boxes_are_linked_best_overlap_first_and_once() -> None:
    last = [square(20, 20, 10), square(26, 20, 10)]
    boxes = [square(25, 20, 10), square(80, 80, 10), square(21, 20, 10)]
    assert link(boxes, last, 0.3) == {0: 1, 2: 0}


def test_two_boxes_do_not_share_a_track() -> None:
    assert link([square(20, 20, 10), square(21, 20, 10)], [square(20, 20, 10)], 0.3) == {0: 0}


def test_nothing_links_to_nothing() -> None:
    assert link([], [square(1, 1, 1)], 0.3) == {}
    assert link([square(1, 1, 1)], [], 0.3) == {}
