"""Division of clips into those that train a head and those it is reported on, and its checks.

Folds are planned from the manifest alone, before any feature is looked at, so that which clips
stand in a fold never depends on which extraction failed. ``restrict_folds`` then leaves out the
clips without features and checks again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cache.digest import digest_json
from cache.manifest.manifest import Clip
from cache.wording import name_some, number_of
from trainer.data.copies import describe_copies, find_copies
from trainer.data.folds import SplitError, group_clips, natural_key
from trainer.data.speakers import BY_FACES, FaceSpeakers, find_shared_persons, find_speakers

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Fold:
    """One division of the clips: a head trains on some and is reported on others.

    Args:
        number: number of the cross-validation fold; None for the splits of the manifest.
        split: the split reported on; None for cross-validation.
        train: clips to train on.
        test: clips to report on; none of them is in ``train``.
        absent: classes that test clips have and no training clip has.
        inner: what an inner fold holds out of the training clips of others, such as ``0-1``; see
            ``trainer.runs.nested``. Empty for a fold that is reported on.
    """

    number: int | None
    split: str | None
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    absent: tuple[str, ...] = ()
    inner: str = ""

    @property
    def name(self) -> str:
        """Name of this fold in messages and tables."""
        if self.inner:
            return f"inner fold {self.inner}"
        return f"split {self.split}" if self.number is None else f"fold {self.number}"


@dataclass(frozen=True)
class FoldPlan:
    """Folds of a run, and the facts about them that belong beside its figures.

    Args:
        kind: ``split``, ``speaker``, ``clip`` or ``manifest``.
        spec: the division in words that make it again, such as ``speaker:6``.
        folds: the folds; the splits of a manifest are one fold.
        classes: every label of the clips in the folds, sorted.
        unlabelled: ids of clips without a label, which are left out.
        unused: ids of labelled clips that no fold trains on or reports on.
        shared_speakers: speakers in both training and test clips of some fold; where not all are
            known and none of the known are, persons by faces.
        speaker_independent: True when no fold shares a speaker, ``by faces`` when speakers were
            found so, False when a fold shares one or when folds are by clip without known
            speakers, None when it can't be told.
        warnings: sentences that belong beside every figure of the run.
        by_faces: where speakers are persons found by faces: what that rests on.
        copies: test clip to the training clip that has the same content; see ``find_copies``.
        without_content: number of clips in the folds whose content nobody knows; None until it is
            looked for.
        persons: what the intervals by speaker rest on, where they go by persons found by faces
            and folds don't.
        groups: in that case, each clip's group of persons.
    """

    kind: str
    spec: str
    folds: tuple[Fold, ...]
    classes: tuple[str, ...]
    unlabelled: tuple[str, ...]
    unused: tuple[str, ...]
    shared_speakers: tuple[str, ...]
    speaker_independent: bool | Literal["by faces"] | None
    warnings: tuple[str, ...]
    by_faces: FaceSpeakers | None = None
    copies: Mapping[str, str] = field(default_factory=dict)
    without_content: int | None = None
    persons: FaceSpeakers | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


def plan_folds(
    clips: Sequence[Clip],
    *,
    folds: str | None = None,
    report_on: str | None = None,
    train_on: Sequence[str] = ("train",),
    seed: int = 0,
    allow_shared_speakers: bool = False,
    allow_copies: bool = False,
    cache: Path | None = None,
) -> FoldPlan:
    """Divide the labelled clips of a manifest into training and test clips.

    Args:
        clips: the clips of a manifest; those without a label are left out and counted.
        folds: None for the manifest's own splits; ``speaker:K`` for K groups of neighbouring
            speakers in natural order, ``speaker:all`` for one speaker a fold, ``clip:K`` for K
            groups of clips drawn per label, ``manifest`` for the manifest's fold column.
        report_on: split to report on, without ``folds``; None takes ``test`` where labelled
            clips are in it and ``val`` otherwise.
        train_on: splits to train on, without ``folds``.
        seed: seed of ``clip:K``. The order of ``clips`` never matters.
        allow_shared_speakers: accept a speaker in both training and test clips, and say so in
            the plan. Folds by clip always accept it.
        allow_copies: accept test clips of the same file as a training clip, and say so in the
            plan.
        cache: the cache's folder; for folds by speaker, its table of persons stands in where the
            manifest doesn't name every clip's speaker, see ``trainer.data.speakers``; other
            divisions of such a manifest are told of persons in both training and test clips.

    Returns:
        The plan, with at least one fold, each with training and test clips.

    Raises:
        SplitError: no clip has a label; ``folds`` or a split is not one of the above; a split
            has no clip; folds by speaker and a clip without one, or fewer speakers than folds;
            folds by the manifest and a clip without one, or only one; fewer clips than folds;
            a speaker or a file in both training and test clips; training clips of one class
            only; with splits, a test clip whose label no training clip has; see also
            ``find_speakers``.
        PersonsError: the cache's table of persons is damaged.
    """
    labelled = sorted((clip for clip in clips if clip.label), key=lambda clip: clip.id)
    unlabelled = tuple(sorted(clip.id for clip in clips if not clip.label))
    if not labelled:
        raise SplitError(
            f"none of the manifest's {len(clips)} clips has a label; fill in its column label"
        )
    by_faces = None
    if folds is None:
        parts = [_split_fold(labelled, report_on, train_on)]
        kind, spec = "split", f"{'+'.join(train_on)} -> {parts[0].split}"
    else:
        kind, spec = folds.partition(":")[0], folds
        if kind == "speaker" and not all(clip.stated_speaker for clip in labelled):
            found = find_speakers(cache, labelled) if cache else None
            labelled, by_faces = found or (_without_proposals(labelled), None)
        parts = _cross_folds(group_clips(labelled, folds, seed=seed))
    shared, independent = _check_speakers(parts, kind, allow=allow_shared_speakers)
    proposed = by_faces or any(clip.speaker_confidence is not None for clip in labelled)
    if cache and not by_faces and not shared and (proposed or not independent):
        shared = find_shared_persons(cache, [(part.train, part.test) for part in parts])
        independent = False if shared else independent
    persons, groups = None, {}
    if cache and not by_faces and not all(clip.speaker for clip in labelled):
        # Whether persons can be told apart never decides whether there can be a run.
        with contextlib.suppress(SplitError):
            if found := find_speakers(cache, labelled):
                groups, persons = {clip.id: clip.speaker or "" for clip in found[0]}, found[1]
    in_folds = {clip.id for part in parts for clip in (*part.train, *part.test)}
    plan = FoldPlan(
        kind=kind,
        spec=spec,
        folds=tuple(parts),
        classes=(),
        unlabelled=unlabelled,
        unused=tuple(clip.id for clip in labelled if clip.id not in in_folds),
        shared_speakers=shared,
        speaker_independent=BY_FACES if independent and proposed else independent,
        warnings=(),
        by_faces=by_faces,
        persons=persons,
        groups=groups,
    )
    return _check_classes(_find_copies(plan, {}, allow=allow_copies))


def restrict_folds(
    plan: FoldPlan,
    keep: Callable[[Clip], bool],
    *,
    contents: Mapping[str, str] | None = None,
    allow_copies: bool = False,
) -> FoldPlan:
    """Leave clips out of the folds, such as those without features, and check them again.

    Args:
        plan: the folds of the whole manifest.
        keep: whether a clip stays.
        contents: clip id to the digest of its file, where it is known; None: nobody looked.
        allow_copies: see ``plan_folds``; by content too.

    Returns:
        The same folds with fewer clips; a fold may be left without test clips. Classes are
        those of ``plan``, so that runs on other features stay comparable; one that no clip is
        left of is warned about.

    Raises:
        SplitError: a fold has no training clip left, or training clips of one class only; with
            splits, a test clip whose label no training clip has, or no test clip at all; copies of
            training clips among the test clips.
    """
    folds = tuple(
        replace(
            fold,
            train=tuple(filter(keep, fold.train)),
            test=tuple(filter(keep, fold.test)),
        )
        for fold in plan.folds
    )
    if not any(fold.test for fold in folds):
        raise SplitError(
            f"none of the {sum(len(fold.test) for fold in plan.folds)} clips to report on has "
            "features; extract them first"
        )
    for old, new in zip(plan.folds, folds, strict=True):
        if not new.train:
            raise SplitError(
                f"{new.name}: none of its {len(old.train)} training clips has features; "
                "extract them first"
            )
    plan = _find_copies(replace(plan, folds=folds), contents or {}, allow=allow_copies)
    if contents is not None:
        used = {clip.id for fold in folds for clip in (*fold.train, *fold.test)}
        plan = replace(plan, without_content=len(used - contents.keys()))
    checked = _check_classes(plan)
    lost = [name for name in plan.classes if name not in checked.classes]
    warnings = checked.warnings
    if lost:
        warnings += (f"no clip with features has the class {', '.join(lost)}",)
    return replace(checked, classes=plan.classes, warnings=warnings)


def _split_fold(clips: Sequence[Clip], report_on: str | None, train_on: Sequence[str]) -> Fold:
    counts = Counter(clip.split for clip in clips)
    if report_on is None:
        report_on = "test" if counts["test"] else "val"
    for split in (report_on, *train_on):
        if split not in SPLITS:
            raise SplitError(f"a split is one of {', '.join(SPLITS)}, got {split!r}")
    if report_on in train_on:
        raise SplitError(
            f"can't train on split {report_on} and report on it; "
            "choose another split, or folds such as --folds speaker:6"
        )
    for wanted in ((report_on,), train_on):
        if not any(counts[split] for split in wanted):
            found = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
            if all(clip.fold is not None for clip in clips):
                way = "use its folds: --folds manifest"
            else:
                way = "use folds such as --folds speaker:6, or clip:5 where speakers aren't known"
            raise SplitError(
                f"no labelled clip of the manifest is in split {' or '.join(wanted)} "
                f"(found: {found or 'no split at all'}); fill in its column split, or {way}"
            )
    return Fold(
        number=None,
        split=report_on,
        train=tuple(clip for clip in clips if clip.split in train_on),
        test=tuple(clip for clip in clips if clip.split == report_on),
    )


def _cross_folds(groups: dict[int, list[Clip]]) -> list[Fold]:
    return [
        Fold(
            number=number,
            split=None,
            train=tuple(
                clip for other, clips in groups.items() if other != number for clip in clips
            ),
            test=tuple(test),
        )
        for number, test in groups.items()
    ]


def _check_speakers(
    folds: Sequence[Fold], kind: str, *, allow: bool
) -> tuple[tuple[str, ...], bool | None]:
    """Find the speakers in both parts of a fold, and whether the folds are speaker-independent."""
    shared: set[str] = set()
    unknown = False
    for fold in folds:
        train = {clip.speaker for clip in fold.train}
        test = {clip.speaker for clip in fold.test}
        unknown = unknown or bool({None, ""} & (train | test))
        both = sorted((name for name in train & test if name), key=natural_key)
        if both and kind != "clip" and not allow:
            raise SplitError(
                f"{fold.name}: {len(both)} speakers are in both training and test clips: "
                f"{name_some(both)}; divide them by speaker (--folds speaker:K), "
                "or accept inflated figures with --allow-shared-speakers"
            )
        shared.update(both)
    independent = False if shared else None if unknown else True
    if kind == "clip" and unknown:
        independent = False
    return tuple(sorted(shared, key=natural_key)), independent


def _without_proposals(clips: Sequence[Clip]) -> list[Clip]:
    """Return clips that folds by speaker may go by, where there is no table of persons.

    Raises:
        SplitError: a speaker is only a proposal: the table says who else is seen, and who may be
            the same.
    """
    proposed = [clip.id for clip in clips if clip.speaker_confidence is not None]
    if proposed:
        raise SplitError(
            f"the speakers of {len(proposed)} of {len(clips)} labelled clips are proposals by "
            f"faces, and the cache has no table of persons: {name_some(proposed)}; run 'avfuse "
            "persons' for this cache, or empty the column speaker_confidence where they are right"
        )
    return list(clips)


def _check_classes(plan: FoldPlan) -> FoldPlan:
    """Fill in the classes, each fold's absent ones and the warnings."""
    folds = []
    for fold in plan.folds:
        trained = sorted({clip.label or "" for clip in fold.train})
        tested = {clip.label or "" for clip in fold.test}
        absent = tuple(sorted(tested - set(trained)))
        if len(trained) < 2:
            raise SplitError(
                f"{fold.name}: only one label in its "
                f"{number_of(len(fold.train), 'training clip')}, {trained[0]!r}; a head needs at "
                "least two classes"
            )
        if absent and plan.kind == "split":
            clips = [clip.id for clip in fold.test if clip.label in absent]
            raise SplitError(
                f"{fold.name}: no training clip has the label {', '.join(map(repr, absent))} "
                f"of {number_of(len(clips), 'test clip')}: {name_some(clips)}; "
                "correct their labels or leave them out of the manifest"
            )
        folds.append(replace(fold, absent=absent))
    classes = {clip.label or "" for fold in folds for clip in (*fold.train, *fold.test)}
    checked = replace(plan, folds=tuple(folds), classes=tuple(sorted(classes)))
    return replace(checked, warnings=tuple(_warnings(checked)))


