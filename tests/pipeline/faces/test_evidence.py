"""Rules of evidence: which rows of a track stay, and how far a face can have come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.faces.evidence import drop_unsupported, is_plausible
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Box, BoxSource, Sighting, TrackRows

SOURCES = {
    "D": BoxSource.DETECT,
    "S": BoxSource.SECOND,
    "R": BoxSource.REGION,
    "F": BoxSource.FOLLOW,
    "H": BoxSource.HOLD,
}
SETTINGS = FaceSettings(evidence_seconds=0.5, evidence_share=0.0, hold_frames=2)
RATE = 10.0


def kept(track: str, settings: FaceSettings = SETTINGS) -> str:
    """Return which rows of a track stay; a letter a frame, a dot where there is none."""
    rows = TrackRows()
    for frame, letter in enumerate(track):
        if letter in SOURCES:
            points = np.zeros((5, 2), np.float32)
            rows[frame] = Sighting(frame, 0, (0.0, 0.0, 1.0, 1.0), points, 0.0, SOURCES[letter])
    drop_unsupported(rows, np.arange(len(track)) / RATE, settings)
    return "".join(track[frame] if frame in rows else "." for frame in range(len(track)))


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        ("RRFFH", "....."),  # no detector accepted it once
        ("DFFFFD", "DFFFFD"),  # accepted again after 0.5 s
        ("DFFFFFD", "DFF.FFD"),  # after 0.6 s: what lies behind the hold frames goes
        ("FFFFSRRRR", "..FFSRR.."),  # before the first and behind the last acceptance
        ("DHHHS", "DHHHS"),  # held until it came back
        ("DHHH", "D..."),  # held, and it didn't
        ("D...S", "D...S"),  # a gap is a gap
    ],
)
def test_rows_rest_on_acceptances_around_them(track: str, expected: str) -> None:
    assert kept(track) == expected


@pytest.mark.parametrize(("share", "left"), [(0.4, 5), (0.41, 0)])
def test_a_detector_must_have_accepted_a_share_of_a_track(share: float, left: int) -> None:
    rows = kept("DFFFD", replace(SETTINGS, evidence_share=share))
    assert len(rows.replace(".", "")) == left


def square(x: float, size: float) -> Box:
    return (x - size / 2, -size / 2, x + size / 2, size / 2)


@pytest.mark.parametrize(
    ("box", "seconds", "plausible"),
    [
        (square(0, 139), 0.0, True),  # a detector's boxes of one face differ by 1.4
        (square(0, 141), 0.0, False),
        (square(0, 71), 0.0, False),
        (square(0, 189), 0.5, True),  # and by 1 a second
        (square(0, 325), 1.0, False),
        (square(39, 100), 0.0, True),  # 0.4 sizes at once
        (square(41, 100), 0.0, False),
        (square(339, 100), 1.0, True),  # and 3 a second
        (square(341, 100), 1.0, False),
    ],
)
def test_a_face_neither_grows_nor_moves_faster_than_faces_do(
    box: Box, seconds: float, plausible: bool
) -> None:
    assert is_plausible(box, square(0, 100), seconds) is plausible
    assert is_plausible(square(0, 100), box, seconds) is plausible
