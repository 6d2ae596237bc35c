"""Measures of the faces found in a clip, against its labels.

A box **holds** a face if their intersection over union is ``SAME`` or more. A box that holds none
is **empty**, unless it overlaps something ``unclear`` or ``drawn`` as much, or lies in it by half.
A labelled face is **found** if a box is its own: boxes and faces are paired one to one, the best
overlap first. Only faces from ``LEAST_SIDE`` pixels are asked for; smaller ones excuse a box.

**Own person**: who has the most labelled faces of the clip and also the largest sum of their areas;
a clip in which these are two people has none. Right is a frame in which that person has a labelled
face and the chosen box holds it.

**Purity** of the tracks: of all boxes that hold a face, the share on the person whom their track is
on most often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from benchmarks.faces.labels import FACE, ClipLabels, Label
from pipeline.choice.choice import FaceArrays
from pipeline.faces.tracks import Box, BoxSource, ClipTracks, is_seen, link, overlap

SAME = 0.3  # dlib and YuNet frame a turned face up to half a width apart
LEAST_SIDE = 32  # pixels
INSIDE = 0.5


@dataclass
class Counts:
    """Counts of one clip, or of several together; ``seen`` and ``followed`` boxes apart.

    ``faults`` says each of them in words.
    """

    frames: int = 0
    faces: int = 0
    faces_found: int = 0
    reference: int = 0
    reference_found: int = 0
    seen: int = 0
    seen_empty: int = 0
    followed: int = 0
    followed_empty: int = 0
    frames_with_empty: int = 0
    chosen_seen: int = 0
    chosen_seen_empty: int = 0
    chosen_followed: int = 0
    chosen_followed_empty: int = 0
    own_frames: int = 0
    own_right: int = 0
    own_other: int = 0
    held: int = 0
    doubled: int = 0
    held_by_most: int = 0
    people: int = 0
    tracks_of_people: int = 0
    tracks: int = 0
    flickers: int = 0
    faults: list[str] = field(default_factory=list)

    def shares(self) -> dict[str, float | None]:
        """Return the measures that the counts stand for; None where nothing was asked."""
        boxes, chosen = self.seen + self.followed, self.chosen_seen + self.chosen_followed
        empty = self.seen_empty + self.followed_empty
        chosen_empty = self.chosen_seen_empty + self.chosen_followed_empty
        return {
            "recall": _share(self.faces_found, self.faces),
            "recall_of_reference": _share(self.reference_found, self.reference),
            "frames_with_empty": _share(self.frames_with_empty, self.frames),
            "precision": _share(boxes - empty, boxes),
            "precision_seen": _share(self.seen - self.seen_empty, self.seen),
            "precision_followed": _share(self.followed - self.followed_empty, self.followed),
            "precision_chosen": _share(chosen - chosen_empty, chosen),
            "right_person": _share(self.own_right, self.own_frames),
            "other_person": _share(self.own_other, self.own_frames),
            "purity": _share(self.held_by_most, self.held),
            "tracks_per_person": _share(self.tracks_of_people, self.people),
        }


def add_up(counts: Iterable[Counts]) -> Counts:
    """Return the sum of several clips' counts, without their faults."""
    total = Counts()
    for each in counts:
        for one in fields(Counts):
            if one.name != "faults":
                setattr(total, one.name, getattr(total, one.name) + getattr(each, one.name))
    return total


def measure(found: ClipTracks, chosen: FaceArrays, labels: ClipLabels) -> Counts:
    """Measure the faces of one clip.

    Args:
        found: every track.
        chosen: one face a frame.
        labels: of the same clip.

    Raises:
        ValueError: the frames are of another size or fewer than the labels': another clip, or
            another decoder.
    """
    last = max(labels.frames, default=-1)
    if found.frame_size != labels.frame_size or len(found.times) <= last:
        raise ValueError(
            f"labels are of frames 0 to {last} of {labels.frame_size}, the clip has "
            f"{len(found.times)} frames of {found.frame_size} (height, width)"
        )
    counts = Counts(tracks=len(np.unique(found.tracks.number)), flickers=count_flickers(chosen))
    own = own_person(labels)
    people_of: dict[int, Counter[str]] = {}
    for frame, all_labels in labels.frames.items():
        counts.frames += 1
        faces = [label for label in all_labels if label.kind == FACE]
        rows = np.flatnonzero(found.tracks.frame == frame)
        boxes = [_box(found.tracks.box[row]) for row in rows]
        _ask(counts, frame, boxes, faces)
        empty = 0
        here: Counter[str] = Counter()
        for row, box in zip(rows, boxes, strict=True):
            source, number = BoxSource(found.tracks.rung[row]), int(found.tracks.number[row])
            person = whose(box, faces)
            if person is not None:
                here[person] += 1
                people_of.setdefault(number, Counter())[person] += 1
            nothing = is_empty(box, all_labels)
            empty += nothing
            _count_box(counts, "", source, nothing)
            if nothing:
                sides = ", ".join(f"{side:.0f}" for side in box)
                counts.faults.append(
                    f"frame {frame}: no face in {sides} ({source.name.lower()}, track {number})"
                )
        counts.frames_with_empty += empty > 0
        counts.doubled += here.total() - len(here)
        counts.faults += [f"frame {frame}: {who} in {n} boxes" for who, n in here.items() if n > 1]
        _judge_choice(counts, frame, chosen, all_labels, own)
    counts.held = sum(each.total() for each in people_of.values())
    counts.held_by_most = sum(max(each.values()) for each in people_of.values())
    people = [person for each in people_of.values() for person in each]
    counts.people, counts.tracks_of_people = len(set(people)), len(people)
    return counts


