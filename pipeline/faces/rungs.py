"""How the face of a frame was had: the rungs of the ladder, best first after ``WHOLE``."""

from __future__ import annotations

from enum import IntEnum


class Rung(IntEnum):
    """How a frame's box was had. The numbers are stored in entries and never change meaning.

    ``WHOLE``: no face; the box is the whole frame.
    ``DETECT``: dlib's detector at its published threshold.
    ``HOLD``: the last box, a few frames old, moved with what is in it where that can be told.
    ``REGION``: dlib's detector at a lower threshold, next to a face that was certain.
    ``CONTRAST``: dlib's detector on a frame whose contrast was raised.
    ``FOLLOW``: the face's motion was followed from a frame in which it was detected.
    ``SECOND``: a second detector.
    ``GIVEN``: a box that the user gave.
    ``TILT``: dlib's detector on a frame turned by 25 degrees.
    """

    WHOLE = 0
    DETECT = 1
    HOLD = 2
    REGION = 3
    CONTRAST = 4
    FOLLOW = 5
    SECOND = 6
    GIVEN = 7
    TILT = 8


SUREST_LAST = (
    Rung.HOLD,
    Rung.FOLLOW,
    Rung.REGION,
    Rung.TILT,
    Rung.CONTRAST,
    Rung.SECOND,
    Rung.GIVEN,
    Rung.DETECT,
)