def _warnings(plan: FoldPlan) -> Iterator[str]:
    if plan.by_faces:
        yield plan.by_faces.describe()
    elif plan.speaker_independent == BY_FACES:
        yield (
            "speakers are proposals by faces (column speaker_confidence): others who are seen in "
            "a clip, or a person who was taken for two, may be in training and test"
        )
    if plan.persons:
        yield plan.persons.describe_intervals()
    if plan.shared_speakers:
        yield (
            f"not speaker-independent: {len(plan.shared_speakers)} speakers are in both training "
            f"and test clips ({name_some(plan.shared_speakers)}); accuracy on new speakers is lower"
        )
    elif plan.speaker_independent is False:
        yield "not speaker-independent: folds are by clip, and not every clip names its speaker"
    elif plan.speaker_independent is None:
        yield (
            "speaker independence is not known: not every clip of the manifest names its speaker"
        )
    for fold in plan.folds:
        if fold.absent:
            wrong = sum(clip.label in fold.absent for clip in fold.test)
            yield (
                f"{fold.name}: no training clip has the class {', '.join(fold.absent)}; "
                f"its {number_of(wrong, 'test clip')} can't be right"
            )
    tested = {clip.label for fold in plan.folds for clip in fold.test}
    if len(tested) == 1:
        yield f"every test clip has the label {tested.pop()!r}: UAR is the recall of one class"
    if plan.copies:
        yield (
            f"leak: {number_of(len(plan.copies), 'test clip')} with the content of a training "
            f"clip: {describe_copies(plan.copies)}"
        )
    if plan.without_content:
        yield (
            f"whether {number_of(plan.without_content, 'clip')} of the folds are copies of others "
            "is not known: their features don't say of which file they are"
        )
    if plan.unlabelled:
        yield f"left out: {number_of(len(plan.unlabelled), 'clip')} without a label"


