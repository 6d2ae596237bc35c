from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.feature_set import FeatureSet
from pipeline.importing.columns import ColumnError, choose_columns
from pipeline.importing.importing import ImportReport, import_features
from pipeline.importing.settings import ImportRefusedError, ImportSettings
from pipeline.importing.sources import open_source

CLIPS = ["a-1", "a-2", "b-1"]
GENERATOR = np.random.default_rng(0)
VECTORS = {clip: GENERATOR.normal(size=5).astype(np.float32) for clip in CLIPS}


def run(
    folder: Path, path: Path, clips: list[str] | None = None, *, missing: bool = False, **how: Any
) -> ImportReport:
    settings = ImportSettings(**{"format": "npz", **how})
    return import_features(
        folder / "cache", "mine", path, clips or CLIPS, settings, allow_missing=missing
    )


def refused(folder: Path, path: Path, *args: Any, **how: Any) -> str:
    """Return the message; nothing may have been written."""
    with pytest.raises(ImportRefusedError) as caught:
        run(folder, path, *args, **how)
    assert not (folder / "cache").exists()
    return str(caught.value)


def values(report: ImportReport, clip: str) -> np.ndarray:
    return FeatureSet.open(report.folder).read(clip, verify=True).arrays["values"]


def times(report: ImportReport, clip: str) -> list[float]:
    return list(FeatureSet.open(report.folder).read(clip).arrays["times"])


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "source.npz"
    np.savez(path, **arrays)
    return path


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "source.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_npz_of_one_vector_a_clip_becomes_sequences_of_one_step(tmp_path: Path) -> None:
    report = run(tmp_path, npz(tmp_path, **VECTORS))
    assert (report.clips, report.fresh, report.width) == (3, 3, 5)
    for clip in CLIPS:
        assert np.array_equal(values(report, clip), VECTORS[clip][None])
        assert times(report, clip) == [0.0]


def test_an_npz_of_ids_and_rows_is_the_same_features(tmp_path: Path) -> None:
    rows = np.stack([VECTORS[clip] for clip in CLIPS])
    report = run(tmp_path, npz(tmp_path, clip=np.array(CLIPS), au=rows))
    for clip in CLIPS:
        assert np.array_equal(values(report, clip), VECTORS[clip][None])


def test_an_npy_folder_is_the_same_features_and_subfolders_are_part_of_ids(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    np.save(folder / "a-1.npy", VECTORS["a-1"])
    np.save(folder / "sub" / "x.npy", VECTORS["a-2"])
    report = run(tmp_path, folder, ["a-1", "sub--x"], format="npy-folder")
    assert np.array_equal(values(report, "a-1")[0], VECTORS["a-1"])
    assert np.array_equal(values(report, "sub--x")[0], VECTORS["a-2"])


def test_a_csv_with_a_row_a_clip_is_the_same_features(tmp_path: Path) -> None:
    lines = [f"{clip},x,{','.join(map(repr, map(float, VECTORS[clip])))}" for clip in CLIPS]
    path = csv(tmp_path, "clip, note,f0,f1,f2,f3,f4", *lines)
    report = run(tmp_path, path, format="csv", columns="f*")
    for clip in CLIPS:
        assert np.array_equal(values(report, clip)[0], VECTORS[clip])


def test_a_csv_with_times_groups_rows_and_sorts_them_by_time(tmp_path: Path) -> None:
    path = csv(tmp_path, "id,t,x", "a,0.5,7", "b,0.0,3", "a,0.25,5")
    report = run(tmp_path, path, ["a", "b"], format="csv", id_column="id", time_column="t")
    assert times(report, "a") == [0.25, 0.5]
    assert values(report, "a").tolist() == [[5.0], [7.0]]
    assert values(report, "b").tolist() == [[3.0]]


def test_a_folder_of_csv_files_is_openfaces_output(tmp_path: Path) -> None:
    folder = tmp_path / "openface"
    folder.mkdir()
    (folder / "a.csv").write_text(
        "frame, timestamp, success, AU01_r, AU01_c\n1, 0.0, 1, 2.5, 1\n2, 0.04, 0, 9, 1\n"
    )
    how: dict[str, Any] = {"time_column": "timestamp", "columns": "AU*_r", "where": ("success=1",)}
    report = run(tmp_path, folder, ["a"], format="csv", **how)
    assert times(report, "a") == [0.0]
    assert values(report, "a").tolist() == [[2.5]]


FRAMES = np.array(  # frame, face, two features; frame 2 shows two faces
    [[1, 0, 10, 20], [2, 0, 11, 21], [3, 0, 12, 22], [2, 1, 13, 31]], np.float32
)


def test_frame_numbers_become_seconds_and_one_face_is_kept(tmp_path: Path) -> None:
    path = npz(tmp_path, a=FRAMES)
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "rate": 25.0, "first_frame": 1}
    report = run(tmp_path, path, ["a"], **how, where=("1=0",))
    assert times(report, "a") == [0.0, 1 / 25, 2 / 25]
    assert values(report, "a").tolist() == [[10, 20], [11, 21], [12, 22]]


