"""Settings of faces: of the search, with those that a ``faces`` set's key covers, and of crops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from cache.codec import fields_to_json
from cache.digest import JSON
from extractors.weights.facts import WeightFacts

Measure = Literal["largest", "central", "longest", "first"]
OTHER, PERSON = "other", "person="
POLICIES = (*get_args(Measure), OTHER, f"{PERSON}NAME")
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
        policy: which of several faces: ``largest`` (area summed over the frames in which it is
            seen), ``central``, ``longest`` or ``first``; where that one is absent, the next by the
            same measure. ``person=NAME`` is that person alone, as ``avfuse persons`` found or was
            told; ``other`` is everyone but the clip's speaker.
        switch_seconds: for less than this the chosen face doesn't change to another and back; at
            most 1, and 0 on the papers' ladder. See ``pipeline.choice.choice.choose``.
        upsample: how often dlib doubles a frame before it looks; 1 finds faces from 40 pixels.
        threshold: score from which dlib's detection counts; 0 is dlib's own.
        region_threshold: the same, near a face that is known.
        scan_seconds: from one scan of a whole frame by dlib to the next while a face is known. A
            face that turns up is followed back through 2 s.
        lost_seconds: the same while none is; twice that after 4 s without one.
        search_seconds: from one scan for the smallest faces to the next; the others leave out
            faces that are small in a large frame.
        second_seconds: from one look of the second detector at a whole frame to the next while a
            face is known; while none is, it looks at every frame.
        second_threshold: score from which a face that only the second detector sees counts.
        evidence_seconds: for how long a face may go on without a detector that accepts it; what is
            followed longer than that is dropped.
        evidence_share: of a track's frames, in which a detector must have accepted its face.
        hold_frames: for how many frames the last box is used when nothing else is left, moved with
            what is in it where that can be told.
        join: when tracks become one person's: ``identity`` joins by motion within a shot and by
            likeness across cuts and gaps, ``motion`` within a shot alone; ``none``: never. The
            papers' ladder never does.
        link_overlap: overlap (intersection over union) from which two boxes are one face.
        second: another detector for the frames in which dlib's sees no face: ``yunet``, ``mmod``
            (a network of dlib's, for GPUs; ``mmod-cpu`` lets it take 3 s a frame on a processor)
            or ``none``. The papers' ladder has none.

    Raises:
        ValueError: a count or time is negative, ``link_overlap`` not in (0, 1],
            ``evidence_share`` or ``switch_seconds`` not in [0, 1], the policy unknown, or another
            second detector than the default asked for on the papers' ladder, which has none.
    """

    ladder: Literal["full", "papers"] = "full"
    scan: Literal["region", "every-frame"] = "region"
    policy: str = "largest"
    switch_seconds: float = 1.0
    upsample: int = 1
    threshold: float = 0.0
    region_threshold: float = -0.7
    scan_seconds: float = 4.0
    lost_seconds: float = 0.8
    search_seconds: float = 2.0
    second_seconds: float = 0.8
    second_threshold: float = 0.8
    evidence_seconds: float = 1.0
    evidence_share: float = 0.25
    hold_frames: int = 5
    join: Literal["identity", "motion", "none"] = "identity"
    link_overlap: float = 0.3
    second: Literal["none", "yunet", "mmod", "mmod-cpu"] = "yunet"

    def __post_init__(self) -> None:
        times = [name for name in vars(self) if name.endswith("_seconds")]
        for name in ("upsample", "hold_frames", *times):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.evidence_share <= 1:
            raise ValueError(f"evidence_share must be in [0, 1], got {self.evidence_share}")
        if not 0 < self.link_overlap <= 1:
            raise ValueError(f"link_overlap must be in (0, 1], got {self.link_overlap}")
        if not 0 <= self.switch_seconds <= 1:
            raise ValueError(f"switch_seconds must be in [0, 1], got {self.switch_seconds}")
        check_policy(self.policy)
        if self.ladder == "papers":
            object.__setattr__(self, "join", "none")
            object.__setattr__(self, "switch_seconds", 0.0)
            if self.second == "yunet":
                object.__setattr__(self, "second", "none")
        if self.ladder == "papers" and self.second != "none":
            raise ValueError(
                "ladder=papers is dlib's detector or the whole frame and has no second detector, "
                f"got second={self.second}"
            )

    def keyed(self) -> dict[str, JSON]:
        """Return what can change the tracks of a clip, for the key of the ``faces`` set."""
        values = fields_to_json(self)
        del values["policy"], values["switch_seconds"]  # of the choice, made when crops are
        if self.second == "mmod-cpu":
            values["second"] = "mmod"  # the same numbers, on another device
        return values


def check_policy(policy: str) -> None:
    """Check that a policy is one that faces can be chosen by; the person need not exist.

    Raises:
        ValueError: it isn't.
    """
    if policy in (*get_args(Measure), OTHER) or policy.removeprefix(PERSON) not in ("", policy):
        return
    raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")


@dataclass(frozen=True)
class CropSettings:
    """Settings of a crop: its size, its framing, and what it is aligned to.

    Args:
        size: side of the crop in pixels.
        extend: how much larger the crop is than the aligned face, in total; 0.3 adds 15 % of the
            face's size on each side.
        lift: how far the crop is moved up, as a share of the aligned face's size (with ``box``, of
            the box's): 0.12 shows more forehead and less chin.
        framing: ``weights`` takes ``extend`` and ``lift`` from a weight file that states how the
            faces it was trained on were framed, unless one of them is set to something else than
            its default here; ``given`` takes them from here always.
        align: ``landmarks`` turns and scales the face so that its landmarks sit at their mean
            positions; ``box`` takes the upright square around the box.
        border: what stands where a crop reaches over the edge of the frame.

    Raises:
        ValueError: ``size`` is below 1, ``extend`` not in [0, 4] or ``lift`` not in [-1, 1].
    """

    size: int = 224
    extend: float = 0.3
    lift: float = 0.0
    framing: Literal["weights", "given"] = "weights"
    align: Literal["landmarks", "box"] = "landmarks"
    border: Literal["black", "replicate"] = "black"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        if not 0 <= self.extend <= 4:
            raise ValueError(f"extend must be in [0, 4], got {self.extend}")
        if not -1 <= self.lift <= 1:
            raise ValueError(f"lift must be in [-1, 1], got {self.lift}")


def resolve_framing(settings: CropSettings, facts: WeightFacts | None) -> CropSettings:
    """Return the settings with ``framing`` settled, by what a network's weights say of themselves.

    A network sees best what it was trained on: how much forehead and background a crop shows moves
    its answers more than a turn by a few degrees. Boxes frame otherwise than aligned faces do, so
    that ``align`` = ``box`` takes nothing from weights.
    """
    own = CropSettings()
    by_hand = (settings.extend, settings.lift) != (own.extend, own.lift)
    stated = facts.framing if facts else None
    if stated is None or by_hand or settings.framing == "given" or settings.align == "box":
        return replace(settings, framing="given")
    return replace(settings, extend=stated.extend, lift=stated.lift, framing="given")
