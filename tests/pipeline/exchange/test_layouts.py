"""Layouts of tools: small copies of what each writes, with the features worked out by hand."""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.sets.feature_set import FeatureSet
from pipeline.exchange.importing import ImportReport
from tests.pipeline.import_sources import csv, entry, npz, refused, run, times, values

OPENFACE = (
    "frame, face_id, timestamp, confidence, success, gaze_0_x, pose_Tx, x_0, AU01_r, AU01_c",
    "1, 0, 0.000, 0.98, 1, 0.1, 5.0, 311.2, 0.25, 1",
    "2, 0, 0.040, 0.02, 0, 0.0, 0.0, 0.0, 0.00, 0",
    "3, 0, 0.080, 0.95, 1, 0.3, 7.0, 312.4, 0.75, 0",
)
PYFEAT = (
    "FaceRectX,FaceScore,x_0,Pitch,AU01,AU43,happiness,neutral,gaze_pitch,input,frame,"
    "approx_time,Identity",
    "10,0.99,1,0.5,0.1,0.2,0.9,0.1,,clips/a.mp4,0,00:00,Person_0",
    "90,0.98,2,0.6,0.7,0.7,0.2,0.8,,clips/a.mp4,0,00:00,Person_1",
    ",,,,,,,,,clips/a.mp4,1,00:00,",
    "12,0.97,3,0.4,0.3,0.4,0.8,0.2,,clips/a.mp4,50,00:02,Person_0",
)
PYTHON = (  # opensmile-python; pandas writes "0 days" where it is whole, NaT where there is no end
    "file,start,end,F0_sma,Loudness",
    "/corpus/happy/a.wav,0 days 00:00:00.000000,0 days 00:00:00.020000,1.5,0.25",
    "/corpus/happy/a.wav,0 days 00:00:00.010000,0 days 00:00:00.030000,2.5,0.50",
    "/corpus/sad/a.wav,0 days,NaT,3.5,0.75",
)
ZEROS = [[0.0, 0.0]]


def like(tool: str, folder: Path, source: Path, clips: list[str], **how: Any) -> ImportReport:
    return run(folder, source, clips, like=tool, format="csv", **how)


def test_openface_without_success_is_left_out_and_counted_never_zero(tmp_path: Path) -> None:
    report = like("openface", tmp_path, csv(tmp_path, *OPENFACE), ["source"])
    assert report.names == ("gaze_0_x", "pose_Tx", "AU01_r", "AU01_c")
    assert times(report, "source") == [0.0, 0.08]
    assert np.allclose(values(report, "source"), [[0.1, 5, 0.25, 1], [0.3, 7, 0.75, 0]])
    found = entry(report, "source")
    assert found.state == "partial"
    assert found.missing == ("1 of 3 rows without a face that OpenFace was sure of",)


def test_the_face_with_most_rows_is_taken_of_several_and_said(tmp_path: Path) -> None:
    second = [line.replace(", 0, 0.0", ", 1, 0.0", 1) for line in OPENFACE[1:]]
    second[1] = "2, 1, 0.040, 0.90, 1, 0.7, 6.0, 400, 0.5, 1"  # success: the second face has three
    report = like("openface", tmp_path, csv(tmp_path, *OPENFACE, *second), ["source"])
    assert times(report, "source") == [0.0, 0.04, 0.08]
    assert np.allclose(values(report, "source")[1], [0.7, 6, 0.5, 1])
    note = "faces: of several the one with most rows was taken"
    assert entry(report, "source").attributes["notes"][0] == note
    assert report.notes[note] == 1
    by_hand = like(
        "openface", tmp_path, csv(tmp_path, *OPENFACE, *second), ["source"], where=("face_id=0",)
    )
    assert times(by_hand, "source") == [0.0, 0.08]


def test_a_condition_of_ones_own_replaces_that_of_the_layout(tmp_path: Path) -> None:
    source = csv(tmp_path, *OPENFACE)
    report = like("openface", tmp_path, source, ["source"], where=("success>=0",))
    assert report.steps == {"source": 3}
    assert entry(report, "source").state == "ok"


def test_openface_can_be_counted_by_frames_from_1(tmp_path: Path) -> None:
    report = like("openface", tmp_path, csv(tmp_path, *OPENFACE), ["source"], rate=50.0)
    assert times(report, "source") == [0.0, 0.04]


def test_a_clip_in_which_openface_found_no_face_is_partial_with_the_columns_of_others(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "processed"
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join(OPENFACE))
    (folder / "b.csv").write_text("\n".join([OPENFACE[0], OPENFACE[2]]))
    report = like("openface", tmp_path, folder, ["a", "b"])
    assert report.empty == ("b",)
    assert values(report, "b").shape == (0, 4)