@pytest.mark.parametrize(("policy", "middle"), [("first", [11, 21]), ("mean", [12, 26])])
def test_rows_at_the_same_time_are_joined_as_asked(
    tmp_path: Path, policy: str, middle: list[float]
) -> None:
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "rate": 25.0, "same_time": policy}
    report = run(tmp_path, npz(tmp_path, a=FRAMES), ["a"], **how)
    assert times(report, "a") == [1 / 25, 2 / 25, 3 / 25]
    assert values(report, "a").tolist() == [[10, 20], middle, [12, 22]]


def test_a_rate_alone_spaces_the_rows(tmp_path: Path) -> None:
    report = run(tmp_path, npz(tmp_path, a=np.ones((3, 2))), ["a"], rate=4.0)
    assert times(report, "a") == [0.0, 0.25, 0.5]


def test_a_clip_none_of_whose_rows_is_kept_is_partial_and_says_why(tmp_path: Path) -> None:
    path = npz(tmp_path, a=FRAMES, b=FRAMES[3:])
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "where": ("1=0",)}
    report = run(tmp_path, path, ["a", "b"], **how)
    assert report.empty == ("b",)
    entry = FeatureSet.open(report.folder).read("b")
    assert entry.arrays["values"].shape == (0, 2)
    assert entry.missing == ("no row in the source where 1=0",)


def test_ids_are_compared_by_what_the_pattern_captures(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"01-a-1": np.ones(2), "01-b-2": np.zeros(2)})
    report = run(tmp_path, path, ["03-a-1"], id_pattern=r"^\d\d-(.*)$")
    assert values(report, "03-a-1").tolist() == [[1.0, 1.0]]
    assert report.unused == ("01-b-2",)


def test_the_clips_may_have_a_pattern_of_their_own(tmp_path: Path) -> None:
    how: dict[str, Any] = {"id_pattern": "^take(.)$", "clip_pattern": "-(.)$"}
    report = run(tmp_path, npz(tmp_path, take7=np.ones(2)), ["a-7"], **how)
    assert report.clips == 1


def test_contents_and_options_are_in_the_key_and_entries_remember_their_id(tmp_path: Path) -> None:
    path = npz(tmp_path, **VECTORS)
    first = run(tmp_path, path, columns="0:3")
    again = run(tmp_path, path, columns="0:3")
    assert (again.folder, again.fresh) == (first.folder, 0)
    other = run(tmp_path, path, columns="1:4")
    changed = run(tmp_path, npz(tmp_path, **{**VECTORS, "a-1": np.ones(5)}), columns="0:3")
    assert len({first.folder, other.folder, changed.folder}) == 3
    entry = FeatureSet.open(first.folder).read("a-1")
    assert entry.provenance["id"] == "a-1"
    assert entry.provenance["imported_from"] == str(path)


