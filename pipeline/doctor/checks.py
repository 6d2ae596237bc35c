"""Checks that compare the clips of a corpus with each other: each yields findings."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from cache.manifest.clip import SPLITS, Clip
from cache.wording import number_of
from pipeline.doctor.diagnosis import MAX_OF_A_KIND, CorpusFacts, Finding
from pipeline.doctor.examine import Examination
from pipeline.doctor.known_defects import find_known_defects, ravdess_take
from pipeline.index.files import describe_names

FAR = 5.0  # robust deviations from the median
LEAST_FACTOR = 2.0  # and at least so many times longer, shorter, faster or slower
MAX_SENTENCES = 3  # of one kind of note that are repeated in its finding
FEW = 1 / 2  # of the frames looked at, below which a clip shows its face rarely
OFTEN = 1 / 4  # of them, from which several faces are worth a word
SOME = 1 / 8  # of them, above which uncertain faces are
SMALL = 32  # pixels of a face's width


def _unreadable(corpus: CorpusFacts) -> Iterator[Finding]:
    for clip in corpus.clips:
        problem = corpus.examined[clip.id].problem
        if problem:
            yield Finding("spoils", "unreadable", problem, (clip.id,))


def _repaired(corpus: CorpusFacts) -> Iterator[Finding]:
    for clip, found in corpus.usable():
        if found.damage:
            yield Finding("look", "damaged", "; ".join(found.damage), (clip.id,))


def _cut_off(corpus: CorpusFacts) -> Iterator[Finding]:
    for clip, found in corpus.usable():
        if found.cut_off:
            yield Finding("look", "cut off", "; ".join(found.cut_off), (clip.id,))


def _odd(corpus: CorpusFacts) -> Iterator[Finding]:
    """One finding for each kind of note, with all its clips."""
    usable = list(corpus.usable())
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for clip, found in usable:
        for note in found.notes:
            kind, _, sentence = note.partition(": ")
            kinds[kind][clip.id] = sentence
    for kind, said in kinds.items():
        sentences = [*dict.fromkeys(said.values())]
        more = "; ..." if len(sentences) > MAX_SENTENCES else ""
        text = "; ".join(sentences[:MAX_SENTENCES]) + more
        yield Finding("look", kind, f"{len(said)} of {len(usable)} clips: {text}", tuple(said))


def _mixed_ratios(corpus: CorpusFacts) -> Iterator[Finding]:
    ratios = {clip.id: found.pixel_ratio for clip, found in corpus.usable() if found.pixel_ratio}
    counts = Counter(ratios.values()).most_common()
    if len(counts) > 1:
        listed = ", ".join(f"{ratio} in {number_of(count, 'clip')}" for ratio, count in counts)
        text = (
            f"pixels have different shapes: {listed}; each clip is read as its file says, so a "
            "file that lost its ratio shows faces too wide or too narrow"
        )
        rare = tuple(clip for clip, ratio in ratios.items() if ratio != counts[0][0])
        yield Finding("look", "mixed ratios", text, rare)


def _missing_modality(corpus: CorpusFacts) -> Iterator[Finding]:
    usable = list(corpus.usable())
    kinds = {
        "no picture": [clip.id for clip, found in usable if found.frame_size is None],
        "no sound": [clip.id for clip, found in usable if found.sound == "missing"],
        "silent": [clip.id for clip, found in usable if found.sound == "silent"],
    }
    for kind, ids in kinds.items():
        if ids:
            text = f"{len(ids)} of {len(usable)} clips: {kind}"
            yield Finding("look", kind, text, tuple(ids))


def _faces(corpus: CorpusFacts) -> Iterator[Finding]:
    """One finding for each thing that is wrong with faces, with all its clips."""
    looked = {clip.id: one for clip, one in corpus.usable() if one.sampled_frames}
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "no face": ("no face in any sampled frame", {}),
        "few faces": (
            "a face in fewer than half of the sampled frames; a network sees the others whole",
            {},
        ),
        "uncertain face": (
            "there may be a face that extract doesn't take, for its score is too low",
            {},
        ),
        "several faces": (
            "several faces of similar size at once; faces.policy decides whose is used",
            {},
        ),
        "small face": (f"faces of less than {SMALL} pixels, of which a crop shows little", {}),
    }
    for clip, one in looked.items():
        of = f"of {one.sampled_frames} frames"
        if not one.frames_with_face:
            kinds["no face"][1][clip] = clip
        elif one.frames_with_face < FEW * one.sampled_frames:
            kinds["few faces"][1][clip] = f"{clip} {one.frames_with_face} {of}"
        if one.uncertain_frames > SOME * one.sampled_frames:
            kinds["uncertain face"][1][clip] = f"{clip} {one.uncertain_frames} {of}"
        if one.frames_with_several >= OFTEN * one.sampled_frames:
            kinds["several faces"][1][clip] = f"{clip} {one.frames_with_several} {of}"
        if one.face_size is not None and one.face_size < SMALL:
            kinds["small face"][1][clip] = f"{clip} {one.face_size:.0f} pixels"
    for kind, (text, clips) in kinds.items():
        if clips:
            listed = describe_names(list(clips.values()), MAX_OF_A_KIND)
            counted = f"{len(clips)} of {len(looked)} clips: {text} ({listed})"
            yield Finding("look", kind, counted, tuple(clips))


def _same_content(corpus: CorpusFacts) -> Iterator[Finding]:
    """Clips of one file that overlap: the same frames under two names."""
    for group in _groups(corpus, lambda found: found.sha256):
        pieces = _overlapping(group)
        for piece in pieces:
            if len(piece) > 1:
                yield _duplicate("same file", "have the same content", piece)
        if len(pieces) > 1 and len({clip.split for clip in group} - {None}) > 1:
            ids = tuple(clip.id for clip in group)
            text = f"{', '.join(ids)} are parts of one file, in several splits"
            yield Finding("look", "same file", text, ids)


def _overlapping(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Part clips of one file into those that overlap, directly or through others."""
    pieces: list[list[Clip]] = []
    reach = -math.inf
    for clip in sorted(clips, key=lambda clip: clip.start_seconds or 0.0):
        if (clip.start_seconds or 0.0) >= reach:
            pieces.append([])
        pieces[-1].append(clip)
        reach = max(reach, math.inf if clip.end_seconds is None else clip.end_seconds)
    return pieces


