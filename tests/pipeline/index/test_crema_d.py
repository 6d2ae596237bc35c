from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.crema_d import DEFECTS, index_crema_d
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch, write_texts

# As published: the row's number is 100000 times the way of rating and the clip's number.
VOTES = """"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"
"100009",5,5,0,0,1,1,"1001_IEO_ANG_MD",12,0.41,"A:D"
"200009",6,3,0,0,1,0,"1001_IEO_ANG_MD",10,0.6,"A"
"300009",0,7,0,0,2,1,"1001_IEO_ANG_MD",10,0.7,"D"
"300010",3,0,0,0,3,1,"1001_IEO_ANG_HI",7,0.43,"A:N"
"300011",0,0,9,0,0,0,"1001_IEO_FEA_LO",9,1,"F"
"300012",0,0,0,0,0,0,"1001_IEO_FEA_MD",0,0,""
"""
SUMMARY = """"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","x"
"9","1001_IEO_ANG_MD","A:D","37.2:58.6","A","45.5","D","44.2"
"10","1001_IEO_ANG_HI","D","67","A","65.56","A:N","63.25"
"""
TAKES = ("ANG_MD", "ANG_HI", "FEA_LO", "FEA_MD", "DIS_LO")


def acted(take: str, path: Path, label: str) -> Clip:
    clip = Clip(take, path, label, speaker=take[:4], label_target="acted")
    return replace(clip, sentence=take[5:8])


def published(root: Path, **tables: str) -> Path:
    touch(root, *(f"VideoFlash/1001_IEO_{take}.flv" for take in TAKES))
    write_texts(root, {f"processedResults/{name}.csv": text for name, text in tables.items()})
    return root


def test_one_file_a_take_is_indexed_video_first(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "VideoFlash/1001_DFA_ANG_XX.flv",
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioMP3/1001_DFA_ANG_XX.mp3",
        "AudioWAV/1091_WSI_SAD_HI.wav",
        "AudioMP3/1091_WSI_SAD_HI.mp3",
        "AudioWAV/1040_ITH_SAD_X.wav",
        "AudioWAV/1001_DFA_JOY_XX.wav",
    )
    found = index_crema_d(tmp_path)
    assert found.clips == [
        acted("1001_DFA_ANG_XX", tmp_path / "VideoFlash/1001_DFA_ANG_XX.flv", "angry"),
        acted("1040_ITH_SAD_X", tmp_path / "AudioWAV/1040_ITH_SAD_X.wav", "sad"),
        acted("1091_WSI_SAD_HI", tmp_path / "AudioWAV/1091_WSI_SAD_HI.wav", "sad"),
    ]
    assert found.left_out == {
        "not named as a CREMA-D take": ["AudioWAV/1001_DFA_JOY_XX.wav"],
        "another file of a clip that is in": [
            "AudioMP3/1001_DFA_ANG_XX.mp3",
            "AudioWAV/1001_DFA_ANG_XX.wav",
            "AudioMP3/1091_WSI_SAD_HI.mp3",
        ],
    }
    assert found.warnings == ["2 takes with sound only: 1040_ITH_SAD_X, 1091_WSI_SAD_HI"]


@pytest.mark.parametrize(
    ("code", "label"),
    [("ANG", "angry"), ("DIS", "disgust"), ("FEA", "fear"), ("HAP", "happy"), ("NEU", "neutral"),
     ("SAD", "sad")],
)  # fmt: skip
def test_each_code_is_an_emotion(tmp_path: Path, code: str, label: str) -> None:
    touch(tmp_path, f"1002_IEO_{code}_LO.flv")
    assert index_crema_d(tmp_path).clips[0].label == label


def test_sound_or_video_can_be_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "v/1001_DFA_ANG_XX.flv", "a/1001_DFA_ANG_XX.wav", "a/1002_DFA_ANG_XX.wav")
    audio, video = (index_crema_d(tmp_path, media=kind) for kind in ("audio", "video"))
    assert [clip.path.name for clip in audio.clips] == [
        "1001_DFA_ANG_XX.wav",
        "1002_DFA_ANG_XX.wav",
    ]
    assert audio.left_out == {"video; see --media": ["v/1001_DFA_ANG_XX.flv"]}
    assert [clip.path.name for clip in video.clips] == ["1001_DFA_ANG_XX.flv"]
    assert len(video.left_out["sound only; see --media"]) == 2


@pytest.mark.parametrize("take", DEFECTS)
def test_a_known_defect_is_left_out_unless_kept(tmp_path: Path, take: str) -> None:
    touch(tmp_path, f"{take}.flv", "1001_DFA_ANG_XX.flv")
    found = index_crema_d(tmp_path)
    assert [clip.id for clip in found.clips] == ["1001_DFA_ANG_XX"]
    reason = f"a known defect ({DEFECTS[take]}); --keep-defects keeps it"
    assert found.left_out == {reason: [f"{take}.flv"]}
    kept = index_crema_d(tmp_path, keep_defects=True)
    assert [clip.id for clip in kept.clips] == ["1001_DFA_ANG_XX", take]
    assert kept.warnings == [f"known defects kept: {take}"]