def test_a_changed_file_of_a_folder_makes_another_set(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "a.npy", np.ones(3))
    first = run(tmp_path, folder, ["a"], format="npy-folder")
    np.save(folder / "a.npy", np.zeros(3))
    assert run(tmp_path, folder, ["a"], format="npy-folder").folder != first.folder


def test_missing_clips_are_refused_by_name_or_recorded(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"a-1": np.ones(2)})
    message = refused(tmp_path, path)
    assert "clip a-2 is not in it" in message
    assert "clip b-1 is not in it" in message
    report = run(tmp_path, path, missing=True)
    assert (report.clips, report.missing) == (1, ("a-2", "b-1"))
    failure = FeatureSet.open(report.folder).failure("a-2")
    assert failure is not None
    assert (failure.stage, failure.reason) == ("import", "not in source.npz")
    assert "none of its ids" in refused(tmp_path / "x", path, ["zz"], missing=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_numbers_that_cannot_be_stored_are_refused_by_clip(tmp_path: Path, bad: float) -> None:
    rows = {"a-1": np.array([1.0, bad]), "a-2": np.ones(2), "b-1": np.array([bad, 1.0])}
    message = refused(tmp_path, npz(tmp_path, **rows))
    assert "clip a-1: 1 of 1 rows have nan or inf" in message
    assert "the first in feature 1" in message
    assert "clip b-1" in message
    assert "clip a-2" not in message


def test_wrong_widths_are_refused_by_clip(tmp_path: Path) -> None:
    rows = {"a-1": np.ones(3), "a-2": np.ones(2), "b-1": np.ones(3)}
    assert "clip a-2: 2 features, expected 3" in refused(tmp_path, npz(tmp_path, **rows))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3, 5)), r"clip a: expected shape (D,) or (T, D), got (2, 3, 5)"),
        (np.array(["x"]), "clip a: expected numbers"),
        (np.ones((3, 2)), "clip a: 3 rows without times"),
        (np.array([{"x": 1}], object), "array a: Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_are_no_features_are_refused(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    assert message in refused(tmp_path, npz(tmp_path, a=array), ["a"])


def test_two_rows_at_one_time_or_a_time_that_is_nan_are_refused(tmp_path: Path) -> None:
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0"}
    message = refused(tmp_path, npz(tmp_path, a=FRAMES), ["a"], **how)
    assert "clip a: 2 rows at the same time, 2 s first" in message
    path = npz(tmp_path, a=np.array([[np.nan, 1.0]]))
    assert "1 of 1 times are nan" in refused(tmp_path, path, ["a"], time_column="0")


def test_repeated_ids_are_refused_by_name(tmp_path: Path) -> None:
    path = npz(tmp_path, clip=np.array(["a-1", "a-1", "b-1"]), au=np.ones((3, 2)))
    assert "id a-1 is there twice" in refused(tmp_path, path, missing=True)
    path = csv(tmp_path, "clip,x", "b-1,1", "b-1,2")
    assert "id b-1 is there twice" in refused(tmp_path, path, format="csv", missing=True)


def test_a_pattern_that_confuses_ids_or_clips_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, **VECTORS)
    message = refused(tmp_path, path, ["a-x"], id_pattern="^(.)-")
    assert "clip a-x: 2 ids: a-1, a-2" in message
    path = npz(tmp_path, **{"a-1": np.ones(2)})
    message = refused(tmp_path, path, id_pattern="^(a)-")
    assert "id a-1 belongs to 2 clips: a-1, a-2" in message
    message = refused(tmp_path, path, id_pattern="^(z)", missing=True)
    assert "the pattern fits none of the 1 ids, 'a-1' first" in message


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"id_column": "who"}, "has no array who of ids"),
        ({"array": "au"}, "has no array clip of ids"),
    ],
)
def test_arrays_that_an_npz_lacks_are_named(
    tmp_path: Path, how: dict[str, str], message: str
) -> None:
    assert message in refused(tmp_path, npz(tmp_path, **VECTORS), **how)


