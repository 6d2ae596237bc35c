from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from cache.manifest.clip_id import escape_clip_id
from cache.manifest.manifest import read_manifest
from pipeline.index.files import Found, IndexingError
from pipeline.index.finish import finish_index


def found_with(folder: Path, *clips: Clip) -> Found:
    found = Found(folder, "clips as the test makes them", list(clips))
    for clip in clips:
        if clip.path.name.isprintable():
            clip.path.write_bytes(b"media")
    return found


def labelled(folder: Path, *labels: str | None) -> list[Clip]:
    return [Clip(f"c{i}", folder / f"{i}.mp4", label) for i, label in enumerate(labels)]


def test_a_summary_counts_what_was_written_and_left_out(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", "sad", "val", "s1", 0),
        Clip("b", tmp_path / "b.mp4", "sad", "train", "s2", 2),
        Clip("c", tmp_path / "c.mp4", "angry", "train", "s2", 2),
    ]
    found = found_with(tmp_path, *clips)
    for number in range(5):
        found.leave_out(tmp_path / f"x\x1b{number}.txt", "not a media file (.txt)")
    found.notes.append("a note")
    summary = finish_index(found, tmp_path / "out/m.csv")
    assert summary.lines() == [
        f"{tmp_path}/out/m.csv: 3 clips",
        "  labels: angry 1, sad 2",
        "  splits: train 2, val 1",
        "  folds: 0 1, 2 2",
        "  speakers: 2",
        "  a note",
        "left out: 5",
        r"  5 not a media file (.txt): x\x1b0.txt, x\x1b1.txt, x\x1b2.txt and 2 more",
    ]
    assert summary.to_json()["labels"] == {"angry": 1, "sad": 2}
    assert list(read_manifest(tmp_path / "out/m.csv").clips) == clips


def test_many_labels_are_cut_short(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, *(f"l{i:02d}" for i in range(33))))
    line = finish_index(found, tmp_path / "m.csv").lines()[1]
    assert line.endswith("l29 1 and 3 more")


def test_classes_get_the_names_that_they_have_everywhere(tmp_path: Path) -> None:
    clips = labelled(tmp_path, "happiness", "surprised", "calm", "anger_disgust", None)
    votes = (("joy", 3.0), ("happy", 2.0), ("sadness", 1.0))
    found = found_with(tmp_path, *clips[:-1], replace(clips[-1], votes=votes))
    summary = finish_index(found, tmp_path / "m.csv")
    assert (
        "  classes have the names that they have everywhere: anger_disgust as angry_disgust, "
        "happiness as happy, joy as happy, sadness as sad, surprised as surprise"
    ) in summary.lines()
    written = read_manifest(tmp_path / "m.csv").clips
    assert [clip.label for clip in written] == ["happy", "surprise", "calm", "angry_disgust", None]
    assert written[-1].votes == (("happy", 5.0), ("sad", 1.0))


@pytest.mark.parametrize("old", ["anger", "angry"])
def test_a_label_is_mapped_by_the_corpuss_name_or_by_ours(tmp_path: Path, old: str) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "anger", "sadness"))
    finish_index(found, tmp_path / "m.csv", labels={old: "upset"})
    written = read_manifest(tmp_path / "m.csv").clips
    assert [clip.label for clip in written] == ["upset", "sad"]


def test_labels_that_the_user_wrote_stay_as_they_are(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "anger"))
    found.own_labels = True
    finish_index(found, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv").clips[0].label == "anger"


def test_labels_are_mapped_once(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "worried", "fear", None))
    labels = {"worried": "fear", "fear": "afraid"}
    finish_index(found, tmp_path / "m.csv", labels=labels)
    read = read_manifest(tmp_path / "m.csv").clips
    assert [clip.label for clip in read] == ["fear", "afraid", None]


def test_a_label_to_map_that_no_clip_has_is_refused(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "worried", "sad"))
    with pytest.raises(
        IndexingError,
        match=r"label 'worrid', .* \(did you mean 'worried'\?\); labels: sad, worried",
    ):
        finish_index(found, tmp_path / "m.csv", labels={"worrid": "fear"})


def test_labels_that_differ_in_case_are_refused_until_mapped(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "happy", "Happy", "happy"))
    with pytest.raises(
        IndexingError, match=r"'Happy' \(1 clips\) and 'happy' \(2\) .* --map Happy=happy"
    ):
        finish_index(found, tmp_path / "m.csv")
    summary = finish_index(found, tmp_path / "m.csv", labels={"Happy": "happy"})
    assert summary.labels == {"happy": 3}


def test_spellings_of_a_speaker_become_one_and_are_named(tmp_path: Path) -> None:
    speakers = ["Mona", "mona", "mona", "Ross"]
    clips = [Clip(f"c{i}", tmp_path / str(i), "sad", None, s) for i, s in enumerate(speakers)]
    summary = finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv")
    assert "speaker 'mona' is also written 'Mona'; taken as one" in summary.warnings
    assert read_manifest(tmp_path / "m.csv").speakers == ("Ross", "mona")


