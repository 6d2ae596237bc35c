"""A division of the clips into folds, and the checks that keep its figures honest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError, natural_key
from trainer.wording import name_some


@dataclass(frozen=True)
class Fold:
    """One division of the clips: a head trains on some and is reported on others.

    Args:
        number: number of the cross-validation fold; None for the splits of the manifest.
        split: the split reported on; None for cross-validation.
        train: clips to train on.
        test: clips to report on; none of them is in ``train``.
        absent: classes that test clips have and no training clip has.
    """

    number: int | None
    split: str | None
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    absent: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How messages and tables call this fold."""
        return f"split {self.split}" if self.number is None else f"fold {self.number}"


@dataclass(frozen=True)
class Plan:
    """Every fold of a run, and what a reader must know about them.

    Args:
        kind: ``split``, ``speaker``, ``clip`` or ``manifest``.
        spec: the division in words that make it again, such as ``speaker:6``.
        folds: the folds; the splits of a manifest are one fold.
        classes: every label of the clips in the folds, sorted.
        unlabelled: ids of clips without a label, which are left out.
        unused: ids of labelled clips that no fold trains on or reports on.
        shared_speakers: speakers in both training and test clips of some fold.
        speaker_independent: True when no fold shares a speaker, False when one does or when
            folds are by clip without known speakers, None when it can't be told.
        warnings: sentences that belong beside every figure of the run.
    """

    kind: str
    spec: str
    folds: tuple[Fold, ...]
    classes: tuple[str, ...]
    unlabelled: tuple[str, ...]
    unused: tuple[str, ...]
    shared_speakers: tuple[str, ...]
    speaker_independent: bool | None
    warnings: tuple[str, ...]


def check_speakers(
    folds: Sequence[Fold], kind: str, *, allow: bool
) -> tuple[tuple[str, ...], bool | None]:
    """Speakers in both parts of a fold, and whether the plan is speaker-independent."""
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


def check_classes(plan: Plan) -> Plan:
    """Fill in the classes, each fold's absent ones and the warnings."""
    folds = []
    for fold in plan.folds:
        trained = sorted({clip.label or "" for clip in fold.train})
        tested = {clip.label or "" for clip in fold.test}
        absent = tuple(sorted(tested - set(trained)))
        if len(trained) < 2:
            raise SplitError(
                f"{fold.name}: its {len(fold.train)} training clips have only the label "
                f"{trained[0]!r}; a head needs at least two classes"
            )
        if absent and plan.kind == "split":
            clips = [clip.clip for clip in fold.test if clip.label in absent]
            raise SplitError(
                f"{fold.name}: no training clip has the label {', '.join(map(repr, absent))} "
                f"of {len(clips)} test clips: {name_some(clips)}; "
                "correct their labels or leave them out of the manifest"
            )
        folds.append(replace(fold, absent=absent))
    classes = {clip.label or "" for fold in folds for clip in (*fold.train, *fold.test)}
    checked = replace(plan, folds=tuple(folds), classes=tuple(sorted(classes)))
    return replace(checked, warnings=tuple(_warnings(checked)))


def _warnings(plan: Plan) -> Iterator[str]:
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
            count = sum(clip.label in fold.absent for clip in fold.test)
            yield (
                f"{fold.name}: no training clip has the class {', '.join(fold.absent)}; "
                f"its {count} test clips can't be right"
            )
    tested = {clip.label for fold in plan.folds for clip in fold.test}
    if len(tested) == 1:
        yield f"every test clip has the label {tested.pop()!r}: UAR is the recall of one class"
    doubled = sorted({name for fold in plan.folds for name in _doubled_files(fold)})
    if doubled:
        yield (
            f"{len(doubled)} test clips are the same file as a training clip: {name_some(doubled)}"
        )
    if plan.unlabelled:
        yield f"{len(plan.unlabelled)} clips without a label are left out"


def _doubled_files(fold: Fold) -> list[str]:
    trained = {(clip.path, clip.start_seconds, clip.end_seconds) for clip in fold.train}
    return [
        clip.clip
        for clip in fold.test
        if (clip.path, clip.start_seconds, clip.end_seconds) in trained
    ]
