"""Scans of whole frames: the times for one, and the sizes of faces that it looks for."""

from __future__ import annotations

import math

from pipeline.faces.detect import Detection, Detector, HogDetector
from pipeline.faces.frame import Frame
from pipeline.faces.regions import PLAIN, Look, find_all, is_dark, raise_contrast
from pipeline.faces.settings import FaceSettings

COARSE_PIXELS = 900_000  # of the pyramid level that a coarse scan of a frame starts from
MAX_CANDIDATES = 3
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
    """

    def __init__(
        self, settings: FaceSettings, *, every_frame: bool, detector: Detector | None = None
    ) -> None:
        self.settings = settings
        self.every_frame = every_frame or detector is not None
        self.detector = detector or HogDetector(settings.upsample)
        self.reset()

    def reset(self) -> None:
        """Search the next frame, whenever the last one was searched."""
        self.scanned_at = self.searched_at = -math.inf
        self.lost_at = math.inf

    def scan(self, now: Frame, *, lost: bool) -> list[Find] | None:
        """Search a frame if it is time to.

        Args:
            now: the frame.
            lost: no face is in sight: search more often, and return what may become one.

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
        if level and now.seconds - self.searched_at >= settings.search_seconds:
            self.searched_at, level = now.seconds, 0
        least = settings.candidate_threshold if lost else settings.threshold
        found = find_all(now.image, now.pyramid, level, threshold=least)
        certain = [face for face in found if face.score >= settings.threshold]
        if lost and not certain and is_dark(now.image):
            raised = raise_contrast(now.image)
            bright = find_all(raised, now.pyramid, level, threshold=settings.threshold)
            if bright:
                return [(face, Look(contrast=True)) for face in bright]
        candidates = found[len(certain) :][:MAX_CANDIDATES]
        return [(face, PLAIN) for face in certain + candidates]
