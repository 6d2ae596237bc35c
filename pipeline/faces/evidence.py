"""Rules of evidence: a track rests on frames in which a detector itself accepted the face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Box, BoxSource, TrackRows, is_seen

LEAST_ACCEPTED = 2  # frames; one is enough where both detectors accept the face
# A face's size and place, next to where it was last accepted: at once, and by the second.
GROWTH, GROWTH_PER_SECOND = 1.4, 1.0
PATH, PATH_PER_SECOND = 0.4, 3.0  # in face sizes


def is_plausible(box: Box, accepted: Box, seconds: float) -> bool:
    """Say whether a face can have come from one box to another in a time, either way.

    Args:
        box: where it would be.
        accepted: where a detector last accepted it.
        seconds: between the two.
    """
    size, old = (
        (box[2] - box[0] + box[3] - box[1]) / 2,
        (accepted[2] - accepted[0] + accepted[3] - accepted[1]) / 2,
    )
    growth = GROWTH + GROWTH_PER_SECOND * seconds
    if not old / growth <= size <= old * growth:
        return False
    path = np.hypot(
        (box[0] + box[2] - accepted[0] - accepted[2]) / 2,
        (box[1] + box[3] - accepted[1] - accepted[3]) / 2,
    )
    return bool(path <= (PATH + PATH_PER_SECOND * seconds) * max(size, old))


def drop_unsupported(rows: TrackRows, times: Sequence[float], settings: FaceSettings) -> None:
    """Delete the rows of a track that no acceptance supports; all, where it is no face.

    A row that a detector didn't accept stays between two that one did, if these are at most
    ``evidence_seconds`` apart, and, unless its box is only held, for ``hold_frames`` before the
    first and behind the last. What is left must have been accepted in a share ``evidence_share``
    of its frames.

    Args:
        rows: of one track.
        times: seconds of every frame of the clip.
        settings: the three.
    """
    frames, rungs = rows.sources()
    seen = is_seen(rungs)
    accepted = frames[seen]
    if not len(accepted):
        rows.clear()
        return
    seconds = np.asarray(times)
    after = np.searchsorted(accepted, frames)  # of the first acceptance that isn't before
    last, following = (
        accepted[np.maximum(after - 1, 0)],
        accepted[np.minimum(after, len(accepted) - 1)],
    )
    between = (
        (after > 0)
        & (after < len(accepted))
        & (seconds[following] - seconds[last] <= settings.evidence_seconds + 1e-9)
    )
    distance = np.minimum(np.abs(frames - last), np.abs(frames - following))
    near = (distance <= settings.hold_frames) & (rungs != BoxSource.HOLD)
    kept = seen | between | near
    if seen.sum() < settings.evidence_share * kept.sum():
        kept[:] = False
    for frame in frames[~kept].tolist():
        del rows[frame]
