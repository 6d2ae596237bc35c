"""Ladder from one frame to the next: find a face near its last box, or follow it, or hold it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.faces.detect import Detection, Detector, LandmarkPredictor
from pipeline.faces.evidence import LEAST_ACCEPTED, is_plausible
from pipeline.faces.follow import LIKENESS, Likeness, follow
from pipeline.faces.frame import Frame
from pipeline.faces.gallery import Gallery, Kept, TrackCrops
from pipeline.faces.landmarks import place_landmarks
from pipeline.faces.regions import PLAIN, Look, is_dark, look_near
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import SEEN, Box, BoxSource, Sighting, TrackRows, overlap
from pipeline.faces.windows import look_around

SECOND_LEAST = 0.5  # score from which the second detector's word bears another's out
SURE = 0.5  # score from which a detector's word needs no bearing out; YuNet's are all above
BEAR_OUT_EVERY = 5  # acceptances
SAME_FIND = 0.5  # overlap from which both detectors mean one face; dlib's box is then taken
LOOKS = (Look(contrast=True), Look(tilt=25), Look(tilt=-25))


@dataclass
class Track:
    """A face on its way through the clip, or what may be one.

    ``rows`` has a sighting per frame; ``last`` is the one to go on from. ``seen``, ``seen_at`` and
    ``seen_box`` are number, time and place of where a detector last accepted it, ``found`` the
    number of the frame in which one last found it at all, ``look`` the way it looked then.
    ``settled`` says that the kept frames before were searched too, ``agreed`` that both detectors
    accepted it in one frame, ``borne_out`` that it isn't dlib's alone, and doubtful.
    ``crops`` are for the recogniser.
    """

    rows: TrackRows
    last: Sighting
    seen: int
    seen_at: float
    seen_box: Box
    found: int
    likeness: Likeness
    look: Look = PLAIN
    shot: int = 0
    settled: bool = False
    num_accepted: int = 0
    agreed: bool = False
    borne_out: bool = False
    crops: TrackCrops = field(default_factory=TrackCrops)

    @property
    def is_face(self) -> bool:
        """Whether the evidence is enough to call this a face."""
        return self.agreed or (self.borne_out and self.num_accepted >= LEAST_ACCEPTED)

    @property
    def kept(self) -> Kept:
        """Rows and crops of the track, for the gallery."""
        return self.rows, self.crops

    def absorb(self, other: Track) -> None:
        """Take over another track of the same face; where both have a row, the better one."""
        for index, row in other.rows.items():
            mine = self.rows.get(index)
            if mine is None or _worth(row) > _worth(mine):
                self.rows[index] = row
        self.num_accepted += other.num_accepted
        self.agreed = self.agreed or other.agreed
        self.borne_out = self.borne_out or other.borne_out
        self.crops.absorb(other.crops)


class Ladder:
    """Search for a known face in another frame, one way of looking after another.

    Args:
        settings: thresholds, and how long a face is followed or held.
        predictor: places landmarks.
        second: looks where dlib's detector doesn't accept the face.
        gallery: keeps crops of every track; None where nobody asks for identities.
    """

    def __init__(
        self,
        settings: FaceSettings,
        predictor: LandmarkPredictor,
        second: Detector | None = None,
        gallery: Gallery | None = None,
    ) -> None:
        self.settings = settings
        self.predictor = predictor
        self.second = second
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
            face.box,
            now.index,
            Likeness(now.image, _scaled(face.box, now.scale)),
            shot=shot,
        )
        self.see(track, face, now, source, look)
        return track

    def see(
        self, track: Track, face: Detection, now: Frame, source: BoxSource, look: Look = PLAIN
    ) -> None:
        """Record that a detector found the track's face in a frame."""
        track.found, track.look = now.index, look
        if source in SEEN:
            track.seen, track.seen_at, track.seen_box = now.index, now.seconds, face.box
            track.borne_out = track.borne_out or self._is_borne_out(track, face, now)
            track.num_accepted += 1
            track.likeness = Likeness(now.image, _scaled(face.box, now.scale))
        self._record(track, now, face, source)

    def advance(self, track: Track, before: Frame, now: Frame) -> bool:
        """Find the track's face in the next frame, later or earlier.

        Returns:
            Whether it is still there; if not, the track ends.
        """
        settings, box = self.settings, track.last.box
        plain = self._look_near(track, now, settings.region_threshold)
        if plain is not None and plain.score >= settings.threshold:
            self.see(track, plain, now, BoxSource.DETECT)
            return True
        second = self._ask_second(track, now)
        if second is not None and second.score >= settings.second_threshold:
            if plain is not None and overlap(plain.box, second.box) >= SAME_FIND:
                second = replace(second, box=plain.box)
            self.see(track, second, now, BoxSource.SECOND)
            return True
        since = abs(now.seconds - track.seen_at)
        if since > settings.evidence_seconds or (
            not track.is_face and abs(now.index - track.seen) > settings.hold_frames
        ):
            return False
        for look in sorted(LOOKS, key=lambda look: look != track.look):
            if track.is_face or look == track.look:
                face = self._look_near(track, now, settings.threshold, look)
                if face is not None:
                    self.see(track, face, now, self.source_of(face, look), look)
                    return True
        for face in (plain, second):
            if face is not None and self._is_trusted(track, face, second, now):
                self.see(track, face, now, BoxSource.REGION)
                return True
        moved = follow(before.image, now.image, _scaled(box, now.scale))
        place = box if moved is None else _scaled(moved, 1 / now.scale)
        if not is_plausible(place, track.seen_box, since):
            return False
        if moved is not None and track.likeness.of(now.image, moved) >= LIKENESS:
            self._record(track, now, Detection(place, 0.0), BoxSource.FOLLOW)
            return True
        if abs(now.index - track.found) <= settings.hold_frames:
            # A head that turns away looks like itself no more, and still takes its box along.
            self._record(track, now, Detection(place, 0.0), BoxSource.HOLD)
            return True
        return False

    def rewound(self, track: Track, first: Frame) -> Track:
        """Return the track as it was at its first row, to look for its face in earlier frames.

        It shares the track's rows.
        """
        row = track.rows[first.index]
        return replace(
            track,
            last=row,
            seen=first.index,
            seen_at=first.seconds,
            seen_box=row.box,
            found=first.index,
            likeness=Likeness(first.image, _scaled(row.box, first.scale)),
        )

    def find_again(self, track: Track, now: Frame) -> Detection | None:
        """Find a track's face in the same place although everything else changed."""
        settings = self.settings
        face = look_near(now.image, track.last.box, now.pyramid, threshold=settings.threshold)
        if face is None:
            face = self._ask_second(track, now)
            if face is None or face.score < settings.second_threshold:
                return None
        return face if track.likeness.of(now.image, face.box) >= LIKENESS else None

    def source_of(self, face: Detection, look: Look = PLAIN) -> BoxSource:
        """Name the source of a box that dlib's detector found: its score and the look decide."""
        if look.contrast:
            return BoxSource.CONTRAST
        if look.tilt:
            return BoxSource.TILT
        return BoxSource.DETECT if face.score >= self.settings.threshold else BoxSource.REGION

    def _look_near(
        self, track: Track, now: Frame, threshold: float, look: Look = PLAIN
    ) -> Detection | None:
        """Let dlib's detector search the region around the last box."""
        # What leant or was in the dark a frame ago is seen that way again, not further away.
        far = track.look == PLAIN or track.last.rung in (BoxSource.FOLLOW, BoxSource.HOLD)
        return look_near(
            now.image,
            track.last.box,
            now.pyramid,
            threshold=threshold,
            look=look,
            scale=now.scale,
            far=far,
        )

    def _ask_second(self, track: Track, now: Frame) -> Detection | None:
        """Let the second detector look at what is around the last box."""
        if self.second is None:
            return None
        place = _scaled(track.last.box, now.scale)
        face = look_around(self.second, now.image, place, SECOND_LEAST)
        if face is None:
            return None
        box, points = _scaled(face.box, 1 / now.scale), face.landmarks
        if not is_plausible(box, track.seen_box, abs(now.seconds - track.seen_at)):
            return None
        points = None if points is None else points / np.float32(now.scale)
        return replace(face, box=box, landmarks=points)

    def _is_borne_out(self, track: Track, face: Detection, now: Frame) -> bool:
        """Say whether a face that a detector accepts is no pattern on a wall.

        A sure find is none. Of another the second detector must see something.
        """
        if face.score >= SURE or self.second is None:
            return True
        if track.num_accepted % BEAR_OUT_EVERY:
            return False
        place = _scaled(face.box, now.scale)
        return look_around(self.second, now.image, place, SECOND_LEAST) is not None

    def _is_trusted(
        self, track: Track, face: Detection, second: Detection | None, now: Frame
    ) -> bool:
        """Say whether a find below its detector's threshold is the face all the same.

        It must be where the face can have come to, and the second detector must find it too, or it
        looks like the face when that was last accepted.
        """
        if not is_plausible(face.box, track.seen_box, abs(now.seconds - track.seen_at)):
            return False
        if second is not None and overlap(second.box, face.box) >= SAME_FIND:
            return True
        return track.likeness.of(now.image, _scaled(face.box, now.scale)) >= LIKENESS

    def _record(self, track: Track, now: Frame, face: Detection, source: BoxSource) -> None:
        place = _scaled(face.box, now.scale)
        look = track.look
        if look == PLAIN and self.settings.ladder == "full" and is_dark(_inside(now.image, place)):
            look = Look(contrast=True)
        if self.settings.ladder == "papers":
            points = self.predictor.predict(now.image, place)
        else:
            points = place_landmarks(self.predictor, now.image, place, look)
        track.last = Sighting(
            now.index, 0, face.box, points / np.float32(now.scale), face.score, source
        )
        track.rows[now.index] = track.last
        if self.gallery:
            self.gallery.offer(track.crops, track.last, now)


def _worth(row: Sighting) -> tuple[int, float]:
    order = {BoxSource.HOLD: 0, BoxSource.FOLLOW: 1, BoxSource.REGION: 2, BoxSource.DETECT: 4}
    return order.get(row.rung, 3), row.score


def _inside(image: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = (max(0, round(side)) for side in box)
    return image[top:bottom, left:right]


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