def _same_sound(corpus: CorpusFacts) -> Iterator[Finding]:
    for group in _groups(corpus, lambda found: found.sound == "present" and found.sound_sha256):
        if len({corpus.examined[clip.id].sha256 for clip in group}) > 1:
            yield _duplicate("same sound", "have the same sound", group)


def _same_take(corpus: CorpusFacts) -> Iterator[Finding]:
    """RAVDESS has each take as video and as sound alone, coded differently."""
    takes: dict[str, list[Clip]] = defaultdict(list)
    for clip, _ in corpus.usable():
        takes[ravdess_take(clip)].append(clip)
    for take, group in takes.items():
        if not take or len({clip.path.stem for clip in group}) == 1:
            continue  # copies of one file are found by their content
        yield _duplicate("same take", "are one RAVDESS take in several modalities", group)


def _duplicate(kind: str, text: str, clips: Sequence[Clip]) -> Finding:
    ids = tuple(clip.id for clip in clips)
    splits = sorted({clip.split for clip in clips if clip.split})
    labels = sorted({clip.label for clip in clips if clip.label})
    text = f"{', '.join(ids)} {text}"
    if len(splits) > 1:
        return Finding("spoils", kind, f"{text}, across the splits {', '.join(splits)}: leak", ids)
    if len(labels) > 1:
        return Finding("spoils", kind, f"{text} and the labels {', '.join(labels)}", ids)
    return Finding("look", kind, text, ids)


def _far_from_the_rest(corpus: CorpusFacts) -> Iterator[Finding]:
    for name, unit in (
        ("duration_seconds", "s"),
        ("frame_rate", "frames/s"),
        ("sample_rate", "Hz"),
    ):
        values = {
            clip.id: float(value)
            for clip, found in corpus.usable()
            if (value := getattr(found, name)) and value > 0
        }
        middle, far = find_far(values)
        for clip in far:
            text = f"{name} {values[clip]:.4g} {unit}, while the median is {middle:.4g}"
            yield Finding("look", name.removesuffix("_seconds").replace("_", " "), text, (clip,))


