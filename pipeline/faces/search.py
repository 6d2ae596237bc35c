"""Search for faces through a whole clip: whole frames now and then, regions in between.

Frames are given one by one. A whole frame is searched at the start, behind every cut, while no
face is in sight and at stated intervals. A face that was found is looked for near its last place in
every later frame, and in the few kept frames before the one in which it turned up. Only geometry
is remembered, beside a bounded number of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from pipeline.faces.detect import Detection, Detector, FivePointPredictor, LandmarkPredictor
from pipeline.faces.evidence import LEAST_ACCEPTED, drop_unsupported
from pipeline.faces.frame import CutFinder, Frame, shrink
from pipeline.faces.gallery import Gallery
from pipeline.faces.identity import IdentityArrays, Recogniser
from pipeline.faces.joining import one_person_one_track
from pipeline.faces.ladder import SAME_FIND, SECOND_LEAST, Ladder, Track
from pipeline.faces.landmarks import place_landmarks, settle_crops
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.regions import PLAIN, Look, look_near
from pipeline.faces.scanner import Scanner
from pipeline.faces.second import own_second
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import (
    BoxSource,
    ClipTracks,
    Sighting,
    TrackArrays,
    gather_tracks,
    link,
    overlap,
)
from pipeline.media.frames import Frames

KEPT_BYTES = 64_000_000  # of frames to look back at
BACK_SECONDS = 2.0  # for how long frames are kept
LOST_SECONDS = 0.2  # without a detection, after which a face counts as out of sight
BESIDE = 0.4  # overlap up to which a find is another face than one that is known
SAME_FACE = 0.5  # overlap of two tracks from which they follow one face
RESUME_SECONDS = 4.0  # for how long a lost face may come back as the same track
FORGET_SECONDS = 15 * RESUME_SECONDS  # after which what never was a face is forgotten
RESUME_REACH = 2.0  # how far from where it was, in box sizes
RESUME_GROWTH = 1.5


class FaceSearch:
    """Search that finds and follows faces through the frames of one clip.

    Args:
        settings: the ladder, thresholds and intervals.
        predictor: places landmarks.
        detector: searches whole frames in place of dlib's HOG detector; then every frame is.
        second: searches the frames in which the first sees no face.
        recogniser: embeds a few crops of each track; without one there are no identities.

    Attributes:
        cuts: numbers of the frames with which a shot begins, but for the first.
    """

    def __init__(
        self,
        settings: FaceSettings,
        predictor: LandmarkPredictor,
        detector: Detector | None = None,
        second: Detector | None = None,
        recogniser: Recogniser | None = None,
    ) -> None:
        self.settings = settings
        self.gallery = Gallery(recogniser) if recogniser else None
        self.full = settings.ladder == "full"
        second = second if self.full else None
        self.ladder = Ladder(settings, predictor, second, self.gallery)
        by_region = self.full and settings.scan == "region"
        self.scanner = Scanner(
            settings, every_frame=not by_region, detector=detector, second=second
        )
        self.times: list[float] = []
        self.cut_finder = CutFinder()
        self.cuts: list[int] = []
        self.active: list[Track] = []
        self.ended: list[Track] = []
        self.before: Frame | None = None
        self.kept: list[Frame] = []
        self.shot = 0

    def add(self, index: int, seconds: float, image: np.ndarray) -> None:
        """Take the next frame.

        Shapes:
            ``image``: (H, W, 3), uint8, RGB, of one size throughout.
        """
        pyramid = Pyramid((image.shape[0], image.shape[1]), self.settings.upsample)
        now = Frame(index, seconds, image, 1.0, pyramid)
        self.times.append(seconds)
        if self.cut_finder.is_cut(image):
            self.cuts.append(index)
            self._cut(now)
        found = self.scanner.scan(now, lost=self._is_lost(now)) or []
        matched = link(
            [face.box for face, _ in found],
            [track.last.box for track in self.active],
            self.settings.link_overlap,
        )
        places = {old: found[new] for new, old in matched.items()}
        lost = []
        for number, track in enumerate(self.active):
            if number in places:
                face, look = places[number]
                self.ladder.see(track, face, now, self.ladder.source_of(face, look), look)
            elif not (self.full and self.before and self.ladder.advance(track, self.before, now)):
                lost.append(track)
        for new, (face, look) in enumerate(found):
            if new not in matched:
                self._begin(face, now, self.ladder.source_of(face, look), look)
        self._ask_second(now)
        for track in lost:
            if track.seen != index:
                self.active.remove(track)
                self.ended.append(track)
        self._merge(index)
        if self.gallery and lost:
            self.gallery.relieve([track.kept for track in self._faces(self.ended)])
        if self.full:
            self._forget(now, lost)
            self._keep(now)
        for track in self.active:
            if self.full and track.is_face and not track.settled:
                track.settled = True
                self._look_back(track)
        self.before = now

    def _is_lost(self, now: Frame) -> bool:
        return not any(
            track.is_face and now.seconds - track.seen_at <= LOST_SECONDS for track in self.active
        )

    def finish(self) -> tuple[TrackArrays, IdentityArrays | None]:
        """Return all faces, their tracks numbered in order of appearance, and their identities."""
        tracks = self._faces(self.ended + self.active)
        if self.full:
            for track in tracks:
                drop_unsupported(track.rows, self.times, self.settings)
        tracks = sorted(
            (track for track in tracks if track.rows), key=lambda track: min(track.rows)
        )
        kept = [track.kept for track in tracks]
        identity = self.gallery.finish(kept) if self.gallery else None
        return gather_tracks([track.rows for track in tracks]), identity

    def _faces(self, tracks: Sequence[Track]) -> list[Track]:
        """Return the tracks that are faces: on the papers' ladder all, in a still at once."""
        still = len(self.times) < LEAST_ACCEPTED
        return [
            track
            for track in tracks
            if not self.full or track.is_face or (still and track.borne_out)
        ]

    def _ask_second(self, now: Frame) -> None:
        """Let the second detector look at the whole frame, and dlib's where it finds something."""
        lost = self._is_lost(now)
        found = self.scanner.ask_second(now, lost=lost, threshold=SECOND_LEAST)
        matched = link(
            [face.box for face in found],
            [track.last.box for track in self.active],
            self.settings.link_overlap,
        )
        for new, face in enumerate(found):
            sure = face.score >= self.settings.second_threshold
            if new in matched:
                track = self.active[matched[new]]
                if sure and track.seen == now.index:
                    track.agreed = track.agreed or track.last.rung != BoxSource.SECOND
                elif sure:
                    self.ladder.see(track, face, now, BoxSource.SECOND)
                continue
            plain = look_near(now.image, face.box, now.pyramid, threshold=self.settings.threshold)
            if plain is not None and overlap(plain.box, face.box) >= SAME_FIND:
                self._begin(plain, now, BoxSource.DETECT, agreed=sure)
            elif sure:
                self._begin(face, now, BoxSource.SECOND)

    def _begin(
        self,
        face: Detection,
        now: Frame,
        source: BoxSource,
        look: Look = PLAIN,
        *,
        agreed: bool = False,
    ) -> None:
        """Start a track from a find in a whole frame, unless a track covers it."""
        if any(
            now.index in track.rows and overlap(face.box, track.last.box) > BESIDE
            for track in self.active
        ):
            return
        track = self.ladder.begin(face, now, self.shot, source, look)
        track.agreed = agreed
        self.active.append(track)

    def _look_back(self, track: Track) -> None:
        """Find a track's face in the kept frames before its first, and join it to its past."""
        start = min(track.rows)
        later = next((frame for frame in self.kept if frame.index == start), None)
        if later is not None:
            past = self.ladder.rewound(track, later)
            for frame in reversed(self.kept):
                if frame.index >= start:
                    continue
                if not self.ladder.advance(past, later, frame):
                    break
                later = frame
                if self._is_anothers(track, past.last):
                    break
            track.num_accepted, track.borne_out = past.num_accepted, past.borne_out
        for other in reversed(self.ended):
            if self._continues(track, other):
                self.ended.remove(other)
                track.absorb(other)
                return

    def _cut(self, now: Frame) -> None:
        """Begin a new shot; a face that is still there, as behind a flash, goes on."""
        stay = [track for track in self.active if self._survives(track, now)]
        self.ended += [track for track in self.active if track not in stay]
        self.active, self.kept = stay, []
        self.scanner.reset()
        self.shot += 1
        for track in stay:
            track.shot = self.shot

    def _survives(self, track: Track, now: Frame) -> bool:
        """Say whether a track's face is there behind a cut, and not somebody else in its place."""
        face, before = self.ladder.find_again(track, now), self.before
        if face is None or before is None or not self.gallery or self.settings.join != "identity":
            return face is not None
        if track.last.frame != before.index:
            return False
        points = place_landmarks(self.ladder.predictor, now.image, face.box)
        seen = [(before.image, track.last.landmarks, track.last.box), (now.image, points, face.box)]
        return not self.gallery.is_other(
            [(image, marks, box[2] - box[0]) for image, marks, box in seen]
        )

    def _keep(self, now: Frame) -> None:
        """Remember a frame to look back at, and forget the oldest ones."""
        self.kept.append(shrink(now))
        total = sum(frame.image.nbytes for frame in self.kept)
        while total > KEPT_BYTES or now.seconds - self.kept[0].seconds > BACK_SECONDS:
            total -= self.kept.pop(0).image.nbytes

    def _forget(self, now: Frame, lost: Sequence[Track]) -> None:
        """Drop tracks that ended long ago without having become a face; they never will."""
        if lost:
            self.ended = [
                track
                for track in self.ended
                if track.is_face or now.seconds - track.seen_at < FORGET_SECONDS
            ]

    def _continues(self, track: Track, other: Track) -> bool:
        """Say whether a new track is a face that was lost a moment ago."""
        if other.shot != track.shot or track.seen_at - other.seen_at > RESUME_SECONDS:
            return False
        first = track.rows[min(track.rows)]
        if first.frame in other.rows:
            return overlap(first.box, other.rows[first.frame].box) > self.settings.link_overlap
        last = other.rows[max(other.rows)]
        size, old_size = first.box[2] - first.box[0], last.box[2] - last.box[0]
        reach = RESUME_REACH * max(size, old_size)
        return (
            abs(first.box[0] + first.box[2] - last.box[0] - last.box[2]) / 2 < reach
            and abs(first.box[1] + first.box[3] - last.box[1] - last.box[3]) / 2 < reach
            and max(size, old_size) < RESUME_GROWTH * min(size, old_size)
        )

    def _is_anothers(self, track: Track, row: Sighting) -> bool:
        """Say whether a row of a track is on another's face; drop it if that one is still there."""
        for other in self.active + self.ended:
            there = other.rows.get(row.frame) if other.shot == track.shot else None
            if other is not track and there and overlap(row.box, there.box) > SAME_FACE:
                if other in self.active:
                    del track.rows[row.frame]
                return True
        return False

    def _merge(self, index: int) -> None:
        """Join active tracks that follow the same face; one that jumped onto another's ends."""
        order = sorted(self.active, key=lambda track: -track.num_accepted)
        for i, track in enumerate(order):
            for other in order[i + 1 :]:
                if (
                    track in self.active
                    and other in self.active
                    and index in track.rows
                    and index in other.rows
                    and overlap(track.last.box, other.last.box) > SAME_FACE
                ):
                    jumper = self._jumper(track, other, index)
                    self.active.remove(jumper or other)
                    if jumper is not None:
                        del jumper.rows[index]
                        self.ended.append(jumper)
                        continue
                    for frame, row in list(other.rows.items()):
                        if (
                            frame in track.rows
                            and overlap(row.box, track.rows[frame].box) <= SAME_FACE
                        ):
                            del other.rows[frame]
                    track.absorb(other)

    def _jumper(self, track: Track, other: Track, index: int) -> Track | None:
        """Return which of two tracks left its own face for the other's; None where it is one."""
        if index - 1 not in track.rows or index - 1 not in other.rows:
            return None
        before = [one.rows[index - 1].box for one in (track, other)]
        if overlap(*before) > self.settings.link_overlap:
            return None
        stayed = [
            overlap(one.last.box, box) for one, box in zip((track, other), before, strict=True)
        ]
        return track if stayed[0] < stayed[1] else other


