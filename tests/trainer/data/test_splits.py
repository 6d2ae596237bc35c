"""Divisions of a manifest: the manifest's own splits, the guards, and what a reader is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError
from trainer.data.splits import FoldPlan, plan_folds, restrict_folds


def clip(
    name: str, label: str | None, split: str | None = None, speaker: str | None = None
) -> Clip:
    return Clip(name, Path(f"/corpus/{name}.mp4"), label, split, speaker)


def ids(clips: tuple[Clip, ...]) -> list[str]:
    return [one.id for one in clips]


SPLIT_CLIPS = (
    clip("a", "happy", "train", "s1"),
    clip("b", "sad", "train", "s2"),
    clip("c", "sad", "val", "s3"),
    clip("d", "happy", "test", "s4"),
    clip("e", None, "test", "s5"),
)


def test_a_head_trains_on_train_and_is_reported_on_test_where_it_has_labels() -> None:
    plan = plan_folds(SPLIT_CLIPS)
    (fold,) = plan.folds
    assert (ids(fold.train), ids(fold.test)) == (["a", "b"], ["d"])
    assert (fold.name, fold.split, fold.number) == ("split test", "test", None)
    assert (plan.kind, plan.spec, plan.classes) == ("split", "train -> test", ("happy", "sad"))
    assert (plan.unlabelled, plan.unused) == (("e",), ("c",))
    assert plan.speaker_independent is True
    assert any("left out: 1 clip without a label" in text for text in plan.warnings)


def test_without_labelled_test_clips_the_validation_split_is_reported_on() -> None:
    plan = plan_folds([one for one in SPLIT_CLIPS if one.id != "d"])
    assert ids(plan.folds[0].test) == ["c"]


def test_the_split_reported_on_and_the_splits_trained_on_can_be_chosen() -> None:
    assert ids(plan_folds(SPLIT_CLIPS, report_on="val").folds[0].test) == ["c"]
    joined = plan_folds(SPLIT_CLIPS, train_on=("train", "val"))
    assert ids(joined.folds[0].train) == ["a", "b", "c"]
    assert joined.spec == "train+val -> test"


def test_the_order_of_the_manifest_changes_nothing() -> None:
    clips = [clip(f"c{i}", "ab"[i % 2], None, f"s{i % 5}") for i in range(23)]
    for folds in ("clip:3", "speaker:2"):
        assert plan_folds(clips, folds=folds) == plan_folds(clips[::-1], folds=folds)


def test_a_manifest_without_any_label_is_refused() -> None:
    with pytest.raises(SplitError, match="none of the manifest's 2 clips has a label"):
        plan_folds([clip("a", None), clip("b", None)])


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(SplitError, match="one of train, val, test, got 'dev'"):
        plan_folds(SPLIT_CLIPS, report_on="dev")


def test_a_split_can_not_be_trained_on_and_reported_on() -> None:
    with pytest.raises(SplitError, match="can't train on split val and report on it"):
        plan_folds(SPLIT_CLIPS, report_on="val", train_on=("train", "val"))


def test_a_split_without_a_clip_is_refused_with_what_was_found() -> None:
    with pytest.raises(SplitError, match=r"is in split val \(found: train 2\)"):
        plan_folds(SPLIT_CLIPS[:2])
    with pytest.raises(SplitError, match=r"found: no split at all.* such as --folds speaker:6"):
        plan_folds([clip("a", "happy"), clip("b", "sad")])
    numbered = [replace(clip(name, "happy"), fold=number) for number, name in enumerate("ab")]
    with pytest.raises(SplitError, match=r"or use its folds: --folds manifest$"):
        plan_folds(numbered)
    with pytest.raises(SplitError, match=r"is in split train \(found: val 1, test 1\)"):
        plan_folds(SPLIT_CLIPS[2:])


def test_training_clips_of_one_class_are_refused() -> None:
    clips = [clip("a", "happy", "train"), clip("b", "happy", "train"), clip("c", "sad", "test")]
    with pytest.raises(SplitError, match="only one label in its 2 training clips, 'happy'"):
        plan_folds(clips)


def test_a_label_that_no_training_clip_has_is_refused_naming_the_clips() -> None:
    clips = [*SPLIT_CLIPS, clip("f", "worried", "test"), clip("g", "worried", "test")]
    with pytest.raises(SplitError, match="has the label 'worried' of 2 test clips: f, g;"):
        plan_folds(clips)


def test_a_test_split_of_one_class_is_said() -> None:
    plan = plan_folds(SPLIT_CLIPS)
    assert any("every test clip has the label 'happy'" in text for text in plan.warnings)


def test_a_speaker_in_training_and_test_clips_is_refused_by_name() -> None:
    clips = [*SPLIT_CLIPS, clip("f", "sad", "test", "s10"), clip("g", "sad", "train", "s10")]
    clips += [clip("h", "sad", "test", "s2")]
    with pytest.raises(SplitError, match="2 speakers are in both training and test clips: s2, s10"):
        plan_folds(clips)
    plan = plan_folds(clips, allow_shared_speakers=True)
    assert plan.shared_speakers == ("s2", "s10")
    assert plan.speaker_independent is False
    assert "not speaker-independent: 2 speakers are in both" in plan.warnings[0]


def test_the_guard_of_speakers_holds_for_splits_and_for_folds_of_the_manifest() -> None:
    """Only folds by clip, which say so, may share speakers unasked."""
    clips = [
        Clip(
            f"c{i}", Path(f"/c{i}.mp4"), "ab"[i % 2], ("train", "test")[i // 4], f"s{i % 4}", i // 4
        )
        for i in range(8)
    ]
    for folds in (None, "manifest"):
        with pytest.raises(SplitError, match="4 speakers are in both training and test clips"):
            plan_folds(clips, folds=folds)
        plan = plan_folds(clips, folds=folds, allow_shared_speakers=True)
        assert plan.shared_speakers == ("s0", "s1", "s2", "s3")
        assert plan.speaker_independent is False
    assert plan_folds(clips, folds="clip:2").speaker_independent is False


def test_unknown_speakers_leave_independence_unknown() -> None:
    clips = [*SPLIT_CLIPS[:3], clip("d", "happy", "test", None)]
    plan = plan_folds(clips)
    assert plan.speaker_independent is None
    assert any("speaker independence is not known" in text for text in plan.warnings)


def test_folds_by_clip_say_that_they_are_not_speaker_independent() -> None:
    shared = [clip(f"c{i}", "ab"[i % 2], None, "s1") for i in range(7)]
    unknown = [clip(f"c{i}", "ab"[i % 2]) for i in range(7)]
    for clips in (shared, unknown):
        plan = plan_folds(clips, folds="clip:3")
        assert plan.speaker_independent is False
        assert plan.warnings[0].startswith("not speaker-independent")


def test_a_class_absent_from_a_folds_training_clips_is_a_warning() -> None:
    clips = [clip(f"c{i}", "ab"[i % 2]) for i in range(6)] + [clip("odd", "worried")]
    plan = plan_folds(clips, folds="clip:3")
    fold = next(fold for fold in plan.folds if "odd" in ids(fold.test))
    assert fold.absent == ("worried",)
    assert plan.classes == ("a", "b", "worried")
    wanted = f"{fold.name}: no training clip has the class worried; its 1 test clip can't be right"
    assert wanted in plan.warnings


def test_one_file_under_two_ids_in_training_and_test_is_refused_unless_it_is_allowed() -> None:
    clips = [*SPLIT_CLIPS, Clip("f", Path("/corpus/a.mp4"), "sad", "test", "s9")]
    wanted = r"1 test clip with the content of a training clip: f \(of a\)"
    with pytest.raises(SplitError, match=wanted):
        plan_folds(clips)
    plan = plan_folds(clips, allow_copies=True)
    assert plan.copies == {"f": "a"}
    assert "leak: 1 test clip with the content of a training clip: f (of a)" in plan.warnings


def test_copies_are_found_by_content_among_the_training_clips_and_nowhere_else() -> None:
    clips = [*SPLIT_CLIPS, clip("f", "sad", "test", "s6")]
    plan = plan_folds(clips)
    assert plan.without_content is None  # nobody looked

    def restrict(contents: dict[str, str], *, allow: bool = False) -> FoldPlan:
        return restrict_folds(plan, lambda _: True, contents=contents, allow_copies=allow)

    alone = {"a": "1", "b": "2", "d": "4", "f": "6"}
    assert restrict(alone).copies == {}
    assert restrict({**alone, "f": "4"}).copies == {}  # of another test clip
    assert restrict({**alone, "c": "4"}).copies == {}  # of a clip that no fold uses
    with pytest.raises(SplitError, match=r"2 test clips .* d \(of b\), f \(of a\); leave one"):
        restrict({**alone, "d": "2", "f": "1"})
    allowed = restrict({**alone, "d": "2", "f": "1"}, allow=True)
    assert allowed.copies == {"d": "b", "f": "a"}
    assert any(text.startswith("leak: 2 test clips") for text in allowed.warnings)
    unknown = restrict({"a": "1", "b": "2", "c": "3"})
    assert unknown.without_content == 2
    assert any("whether 2 clips of the folds are copies" in text for text in unknown.warnings)


def test_parts_of_one_film_are_copies_only_where_they_overlap() -> None:
    def part(name: str, start: float | None, end: float | None, split: str) -> Clip:
        label = "happy" if name < "c" else "sad"
        return Clip(name, Path("/film.mp4"), label, split, start_seconds=start, end_seconds=end)

    train = [part("a", 2.0, 3.0, "train"), part("c", 5.0, 7.0, "train")]
    for start, end in ((3.0, 5.0), (0.0, 2.0), (7.0, None)):
        assert plan_folds([*train, part("d", start, end, "test")]).copies == {}
    for start, end, copied in ((2.9, 5.0, "a"), (None, 2.1, "a"), (6.9, None, "c")):
        plan = plan_folds([*train, part("d", start, end, "test")], allow_copies=True)
        assert plan.copies == {"d": copied}
    # A long training clip reaches over later ones.
    long = [part("b", 1.0, None, "train"), *train, part("d", 8.0, 9.0, "test")]
    assert plan_folds(long, allow_copies=True).copies == {"d": "b"}


def test_every_clip_is_tested_once_and_never_trained_on_in_its_fold() -> None:
    clips = [clip(f"c{i}", "abc"[i % 3], None, f"s{i % 7}") for i in range(29)]
    for folds in ("clip:5", "speaker:3", "speaker:all"):
        plan = plan_folds(clips, folds=folds)
        assert sorted(i for f in plan.folds for i in ids(f.test)) == sorted(ids(tuple(clips)))
        for fold in plan.folds:
            assert not set(ids(fold.train)) & set(ids(fold.test))
            assert len(fold.train) + len(fold.test) == 29


def test_clips_without_features_leave_the_folds_and_the_classes_stay() -> None:
    clips = [*SPLIT_CLIPS, clip("f", "sad", "test", "s6")]
    plan = restrict_folds(plan_folds(clips), lambda one: one.id != "f")
    assert ids(plan.folds[0].test) == ["d"]
    assert plan.classes == ("happy", "sad")


def test_a_class_that_lost_its_last_clip_stays_and_is_said() -> None:
    clips = [clip(f"c{i}", "ab"[i % 2]) for i in range(6)] + [clip("odd", "worried")]
    plan = restrict_folds(plan_folds(clips, folds="clip:3"), lambda one: one.id != "odd")
    assert plan.classes == ("a", "b", "worried")
    assert plan.warnings[-1] == "no clip with features has the class worried"
    assert not any(fold.absent for fold in plan.folds)


def test_a_fold_without_training_clips_with_features_is_refused() -> None:
    plan = plan_folds(SPLIT_CLIPS)
    with pytest.raises(SplitError, match="none of its 2 training clips has features"):
        restrict_folds(plan, lambda one: one.split == "test")
    with pytest.raises(SplitError, match="none of the 1 clips to report on has features"):
        restrict_folds(plan, lambda one: one.split == "train")
    with pytest.raises(SplitError, match="only one label in its 1 training clip, 'sad'"):
        restrict_folds(plan, lambda one: one.id != "a")


def test_a_label_whose_training_clips_all_lack_features_is_refused() -> None:
    clips = [*SPLIT_CLIPS, clip("f", "fear", "train", "s6"), clip("g", "fear", "test", "s7")]
    with pytest.raises(SplitError, match="has the label 'fear' of 1 test clip: g;"):
        restrict_folds(plan_folds(clips), lambda one: one.id != "f")