def test_the_two_defects_that_users_meet_are_among_the_known() -> None:
    assert {"1076_MTI_SAD_XX", "1064_IEO_DIS_MD"} <= DEFECTS.keys()


def test_takes_with_one_sound_and_two_labels_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "1006_TIE_HAP_XX.wav", "1006_TIE_NEU_XX.wav", "1013_WSI_DIS_XX.wav")
    assert index_crema_d(tmp_path).warnings == [
        "takes with different labels and the same sound: 1006_TIE_HAP_XX and 1006_TIE_NEU_XX"
    ]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_crema_d(tmp_path / "none")


def test_what_the_crowd_saw_and_heard_is_the_label_and_its_votes_are_kept(tmp_path: Path) -> None:
    root = published(tmp_path, tabulatedVotes=VOTES, summaryTable=SUMMARY)
    found = index_crema_d(root, label_target="crowd")
    assert [(clip.id, clip.label, clip.label_target, clip.votes) for clip in found.clips] == [
        ("1001_IEO_ANG_MD", "disgust", "crowd", (("disgust", 7), ("neutral", 2), ("sad", 1))),
        ("1001_IEO_FEA_LO", "fear", "crowd", (("fear", 9),)),
    ]
    assert found.left_out["most votes for several emotions (a tie)"] == [
        "VideoFlash/1001_IEO_ANG_HI.flv"
    ]
    assert found.left_out["no votes in tabulatedVotes.csv"] == [
        "VideoFlash/1001_IEO_DIS_LO.flv",
        "VideoFlash/1001_IEO_FEA_MD.flv",
    ]
    assert found.notes == [
        "labels are what the crowd chose (audio-visual); for 1 of 2 clips it is what was acted"
    ]
    assert [clip.label for clip in index_crema_d(root).clips] == [
        "angry",
        "angry",
        "disgust",
        "fear",
        "fear",
    ]


def test_raters_of_the_face_or_the_voice_alone_can_be_asked_for(tmp_path: Path) -> None:
    root = published(tmp_path, tabulatedVotes=VOTES)
    (face,) = index_crema_d(root, label_target="crowd", raters="face").clips
    assert (face.label, face.label_target) == ("angry", "crowd-face")
    assert face.votes == (("angry", 6.0), ("disgust", 3.0), ("neutral", 1.0))
    voice = index_crema_d(root, label_target="crowd", raters="voice")
    assert voice.clips == []
    assert len(voice.left_out["most votes for several emotions (a tie)"]) == 1


def test_raters_are_refused_where_the_labels_are_what_was_acted(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"raters voice .* add --label-target crowd"):
        index_crema_d(published(tmp_path, tabulatedVotes=VOTES), raters="voice")


def test_without_counts_the_summary_gives_labels_and_no_votes(tmp_path: Path) -> None:
    found = index_crema_d(published(tmp_path, summaryTable=SUMMARY), label_target="crowd")
    assert [(clip.id, clip.label, clip.votes) for clip in found.clips] == [
        ("1001_IEO_ANG_MD", "disgust", None)
    ]
    assert len(found.left_out["most votes for several emotions (a tie)"]) == 1
    assert found.warnings == [
        "no tabulatedVotes.csv: labels are of summaryTable.csv, and the clips have no votes"
    ]


def test_the_crowd_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"neither tabulatedVotes\.csv nor summaryTable\.csv"):
        index_crema_d(published(tmp_path), label_target="crowd")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"tabulatedVotes": VOTES.replace('"300009",0', '"300009",x')}, "line 4: expected numbers"),
        ({"tabulatedVotes": VOTES.replace('"A"', '"Anger"')}, "no column 'A'"),
        ({"tabulatedVotes": ""}, "no column"),
        ({"summaryTable": SUMMARY.replace('"D","44.2"', '"Q","44.2"')}, "line 2: expected letters"),
    ],
)
def test_a_table_not_as_published_is_refused(
    tmp_path: Path, tables: dict[str, str], message: str
) -> None:
    with pytest.raises(IndexingError, match=message):
        index_crema_d(published(tmp_path, **tables), label_target="crowd")


@pytest.mark.parametrize(("second", "num_warnings"), [("0,0,9", 0), ("9,0,0", 1)])
def test_takes_with_one_sound_that_the_crowd_hears_alike_are_no_contradiction(
    tmp_path: Path, second: str, num_warnings: int
) -> None:
    touch(tmp_path, "1006_TIE_HAP_XX.wav", "1006_TIE_NEU_XX.wav")
    rows = f'"300001",0,0,9,0,0,0,"1006_TIE_HAP_XX"\n"300002",{second},0,0,0,"1006_TIE_NEU_XX"\n'
    table = '"","A","D","F","H","N","S","fileName"\n' + rows
    write_texts(tmp_path, {"processedResults/tabulatedVotes.csv": table})
    found = index_crema_d(tmp_path, label_target="crowd")
    assert len(found.clips) == 2
    assert len(found.warnings) == num_warnings
