from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detect import Detection
from pipeline.faces.frame import Frame
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.scanner import Scanner
from pipeline.faces.settings import FaceSettings

IMAGE = np.full((90, 110, 3), 128, np.uint8)


def scanned(scanner: Scanner, seconds: np.ndarray, *, lost: bool) -> list[float]:
    """At which of the given times the scanner searches."""
    frames = [Frame(i, float(t), IMAGE, 1.0, Pyramid((90, 110), 0)) for i, t in enumerate(seconds)]
    return [now.seconds for now in frames if scanner.scan(now, lost=lost) is not None]


SETTINGS = FaceSettings(scan_seconds=2.0, lost_seconds=0.5)


def test_frames_are_searched_at_the_stated_intervals() -> None:
    scanner = Scanner(SETTINGS, every_frame=False)
    assert scanned(scanner, np.arange(0, 5, 0.25), lost=False) == [0.0, 2.0, 4.0]
    scanner.reset()
    assert scanned(scanner, np.arange(0, 1.5, 0.25), lost=True) == [0.0, 0.5, 1.0]


def test_after_four_seconds_without_a_face_frames_are_searched_half_as_often() -> None:
    scanner = Scanner(SETTINGS, every_frame=False)
    times = scanned(scanner, np.arange(0, 7, 0.25), lost=True)
    assert times == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0]
    scanned(scanner, np.array([8.0]), lost=False)  # a face: from now on as before
    assert scanned(scanner, np.arange(8.25, 10, 0.25), lost=True) == [8.5, 9.0, 9.5]


class Counting:
    """A detector that sees nothing and notes the width of what it is shown."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:  # noqa: ARG002  # a detector has it
        self.widths.append(image.shape[1])
        return []


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        # The usual size every 0.5 s, and small faces every second.
        (False, [640, 1280, 0, 640, 0, 640, 1280, 0, 640]),
        # The usual size in every frame; every 0.5 s with room around it.
        (True, [640, 1280, 320, 640, 640, 320, 640, 640, 1280, 320, 640, 640, 320]),
    ],
)
def test_the_second_detector_looks_at_whole_frames_in_two_sizes(
    lost: bool, expected: list[int]
) -> None:
    second = Counting()
    scanner = Scanner(
        FaceSettings(second_seconds=0.5, search_seconds=1.0), every_frame=False, second=second
    )
    image = np.zeros((720, 1280, 3), np.uint8)
    for index in range(7):
        before = len(second.widths)
        now = Frame(index, index / 4, image, 1.0, Pyramid((720, 1280), 0))
        scanner.ask_second(now, lost=lost, threshold=0.5)
        if len(second.widths) == before:
            second.widths.append(0)
    assert second.widths == expected
    second.widths.clear()
    scanner.reset()
    small = Frame(0, 0.0, image[:450, :800], 1.0, Pyramid((450, 800), 0))
    scanner.ask_second(small, lost=False, threshold=0.5)
    assert second.widths == [640]  # there is nothing more to see at a larger size
