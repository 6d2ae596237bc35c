from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.tracks import BoxSource, measure_coverage


def test_sources_are_counted_and_the_longest_gap_is_measured() -> None:
    rung = np.array([0, 1, 0, 0, 0, 2, 1, 0, 5], np.uint8)
    times = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9, 1.0])
    coverage = measure_coverage(rung, times)
    assert coverage.rungs == {"whole": 5, "detect": 2, "hold": 1, "follow": 1}
    assert coverage.num_frames == 9
    assert coverage.num_with_face == 4
    assert coverage.longest_gap_seconds == pytest.approx(0.5)  # from 0.2 to 0.7


def test_a_gap_at_the_end_reaches_to_the_last_frame() -> None:
    coverage = measure_coverage(np.array([1, 0, 0]), np.array([0.0, 0.5, 2.0]))
    assert coverage.longest_gap_seconds == pytest.approx(1.5)


def test_a_clip_full_of_faces_has_no_gap() -> None:
    coverage = measure_coverage(np.array([BoxSource.DETECT, BoxSource.HOLD]), np.array([0.0, 0.5]))
    assert coverage.longest_gap_seconds == 0.0


def test_no_frames_have_no_coverage() -> None:
    coverage = measure_coverage(np.zeros(0), np.zeros(0))
    assert (coverage.num_frames, coverage.num_with_face, coverage.rungs) == (0, 0, {})


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of one length, got 2 and 1"):
        measure_coverage(np.zeros(2), np.zeros(1))