def _ask(counts: Counts, frame: int, boxes: Sequence[Box], faces: Sequence[Label]) -> None:
    """Count the faces that are asked for, and those found."""
    found = link(boxes, [face.box for face in faces], SAME).values()
    for at, face in enumerate(faces):
        if face.side < LEAST_SIDE:
            continue
        counts.faces += 1
        counts.faces_found += at in found
        counts.reference += bool(face.seen_by)
        counts.reference_found += bool(face.seen_by) and at in found
        if at not in found:
            counts.faults.append(f"frame {frame}: {face.person} not found")


def _count_box(counts: Counts, prefix: str, source: BoxSource, nothing: bool) -> None:
    name = prefix + ("seen" if is_seen(np.array(source)) else "followed")
    setattr(counts, name, getattr(counts, name) + 1)
    setattr(counts, f"{name}_empty", getattr(counts, f"{name}_empty") + nothing)


def _judge_choice(
    counts: Counts, frame: int, chosen: FaceArrays, labels: Sequence[Label], own: str | None
) -> None:
    """Count what the chosen box of a frame holds: the clip's own person, another, or nothing."""
    source, box = BoxSource(chosen.rung[frame]), _box(chosen.box[frame])
    faces = [label for label in labels if label.kind == FACE]
    person = None
    if source != BoxSource.WHOLE:
        person = whose(box, faces)
        _count_box(counts, "chosen_", source, is_empty(box, labels))
    if any(face.person == own and face.side >= LEAST_SIDE for face in faces):
        counts.own_frames += 1
        counts.own_right += person == own
        counts.own_other += person is not None and person != own
        if person not in (None, own):
            counts.faults.append(f"frame {frame}: {person} chosen instead of {own}")


def whose(box: Box, faces: Sequence[Label]) -> str | None:
    """Return the person of the face that a box holds, None where it holds none."""
    best = max(faces, key=lambda face: overlap(box, face.box), default=None)
    return best.person if best and overlap(box, best.box) >= SAME else None


def is_empty(box: Box, labels: Sequence[Label]) -> bool:
    """Say whether a box holds no face, and nothing that is unclear or drawn either."""
    return not any(
        overlap(box, label.box) >= SAME
        or (label.kind != FACE and _inside(box, label.box) >= INSIDE)
        for label in labels
    )


def own_person(labels: ClipLabels) -> str | None:
    """Return the person whose clip it is; None where nobody leads by both count and area."""
    count: Counter[str] = Counter()
    area: Counter[str] = Counter()
    for label in (each for labels in labels.frames.values() for each in labels):
        if label.kind == FACE:
            left, top, right, bottom = label.box
            count[label.person] += 1
            area[label.person] += round((right - left) * (bottom - top))
    if not count:
        return None
    first = max(area, key=lambda person: area[person])
    return first if count[first] == max(count.values()) else None


def count_flickers(chosen: FaceArrays) -> int:
    """Count the single frames with another choice, or none, than before and after."""
    before, here, after = chosen.track[:-2], chosen.track[1:-1], chosen.track[2:]
    return int(((before == after) & (before != here)).sum())


def _inside(box: Box, other: Box) -> float:
    """Return the share of a box's area that lies in another."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return width * height / area if width > 0 and height > 0 else 0.0


def _box(sides: np.ndarray) -> Box:
    left, top, right, bottom = map(float, sides)
    return left, top, right, bottom


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