def find_far(values: Mapping[str, float]) -> tuple[float, list[str]]:
    """Return the median, and whose value is far from it.

    Far is: ``FAR`` robust deviations (1.4826 times the median absolute deviation) of the
    logarithm, and a factor of ``LEAST_FACTOR``. Neither is moved by the outliers themselves.
    """
    if not values:
        return 0.0, []
    logarithms = {clip: math.log(value) for clip, value in values.items()}
    middle = statistics.median(logarithms.values())
    deviation = 1.4826 * statistics.median(abs(item - middle) for item in logarithms.values())
    limit = max(FAR * deviation, math.log(LEAST_FACTOR) - 1e-9)
    return math.exp(middle), [c for c, item in logarithms.items() if abs(item - middle) > limit]


def _shared_speakers(corpus: CorpusFacts) -> Iterator[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for clip in corpus.clips:
        if clip.speaker and clip.split:
            splits[clip.speaker].add(clip.split)
    shared = {speaker: sorted(names) for speaker, names in splits.items() if len(names) > 1}
    if shared:
        listed = "; ".join(f"{speaker} in {', '.join(n)}" for speaker, n in sorted(shared.items()))
        ids = tuple(clip.id for clip in corpus.clips if clip.speaker in shared and clip.split)
        yield Finding("spoils", "shared speaker", f"speakers in several splits: {listed}", ids)


def _shared_persons(corpus: CorpusFacts) -> Iterator[Finding]:
    """One finding for each person whose face is seen in several splits, with the clips of each."""
    seen: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for clip in corpus.clips:
        for person in corpus.people.get(clip.id, ()):
            if clip.split:
                seen[person][clip.split].append(clip.id)
    for person, clips in sorted(seen.items()):
        if len(clips) > 1:
            listed = "; ".join(
                f"{split}: {describe_names(clips[split], MAX_OF_A_KIND)}"
                for split in SPLITS
                if split in clips
            )
            ids = tuple(clip for split in SPLITS for clip in clips.get(split, ()))
            text = f"the face of {person} is in several splits ({listed}): leak"
            yield Finding("spoils", "shared person", text, ids)


def _labels(corpus: CorpusFacts) -> Iterator[Finding]:
    for name in ("label", "split"):
        without = tuple(clip.id for clip in corpus.clips if getattr(clip, name) is None)
        if 0 < len(without) < len(corpus.clips):
            text = f"{len(without)} of {len(corpus.clips)} clips have no {name}"
            yield Finding("look", f"no {name}", text, without)
    present = {clip.split for clip in corpus.clips}
    for label in sorted({clip.label for clip in corpus.clips if clip.label}):
        ids = tuple(clip.id for clip in corpus.clips if clip.label == label)
        where = {clip.split for clip in corpus.clips if clip.label == label}
        if "train" in present and "train" not in where and where - {None}:
            yield Finding("spoils", "label", f"no training clip has the label {label}", ids)
        elif absent := [split for split in SPLITS if split in present and split not in where]:
            text = f"no clip of {', '.join(absent)} has the label {label}"
            yield Finding("look", "label", text, ids)


def _known(corpus: CorpusFacts) -> Iterator[Finding]:
    for text, ids in find_known_defects(corpus.clips):
        yield Finding("look", "known defect", text, ids)


def _groups(corpus: CorpusFacts, key: Callable[[Examination], Hashable]) -> Iterator[list[Clip]]:
    """Yield the usable clips that share a key, two or more; an empty key is none."""
    groups: dict[Hashable, list[Clip]] = defaultdict(list)
    for clip, found in corpus.usable():
        if value := key(found):
            groups[value].append(clip)
    yield from (group for group in groups.values() if len(group) > 1)


CHECKS: tuple[Callable[[CorpusFacts], Iterator[Finding]], ...] = (
    _unreadable,
    _same_content,
    _same_sound,
    _same_take,
    _shared_speakers,
    _shared_persons,
    _labels,
    _known,
    _missing_modality,
    _faces,
    _cut_off,
    _repaired,
    _odd,
    _mixed_ratios,
    _far_from_the_rest,
)
