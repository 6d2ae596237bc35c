"""Ladder from one frame to the next: find a face near its last box, or follow it, or hold it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.faces.detect import Detection, LandmarkPredictor
from pipeline.faces.follow import LIKENESS, Likeness, follow
from pipeline.faces.frame import Frame
from pipeline.faces.gallery import Gallery, Kept, TrackCrops
from pipeline.faces.landmarks import place_landmarks, unsteadiness
from pipeline.faces.regions import PLAIN, Look, is_dark, look_near
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Box, BoxSource, Sighting, TrackRows

RETRY_EVERY = 5  # frames, for a face that isn't certain yet
RETRY_BELOW = -0.15  # score of the plain look below which others are tried
DOUBTFUL = -0.4  # score below which a find must look like the face as it was last
LOOKS = (Look(contrast=True), Look(tilt=25), Look(tilt=-25))
# What makes a track a face: landmarks that stay when the box is moved, or a detector that is sure
# for long. Measured on 24 real clips: every face reaches 0.000 to 0.008 at times or a sum of 14 and
# more, what dlib takes for a face in a cartoon 0.015 and 1.95, elsewhere 0.045.
STEADY = 0.0115
STEADY_ALONE = 3  # frames as steady as that, where the detector's score stays below its threshold
STEADY_FROM = -0.3  # score from which steadiness is worth measuring
STEADY_EVERY = 2  # frames
SURE_SUM, SURE_SHARE = 3.0, 0.25


@dataclass
class Track:
    """A face on its way through the clip, or what may be one.

    ``rows`` has a sighting per frame; ``last`` is the one to go on from. ``seen`` and ``seen_at``
    are number and time of the frame in which a detector last found it, ``look`` the way it looked
    then. ``settled`` says that the kept frames before were searched too, ``certain`` that a
    detector found it whose word is enough. ``crops`` are for the recogniser.
    """

    rows: TrackRows
    last: Sighting
    seen: int
    seen_at: float
    likeness: Likeness
    look: Look = PLAIN
    shot: int = 0
    settled: bool = False
    positive: float = 0.0
    num_positive: int = 0
    num_detected: int = 0
    num_steady: int = 0
    certain: bool = False
    crops: TrackCrops = field(default_factory=TrackCrops)

    @property
    def is_face(self) -> bool:
        """Whether the evidence is enough to call this a face."""
        sure = self.positive >= SURE_SUM and self.num_positive >= SURE_SHARE * self.num_detected
        steady = self.num_steady >= (1 if self.num_positive else STEADY_ALONE)
        return self.certain or sure or steady

    @property
    def kept(self) -> Kept:
        """Rows and crops, as the gallery takes them."""
        return self.rows, self.crops

    def absorb(self, other: Track) -> None:
        """Take over another track of the same face; where both have a row, the better one."""
        for index, row in other.rows.items():
            mine = self.rows.get(index)
            if mine is None or _worth(row) > _worth(mine):
                self.rows[index] = row
        self.positive += other.positive
        self.num_positive += other.num_positive
        self.num_detected += other.num_detected
        self.num_steady += other.num_steady
        self.certain = self.certain or other.certain
        self.crops.absorb(other.crops)


class Ladder:
    """Search for a known face in another frame, one way of looking after another.

    Args:
        settings: thresholds, and how long a face is followed or held.
        predictor: places landmarks.
        gallery: keeps crops of every track; None where nobody asks for identities.
    """

    def __init__(
        self, settings: FaceSettings, predictor: LandmarkPredictor, gallery: Gallery | None = None
    ) -> None:
        self.settings = settings
        self.predictor = predictor
        self.gallery = gallery

    def begin(
        self, face: Detection, now: Frame, shot: int, source: BoxSource, look: Look = PLAIN
    ) -> Track:
        """Start a track from a find."""
        nothing = Sighting(
            now.index, 0, face.box, np.zeros((5, 2), np.float32), 0.0, BoxSource.WHOLE
        )
        track = Track(
            TrackRows(),
            nothing,
            now.index,
            now.seconds,
            Likeness(now.image, _scaled(face.box, now.scale)),
            shot=shot,
        )
        self.see(track, face, now, source, look)
        return track

    def see(
        self, track: Track, face: Detection, now: Frame, source: BoxSource, look: Look = PLAIN
    ) -> None:
        """Record that a detector found the track's face in a frame."""
        track.seen, track.seen_at, track.look = now.index, now.seconds, look
        if source == BoxSource.SECOND:
            track.certain = track.certain or face.score >= self.settings.second_threshold
        else:
            track.num_detected += 1
            if face.score >= self.settings.threshold:
                track.positive += face.score
                track.num_positive += 1
        if (
            not track.is_face
            and face.score >= STEADY_FROM
            and (track.num_detected - 1) % STEADY_EVERY == 0
        ):
            place = _scaled(face.box, now.scale)
            track.num_steady += unsteadiness(self.predictor, now.image, place, look.tilt) <= STEADY
        track.likeness = Likeness(now.image, _scaled(face.box, now.scale))
        self._record(track, now, face.box, face.score, source)

    def advance(self, track: Track, before: Frame, now: Frame) -> bool:
        """Find the track's face in the next frame, later or earlier.

        Returns:
            Whether it is still there; if not, the track ends.
        """
        settings, box = self.settings, track.last.box
        face, look = self._look(track, now)
        if face is not None:
            self.see(track, face, now, self.source_of(face, look), look)
            return True
        if not track.is_face and not track.num_positive:
            return abs(now.index - track.seen) <= settings.hold_frames
        moved = None
        if abs(now.seconds - track.seen_at) <= settings.follow_seconds:
            moved = follow(before.image, now.image, _scaled(box, now.scale))
            if moved is not None and track.likeness.of(now.image, moved) >= LIKENESS:
                self._record(track, now, _scaled(moved, 1 / now.scale), 0.0, BoxSource.FOLLOW)
                return True
        if abs(now.index - track.seen) <= settings.hold_frames:
            # A head that turns away looks like itself no more, and still takes its box along.
            place = box if moved is None else _scaled(moved, 1 / now.scale)
            self._record(track, now, place, 0.0, BoxSource.HOLD)
            return True
        return False

    def rewind(self, track: Track, first: Frame) -> None:
        """Go to a track's first row, to look for its face in earlier frames."""
        track.last = track.rows[first.index]
        track.seen, track.seen_at = first.index, first.seconds
        track.likeness = Likeness(first.image, _scaled(track.last.box, first.scale))

    def survives(self, track: Track, now: Frame) -> bool:
        """Say whether a track's face is in the same place although everything else changed."""
        box = track.last.box
        face = look_near(now.image, box, now.pyramid, threshold=self.settings.threshold)
        return face is not None and track.likeness.of(now.image, face.box) >= LIKENESS

    def _look(self, track: Track, now: Frame) -> tuple[Detection | None, Look]:
        """Search the region around the last box, in other ways too where the plain one fails."""
        settings, box = self.settings, track.last.box
        # What leant or was in the dark a frame ago is seen that way again, not further away.
        far = track.look == PLAIN or track.last.rung in (BoxSource.FOLLOW, BoxSource.HOLD)
        plain = look_near(
            now.image,
            box,
            now.pyramid,
            threshold=settings.region_threshold,
            scale=now.scale,
            far=far,
        )
        if (
            plain is not None
            and plain.score < DOUBTFUL
            and track.likeness.of(now.image, _scaled(plain.box, now.scale)) < LIKENESS
        ):
            plain = None
        if plain is not None and plain.score >= RETRY_BELOW:
            return plain, PLAIN
        if track.is_face or (now.index - track.seen) % RETRY_EVERY == 0:
            for look in sorted(LOOKS, key=lambda look: look != track.look):
                face = look_near(
                    now.image,
                    box,
                    now.pyramid,
                    threshold=settings.threshold,
                    look=look,
                    scale=now.scale,
                )
                if face is not None:
                    return face, look
        return plain, PLAIN

    def _record(self, track: Track, now: Frame, box: Box, score: float, source: BoxSource) -> None:
        place = _scaled(box, now.scale)
        look = track.look
        if look == PLAIN and self.settings.ladder == "full" and is_dark(_inside(now.image, place)):
            look = Look(contrast=True)
        if self.settings.ladder == "papers":
            points = self.predictor.predict(now.image, place)
        else:
            points = place_landmarks(self.predictor, now.image, place, look)
        track.last = Sighting(now.index, 0, box, points / np.float32(now.scale), score, source)
        track.rows[now.index] = track.last
        if self.gallery:
            self.gallery.offer(track.crops, track.last, now)

    def source_of(self, face: Detection, look: Look = PLAIN) -> BoxSource:
        """Name the source of a box that dlib's detector found: its score and the look decide."""
        if look.contrast:
            return BoxSource.CONTRAST
        if look.tilt:
            return BoxSource.TILT
        return BoxSource.DETECT if face.score >= self.settings.threshold else BoxSource.REGION


def _worth(row: Sighting) -> tuple[int, float]:
    order = {BoxSource.HOLD: 0, BoxSource.FOLLOW: 1, BoxSource.REGION: 2, BoxSource.DETECT: 4}
    return order.get(row.rung, 3), row.score


def _inside(image: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = (max(0, round(side)) for side in box)
    return image[top:bottom, left:right]


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
