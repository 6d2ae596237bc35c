"""Settings of the search for faces, and those of them that a ``faces`` set's key covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cache.codec import fields_to_json
from cache.digest import JSON

Policy = Literal["largest", "central", "longest", "first"]
# Name in --weights -> the setting faces.second that it stands for.
DETECTORS: dict[str, Literal["yunet", "mmod"]] = {"yunet": "yunet", "mmod": "mmod"}


@dataclass(frozen=True)
class FaceSettings:
    """Settings of the search for faces, and of the choice of one per frame.

    Args:
        ladder: ``papers`` is detect or the whole frame, in every frame, as both papers do;
            ``full`` looks again near a face that was found, follows it and holds its last box.
        scan: ``region`` searches whole frames only now and then, and otherwise near the faces
            that are known; ``every-frame`` searches every whole frame. ``papers`` always does.
        policy: which of several faces: ``largest`` (area summed over time), ``central``,
            ``longest`` or ``first``; where that one is absent, the next by the same measure.
        upsample: how often dlib doubles a frame before it looks; 1 finds faces from 40 pixels.
        threshold: score from which dlib's detection counts; 0 is dlib's own.
        region_threshold: the same, near a face that is known.
        candidate_threshold: score from which something is watched while no face is known; it
            counts only if it reaches ``threshold`` in some frame.
        scan_seconds: from one scan of a whole frame to the next while a face is known. A face that
            turns up is followed back through 2 s.
        lost_seconds: the same while none is; twice that after 4 s without one.
        search_seconds: from one scan for the smallest faces to the next; the others leave out
            faces that are small in a large frame.
        second_threshold: score from which a face that only the second detector sees counts.
        follow_seconds: for how long a face's motion is followed without a detection.
        hold_frames: for how many frames the last box is used when nothing else is left, moved with
            what is in it where that can be told.
        link_overlap: overlap (intersection over union) from which two boxes are one face.
        second: another detector for the frames in which dlib's sees no face: ``yunet`` or ``mmod``
            (a network of dlib's, for GPUs; ``mmod-cpu`` lets it take 3 s a frame on a processor).

    Raises:
        ValueError: a count or time is negative, ``link_overlap`` not in (0, 1], or a second
            detector asked for on the papers' ladder, which has none.
    """

    ladder: Literal["full", "papers"] = "full"
    scan: Literal["region", "every-frame"] = "region"
    policy: Policy = "largest"
    upsample: int = 1
    threshold: float = 0.0
    region_threshold: float = -0.7
    candidate_threshold: float = -0.45
    scan_seconds: float = 2.0
    lost_seconds: float = 0.4
    search_seconds: float = 4.0
    second_threshold: float = 0.8
    follow_seconds: float = 2.0
    hold_frames: int = 5
    link_overlap: float = 0.3
    second: Literal["none", "yunet", "mmod", "mmod-cpu"] = "none"

    def __post_init__(self) -> None:
        for name in ("upsample", "hold_frames", "scan_seconds", "lost_seconds", "search_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.link_overlap <= 1:
            raise ValueError(f"link_overlap must be in (0, 1], got {self.link_overlap}")
        if self.ladder == "papers" and self.second != "none":
            raise ValueError(
                "ladder=papers is dlib's detector or the whole frame and has no second detector, "
                f"got second={self.second}"
            )

    def keyed(self) -> dict[str, JSON]:
        """Return what can change the tracks of a clip, for the key of the ``faces`` set."""
        values = fields_to_json(self)
        del values["policy"]  # which track is used is decided when crops are made
        if self.second == "mmod-cpu":
            values["second"] = "mmod"  # the same numbers, on another device
        return values