def test_a_table_of_several_arrays_needs_a_choice(tmp_path: Path) -> None:
    arrays = {"clip": np.array(CLIPS), "x": np.ones((3, 2)), "y": np.zeros((2, 7))}
    path = npz(tmp_path, **arrays)
    assert "has the arrays x, y; choose one by --array" in refused(tmp_path, path)
    assert "clip has 3 ids for 2 rows" in refused(tmp_path, path, array="y")
    assert "has no array z; it has x, y" in refused(tmp_path, path, array="z")
    assert values(run(tmp_path, path, array="x"), "a-1").tolist() == [[1.0, 1.0]]


def test_sources_of_another_form_are_refused(tmp_path: Path) -> None:
    text = csv(tmp_path, "clip,x", "a-1,one")
    assert "is not an npz file" in refused(tmp_path, text)
    assert "is not a folder" in refused(tmp_path, text, format="npy-folder")
    assert "pass --from npy-folder" in refused(tmp_path, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no file that ends in .npy" in refused(tmp_path, empty, format="npy-folder")
    message = refused(tmp_path, text, format="csv")
    assert "line 2: column x: 'one' is not a number" in message
    message = refused(tmp_path, text, format="csv", id_column="who")
    assert "0 columns are called who" in message
    path = csv(tmp_path, "clip,x", "a-1,1,2")
    assert "line 2: 3 fields, the header has 2" in refused(tmp_path, path, format="csv")
    folder = tmp_path / "pickled"
    folder.mkdir()
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)
    (folder / "b.npy").write_bytes(b"nothing of the kind")
    message = refused(tmp_path, folder, ["a", "b"], format="npy-folder")
    assert "clip a: Object arrays cannot be loaded" in message
    assert "clip b: the magic string is not correct" in message


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"columns": "0:9"}, "columns 0:9 of a table that has 3"),
        ({"columns": "x,0"}, "name x twice"),
        ({"columns": "q*"}, "no column is called q"),
        ({"columns": "q"}, "there is no column q; there are x, y, y"),
        ({"columns": "y"}, "2 columns are called y; count them from 0"),
        ({"columns": "1:3", "where": ("x",)}, "'x' is not a condition"),
        ({"columns": "1:3", "where": ("x=red",)}, "'x=red' is not a condition"),
        ({"where": ("x=1", "1=1", "2=1")}, "no column is left"),
    ],
)
def test_columns_that_are_not_there_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        choose_columns(["x", "y", "y"], ImportSettings("npz", **how))


def test_columns_of_arrays_are_counted() -> None:
    settings = ImportSettings("npz", columns="3,0:2", where=("2>=5",))
    choice = choose_columns([str(i) for i in range(5)], settings)
    assert choice.values == (3, 0, 1)
    rows = choice.take(np.array([[10.0, 11, 5, 13], [20, 21, 4, 23]]))
    assert rows.values.tolist() == [[13, 10, 11], [23, 20, 21]]
    assert rows.kept.tolist() == [True, False]
    with pytest.raises(ColumnError, match="there are 5, counted from 0"):
        choose_columns([str(i) for i in range(5)], ImportSettings("npz", columns="5"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0 and finite, got 0.0"),
        ({"id_pattern": "("}, "is not a regular expression"),
        ({"clip_pattern": "abc"}, "'abc' has no group"),
    ],
)
def test_settings_that_mean_nothing_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImportSettings("npz", **how)


def test_the_real_action_units_fit_the_real_takes(data: Path, tmp_path: Path) -> None:
    path = data / "ravdess" / "openface_au.npz"
    settings = ImportSettings("npz", id_pattern=r"^\d\d-(.*)$")
    with open_source(path, settings) as source:
        assert len(source.ids) == 1440
    report = run(tmp_path, path, ["03-01-08-02-02-02-24"], id_pattern=r"^\d\d-(.*)$")
    with np.load(path) as arrays:
        expected = arrays["au"][list(arrays["clip"]).index("01-01-08-02-02-02-24")]
    assert np.array_equal(values(report, "03-01-08-02-02-02-24")[0], expected)