def test_what_a_manifest_cannot_hold_is_left_out_with_its_reason(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", "sad"),
        Clip("a", tmp_path / "a2.mp4", "sad"),
        Clip("b", tmp_path / "b\n.mp4", "sad"),
        Clip("c", tmp_path / "c\udcff.mp4", "sad"),
        Clip("d", tmp_path / "d.mp4", " sad"),
        Clip("e", tmp_path / "e.mp4", "sad", speaker="s" * 201),
    ]
    found = found_with(tmp_path, *clips)
    summary = finish_index(found, tmp_path / "m.csv")
    assert summary.num_clips == 1
    cannot = "is too long, or has a control character or blanks around it"
    assert summary.left_out == {
        "has the id of another clip": ["a2.mp4"],
        f"its path {cannot}": ["b\n.mp4"],
        "its path is not UTF-8, which a manifest must be": ["c\udcff.mp4"],
        f"its label {cannot}": ["d.mp4"],
        f"its speaker {cannot}": ["e.mp4"],
    }
    text = "\n".join(summary.lines())
    assert r"c\udcff.mp4" in text
    assert text.isascii()


def test_an_odd_name_is_escaped(tmp_path: Path) -> None:
    clips = [Clip("my clip", tmp_path / "a.mp4", "sad"), Clip("a--b", tmp_path / "b.mp4", "sad")]
    finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv")
    assert list(read_manifest(tmp_path / "m.csv").by_id) == ["my.-20-clip", "a--b"]


def test_long_ids_and_ids_that_differ_in_case_end_in_a_digest(tmp_path: Path) -> None:
    ids = ["a", "A", "x" * 197 + "é", "x" * 300]
    clips = [Clip(text, tmp_path / f"{i}.mp4", "sad") for i, text in enumerate(ids)]
    summary = finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv")
    assert summary.left_out == {}
    assert list(read_manifest(tmp_path / "m.csv").by_id) == [
        "a",
        "A.-z559aead08264d5795d3909718cdd05ab",  # the start of sha256sum's of "A"
        escape_clip_id(ids[2]),
        escape_clip_id(ids[3]),
    ]


def test_nothing_found_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    found = Found(tmp_path, "clips as the test makes them")
    with pytest.raises(IndexingError, match="looked for: clips as the test") as caught:
        finish_index(found, tmp_path / "m.csv")
    assert "found: nothing of use; is this the right folder?" in str(caught.value)
    found.leave_out(tmp_path / "x.txt", "not a media file (.txt)")
    with pytest.raises(IndexingError, match=r"1 not a media file \(\.txt\): x\.txt"):
        finish_index(found, tmp_path / "m.csv", labels={"worried": "fear"})
    assert not (tmp_path / "m.csv").exists()


def test_files_that_are_no_media_yet_stay_and_are_warned_of(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "sad", "happy", "sad"))
    (tmp_path / "0.mp4").write_bytes(b"")
    (tmp_path / "1.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    summary = finish_index(found, tmp_path / "m.csv")
    assert summary.num_clips == 3
    assert summary.warnings == [
        "1 file without content (0 bytes): 0.mp4",
        "1 file of Git LFS in place of media; run `git lfs pull` in the corpus: 1.mp4",
    ]


def test_missing_labels_and_one_label_only_are_warned_of(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "sad", None, "sad"))
    assert finish_index(found, tmp_path / "m.csv").warnings == [
        "1 of 3 clips without a label",
        "all labelled clips have one label; a head needs at least two",
    ]


def test_a_speaker_or_a_file_in_two_splits_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    clips = [
        Clip("a", file, "sad", "train", "s1"),
        Clip("b", file, "happy", "test", "s1"),
        Clip("c", tmp_path / "c.mp4", "sad", "val", "s2", None, 0.0, 1.0),
        Clip("d", tmp_path / "c.mp4", "sad", "train", "s3", None, 1.0, 2.0),
    ]
    assert finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv").warnings == [
        "1 speaker in more than one split (a leak): s1",
        f"1 file in more than one split (a leak): {file}",
    ]


def test_an_existing_manifest_is_replaced_only_when_asked(tmp_path: Path) -> None:
    found = found_with(tmp_path, *labelled(tmp_path, "sad", "happy"))
    (tmp_path / "m.csv").write_text("old")
    with pytest.raises(FileExistsError, match=r"m\.csv exists"):
        finish_index(found, tmp_path / "m.csv")
    assert finish_index(found, tmp_path / "m.csv", overwrite=True).num_clips == 2


def test_votes_are_mapped_as_labels_are_and_added_where_classes_become_one(tmp_path: Path) -> None:
    votes = (("excited", 2.0), ("happy", 1.0), ("sad", 1.0))
    clips = [
        Clip("a", tmp_path / "a.mp4", "excited", votes=votes),
        Clip("b", tmp_path / "b.mp4", "sad"),
    ]
    finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv", labels={"excited": "happy"})
    assert read_manifest(tmp_path / "m.csv").clips == (
        Clip("a", tmp_path / "a.mp4", "happy", votes=(("happy", 3.0), ("sad", 1.0))),
        Clip("b", tmp_path / "b.mp4", "sad"),
    )


def test_a_class_that_only_votes_name_can_be_mapped(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", "happy", votes=(("happy", 2.0), ("disgust", 1.0))),
        Clip("b", tmp_path / "b.mp4", "sad"),
    ]
    finish_index(found_with(tmp_path, *clips), tmp_path / "m.csv", labels={"disgust": "sad"})
    assert read_manifest(tmp_path / "m.csv").clips[0].votes == (("happy", 2.0), ("sad", 1.0))
