"""Which clips train a head and which it is reported on: splits, folds, and the speaker guard.

A plan is made from the manifest alone, before any feature is looked at, so that which clips stand
in a fold never depends on which extraction failed. ``restrict_plan`` then leaves out the clips
without features and checks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError, group_clips
from trainer.data.plan import Fold, Plan, check_classes, check_speakers

SPLITS = ("train", "val", "test")


def make_plan(
    clips: Sequence[Clip],
    *,
    folds: str | None = None,
    report_on: str | None = None,
    train_on: Sequence[str] = ("train",),
    seed: int = 0,
    allow_shared_speakers: bool = False,
) -> Plan:
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

    Returns:
        The plan, with at least one fold, each with training and test clips.

    Raises:
        SplitError: no clip has a label; ``folds`` or a split is not one of the above; a split
            has no clip; folds by speaker and a clip without one, or fewer speakers than folds;
            folds by the manifest and a clip without one, or only one; fewer clips than folds;
            a speaker in both training and test clips; training clips of one class only; with
            splits, a test clip whose label no training clip has.
    """
    labelled = sorted((clip for clip in clips if clip.label), key=lambda clip: clip.clip)
    unlabelled = tuple(sorted(clip.clip for clip in clips if not clip.label))
    if not labelled:
        raise SplitError(
            f"none of the manifest's {len(clips)} clips has a label; fill in its column label"
        )
    if folds is None:
        parts = [_split_fold(labelled, report_on, train_on)]
        kind, spec = "split", f"{'+'.join(train_on)} -> {parts[0].split}"
    else:
        kind, spec = folds.partition(":")[0], folds
        parts = _cross_folds(group_clips(labelled, folds, seed=seed))
    shared, independent = check_speakers(parts, kind, allow=allow_shared_speakers)
    in_folds = {clip.clip for part in parts for clip in (*part.train, *part.test)}
    plan = Plan(
        kind=kind,
        spec=spec,
        folds=tuple(parts),
        classes=(),
        unlabelled=unlabelled,
        unused=tuple(clip.clip for clip in labelled if clip.clip not in in_folds),
        shared_speakers=shared,
        speaker_independent=independent,
        warnings=(),
    )
    return check_classes(plan)


def restrict_plan(plan: Plan, keep: Callable[[Clip], bool]) -> Plan:
    """Leave out clips, such as those without features, and check the plan again.

    Args:
        plan: the plan of the whole manifest.
        keep: whether a clip stays.

    Returns:
        The same folds with fewer clips; a fold may be left without test clips. Classes are
        those of ``plan``, so that runs on other features stay comparable; one that no clip is
        left of is warned about.

    Raises:
        SplitError: a fold has no training clip left, or training clips of one class only; with
            splits, a test clip whose label no training clip has, or no test clip at all.
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
    checked = check_classes(replace(plan, folds=folds))
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
            raise SplitError(
                f"no labelled clip of the manifest is in split {' or '.join(wanted)} "
                f"(found: {found or 'no split at all'}); fill in its column split, "
                "or use folds such as --folds speaker:6"
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