def track_faces(
    frames: Iterable[Frames],
    settings: FaceSettings | None = None,
    *,
    detector: Detector | None = None,
    second: Detector | None = None,
    predictor: LandmarkPredictor | None = None,
    recogniser: Recogniser | None = None,
    on_frame: Callable[[bool], None] = lambda _: None,
) -> ClipTracks:
    """Find and follow every face of a clip; the policy plays no part in it.

    Args:
        frames: the clip's frames in order; only their geometry is kept.
        settings: the ladder.
        detector: finds faces in whole frames, every one; dlib's HOG detector by default.
        second: finds faces in the frames where the first doesn't; by default the one that the
            settings name, from its package.
        predictor: places landmarks; dlib's five-point predictor by default.
        recogniser: embeds a few crops of each track; without one the result has no identities.
        on_frame: called after each frame with whether a face is in it, as far as is known then.
    """
    settings, predictor = settings or FaceSettings(), predictor or FivePointPredictor()
    second = second or own_second(settings)
    search = FaceSearch(settings, predictor, detector, second, recogniser)
    times: list[np.ndarray] = []
    size = (0, 0)
    index = 0
    for chunk in frames:
        times.append(chunk.times)
        size = (chunk.images.shape[1], chunk.images.shape[2])
        for image, seconds in zip(chunk.images, chunk.times, strict=True):
            search.add(index, float(seconds), image)
            on_frame(any(track.is_face and index in track.rows for track in search.active))
            index += 1
    all_times = np.concatenate(times) if times else np.zeros(0, np.float64)
    tracks, identity = search.finish()
    found = ClipTracks(all_times, size, tracks, identity)
    found = one_person_one_track(found, search.cuts, settings)
    return replace(found, tracks=settle_crops(found.tracks, found.times))