def _find_copies(plan: FoldPlan, contents: Mapping[str, str], *, allow: bool) -> FoldPlan:
    """Fill in the copies, and refuse them unless they are allowed."""
    copies = find_copies([(fold.train, fold.test) for fold in plan.folds], contents)
    if copies and not allow:
        raise SplitError(
            f"{number_of(len(copies), 'test clip')} with the content of a training clip: "
            f"{describe_copies(copies)}; leave one of each out of the manifest ('avfuse doctor' "
            "lists all), or accept inflated figures with --allow-copies"
        )
    return replace(plan, copies=copies)


def find_leaks(sets: Sequence[Mapping[str, Any]], plan: FoldPlan) -> Iterator[str]:
    """Warn of folds whose test clips an encoder behind the features may have been trained on.

    Args:
        sets: every set behind the features, with its provenance; see ``trainer.data.corpus``.
        plan: the folds.
    """
    for item in sets:
        provenance = item["provenance"]
        if "trained_on" not in provenance:
            continue
        trained_on = provenance["trained_on"] or {}
        leaking = [
            fold.name
            for fold in plan.folds
            if digest_json([clip.id for clip in fold.test]) != trained_on.get("test_clips")
            and digest_json([clip.id for clip in fold.train]) != trained_on.get("train_clips")
        ]
        if leaking:
            tested = trained_on.get("fold", "clips that are not recorded")
            yield (
                f"the audio encoder behind {item['name']} was trained apart and tested on {tested};"
                f" it may have seen the test clips of {', '.join(leaking)}: their figures may leak"
            )