def test_of_two_clips_the_one_with_fewer_features_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "processed"
    folder.mkdir()
    (folder / "a.csv").write_text("timestamp, gaze_0_x, AU01_r\n0, abc, 1\n")
    (folder / "b.csv").write_text("timestamp, gaze_0_x, AU01_r\n0, 1, 1\n")
    message = refused(tmp_path, folder, ["a", "b"], like="openface", format="csv")
    assert "clip a: 1 feature, expected 2, as most clips have; it lacks gaze_0_x" in message


@pytest.mark.parametrize("as_folder", [True, False])
def test_tables_of_clips_with_other_columns_are_refused_by_name(
    tmp_path: Path, as_folder: bool
) -> None:
    folder = tmp_path / "processed"
    folder.mkdir()
    for clip in "ab":
        (folder / f"{clip}.csv").write_text("\n".join(OPENFACE))
    (folder / "c.csv").write_text("timestamp, gaze_0_x, pose_Tx, AU01_r, AU02_c\n0, 1, 1, 1, 1\n")
    source = folder if as_folder else sorted(folder.iterdir())
    message = refused(tmp_path, source, ["a", "b", "c"], like="openface", format="csv")
    assert "clip c: 4 features, expected 4, as most clips have; it lacks AU01_c" in message
    assert "; it has AU02_c" in message


def test_pyfeat_is_counted_by_frames_and_keeps_one_person(tmp_path: Path) -> None:
    report = like("pyfeat", tmp_path, csv(tmp_path, *PYFEAT), ["clips--a.mp4"], rate=25.0)
    assert report.names == ("AU01", "AU43", "happiness", "neutral", "Pitch")
    assert report.skipped == ("gaze_pitch",)
    assert times(report, "clips--a.mp4") == [0.0, 2.0]
    expected = [[0.1, 0.2, 0.9, 0.1, 0.5], [0.3, 0.4, 0.8, 0.2, 0.4]]
    assert np.allclose(values(report, "clips--a.mp4"), expected)
    assert entry(report, "clips--a.mp4").missing == ("1 of 4 rows without a face",)


def test_a_clip_in_which_pyfeat_found_no_face_has_the_columns_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "fex"
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join(PYFEAT))
    (folder / "b.csv").write_text("\n".join([PYFEAT[0], PYFEAT[3]]))
    report = like("pyfeat", tmp_path, folder, ["a", "b"], rate=25.0)
    assert report.empty == ("b",)
    assert values(report, "b").shape == (0, 5)  # gaze_pitch holds numbers in no clip


def test_pyfeat_without_identities_keeps_the_surest_face_of_each_frame(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 1)[0] for line in PYFEAT]
    lines[1] = lines[1].replace("0.99", "0.90")
    report = like("pyfeat", tmp_path, csv(tmp_path, *lines), ["clips--a.mp4"], rate=25.0)
    assert np.allclose(values(report, "clips--a.mp4")[:, 0], [0.7, 0.3])
    assert "highest score" in next(iter(report.notes))


def test_pyfeats_whole_seconds_are_no_times(tmp_path: Path) -> None:
    message = refused(
        tmp_path, csv(tmp_path, *PYFEAT), ["clips--a.mp4"], like="pyfeat", format="csv"
    )
    assert "py-feat writes times in whole seconds only; give the video's frames a second" in message


def test_opensmile_pythons_index_of_files_and_timedeltas(tmp_path: Path) -> None:
    report = like("opensmile", tmp_path, csv(tmp_path, *PYTHON), ["happy--a.mp4", "sad--a.mp4"])
    assert report.names == ("F0_sma", "Loudness")
    assert report.by_path == 2
    assert times(report, "happy--a.mp4") == [0.0, 0.01]
    assert values(report, "happy--a.mp4").tolist() == [[1.5, 0.25], [2.5, 0.5]]
    assert values(report, "sad--a.mp4").tolist() == [[3.5, 0.75]]


def test_opensmiles_number_of_the_frame_is_no_feature(tmp_path: Path) -> None:
    source = csv(tmp_path, "frameIndex;frameTime;F0", "0;0.0;5", "1;0.1;7")
    assert like("opensmile", tmp_path, source, ["source"]).names == ("F0",)
    report = like("opensmile", tmp_path, source, ["source"], rate=50.0)
    assert times(report, "source") == [0.0, 0.02]


def test_last_steps_that_opensmile_gives_one_time_are_one(tmp_path: Path) -> None:
    # As in ComParE's low-level descriptors, whose deltas need steps behind the end.
    rows = [f"'unknown';{time};{i}" for i, time in enumerate((0, 0.01, 0.02, 0.02))]
    source = csv(tmp_path, "name;frameTime;F0", *rows)
    report = like("opensmile", tmp_path, source, ["source"])
    assert values(report, "source").tolist() == [[0], [1], [2]]
    assert next(iter(report.notes)).startswith("times: of last steps that openSMILE gives one time")


def test_a_row_a_clip_that_was_appended_twice_is_refused(tmp_path: Path) -> None:
    source = csv(tmp_path, "name;frameTime;F0_amean", "'a';0.0;1", "'b';0.0;2", "'a';0.0;3")
    message = refused(tmp_path, source, ["a", "b"], like="opensmile", format="csv")
    assert "clip a: 2 rows at the same time, 0 s first" in message


