"""Scans of whole frames: the times for one, and the sizes of faces that it looks for."""

from __future__ import annotations

import math

from pipeline.faces.detect import Detection, Detector, HogDetector
from pipeline.faces.frame import Frame
from pipeline.faces.regions import PLAIN, Look, find_all, is_dark, raise_contrast
from pipeline.faces.settings import FaceSettings
from pipeline.faces.windows import look_everywhere, look_with_room

COARSE_PIXELS = 900_000  # of the pyramid level that a coarse scan of a frame starts from
# Pixels of a frame's longer side as the second detector sees it: as a rule, and for small faces.
SECOND_PIXELS, SEARCH_PIXELS = 640, 1280
SEARCH_FROM = 800  # pixels of a frame's side; what is smaller is hardly larger than the usual look
# Without a face for so long, whole frames are searched half as often: a face that turns up is
# followed back through the last 2 s anyway.
LONG_LOST_SECONDS = 4.0

Find = tuple[Detection, Look]


class Scanner:
    """Search of whole frames of a clip, at stated intervals.

    Args:
        settings: thresholds and intervals.
        every_frame: search each frame, and exactly as the detector does.
        detector: searches whole frames; dlib's HOG detector by default.
        second: looks at whole frames too, as a rule oftener.
    """

    def __init__(
        self,
        settings: FaceSettings,
        *,
        every_frame: bool,
        detector: Detector | None = None,
        second: Detector | None = None,
    ) -> None:
        self.settings = settings
        self.every_frame = every_frame or detector is not None
        self.detector = detector or HogDetector(settings.upsample)
        self.second = second
        self.reset()

    def reset(self) -> None:
        """Search the next frame, whenever the last one was searched."""
        self.scanned_at = self.searched_at = self.gave_room_at = -math.inf
        self.looked_at = dict.fromkeys((SEARCH_PIXELS, SECOND_PIXELS), -math.inf)
        self.lost_at = math.inf

    def scan(self, now: Frame, *, lost: bool) -> list[Find] | None:
        """Search a frame if it is time to.

        Args:
            now: the frame.
            lost: no face is in sight: search more often.

        Returns:
            What was found and how, the surest first, or None where it wasn't time.
        """
        settings = self.settings
        if self.every_frame:
            found = self.detector.detect(now.image, settings.threshold)
            return [(face, PLAIN) for face in found]
        self.lost_at = min(self.lost_at, now.seconds) if lost else math.inf
        wait = settings.lost_seconds if lost else settings.scan_seconds
        if now.seconds - self.lost_at > LONG_LOST_SECONDS:
            wait = 2 * settings.lost_seconds
        if now.seconds - self.scanned_at < wait:
            return None
        self.scanned_at = now.seconds
        level = now.pyramid.level_below(COARSE_PIXELS)
        if self.second is None and now.seconds - self.searched_at >= settings.search_seconds:
            self.searched_at, level = now.seconds, 0
        found = find_all(now.image, now.pyramid, level, threshold=settings.threshold)
        if lost and not found and is_dark(now.image):
            raised = raise_contrast(now.image)
            bright = find_all(raised, now.pyramid, level, threshold=settings.threshold)
            return [(face, Look(contrast=True)) for face in bright]
        return [(face, PLAIN) for face in found]

    def ask_second(self, now: Frame, *, lost: bool, threshold: float) -> list[Detection]:
        """Let the second detector look at the whole frame, if it is time to.

        Args:
            now: the frame.
            lost: no face is in sight: look at every frame.
            threshold: lowest score that counts.
        """
        settings, side = self.settings, max(now.image.shape[:2])
        if self.second is None:
            return []
        waits = {SECOND_PIXELS: 0.0 if lost else settings.second_seconds}
        if side > SEARCH_FROM:
            waits[SEARCH_PIXELS] = settings.search_seconds
        found: list[Detection] = []
        for pixels, wait in waits.items():
            if now.seconds - self.looked_at[pixels] >= wait:
                self.looked_at[pixels] = now.seconds
                found += look_everywhere(self.second, now.image, pixels, threshold)
        if lost and not found and now.seconds - self.gave_room_at >= settings.second_seconds:
            self.gave_room_at = now.seconds
            found = look_with_room(self.second, now.image, threshold)
        return sorted(found, key=lambda face: -face.score)