def mmsa(folder: Path, prefix: str = "", **more: Any) -> Path:
    """Two clips, of 2 and 1 steps, padded to 3: the first at its end, the second at its start."""
    vision = np.array([[[1, 2], [3, 4], *ZEROS], [*ZEROS, *ZEROS, [5, 6]]])
    arrays = {"id": np.array(["v1$_$0", "v2$_$0"]), "vision": vision, **more}
    return npz(folder, **{f"{prefix}{name}": array for name, array in arrays.items()})


@pytest.mark.parametrize("prefix", ["", "train/"])
@pytest.mark.parametrize("lengths", [{"vision_lengths": np.array([2, 1])}, {}])
def test_mmsas_padding_is_cut_at_the_end_where_it_is(
    tmp_path: Path, prefix: str, lengths: dict[str, np.ndarray]
) -> None:
    source = mmsa(tmp_path, prefix, **lengths)
    report = run(tmp_path, source, ["v1--0.mp4", "v2--0.mp4"], like="mmsa", rate=4.0)
    assert values(report, "v1--0.mp4").tolist() == [[1, 2], [3, 4]]
    assert values(report, "v2--0.mp4").tolist() == [[5, 6]]
    assert times(report, "v1--0.mp4") == [0.0, 0.25]
    assert [note.split(":")[0] for note in report.notes] == ([] if lengths else ["padding"])


def test_a_step_of_zeros_within_mmsas_length_stays(tmp_path: Path) -> None:
    source = mmsa(tmp_path, vision_lengths=np.array([3, 2]))
    report = run(tmp_path, source, ["v1--0.mp4", "v2--0.mp4"], like="mmsa", rate=4.0)
    assert values(report, "v1--0.mp4").tolist() == [[1, 2], [3, 4], [0, 0]]
    assert values(report, "v2--0.mp4").tolist() == [[0, 0], [5, 6]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vision_lengths": np.array([1, 1])}, "its length is 1, but no more than that isn't"),
        ({"vision_lengths": np.array([2, 4])}, "must be 2 whole numbers from 0 to 3"),
        ({"vision_lengths": np.array([2.0, 1.0])}, "must be 2 whole numbers from 0 to 3"),
        ({"audio": np.ones((2, 3, 5))}, "has vision, audio; choose one by --array"),
        ({"vision": np.ones((7, 3, 5))}, "id has 2 ids for 7 rows"),
        ({"id": np.array(["v1$_$0", "v1$_$0"])}, "id v1$_$0 occurs twice"),
    ],
)
def test_what_mmsa_cannot_mean_is_refused(
    tmp_path: Path, more: dict[str, np.ndarray], message: str
) -> None:
    assert message in refused(
        tmp_path, mmsa(tmp_path, "", **more), ["v1--0"], like="mmsa", rate=4.0
    )


def test_mmsas_pickle_is_never_opened_and_its_way_to_an_npz_is_given(tmp_path: Path) -> None:
    part = {
        "id": ["v1$_$0", "v2$_$0"],
        "vision": np.load(mmsa(tmp_path))["vision"],
        "vision_lengths": [2, 1],
        "raw_text": ["oh", "no"],
    }
    path = tmp_path / "mosi.pkl"
    path.write_bytes(pickle.dumps({"train": part}))
    renamed = tmp_path / "mosi.npz"
    renamed.write_bytes(path.read_bytes())
    assert "is a pickle, which can run any program" in refused(tmp_path, renamed, like="mmsa")
    message = refused(tmp_path, path, ["v1--0.mp4"], like="mmsa")
    program, *args = shlex.split(message.splitlines()[-1])
    assert program == "python"
    subprocess.run([sys.executable, *args], cwd=tmp_path, check=True, timeout=60)
    report = run(tmp_path, renamed, ["v1--0.mp4", "v2--0.mp4"], like="mmsa", rate=4.0)
    assert values(report, "v1--0.mp4").tolist() == [[1, 2], [3, 4]]


def test_the_set_says_which_tool_and_columns_it_was_made_from(tmp_path: Path) -> None:
    report = like("openface", tmp_path, csv(tmp_path, *OPENFACE), ["source"])
    found = FeatureSet.open(report.folder)
    assert found.provenance["like"] == "openface"
    assert found.provenance["columns"] == ["gaze_0_x", "pose_Tx", "AU01_r", "AU01_c"]
    assert found.spec.settings["like"] == "openface"
    plain = run(tmp_path, csv(tmp_path, "clip,x", "a,1"), ["a"], format="csv")
    assert "like" not in FeatureSet.open(plain.folder).spec.settings


def test_a_layout_of_another_format_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, *OPENFACE)
    assert "MMSA's layout is of npz, not csv" in refused(tmp_path, path, format="csv", like="mmsa")
